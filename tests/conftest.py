"""Fixtures that every room of the tests may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.origin import Origin, running_origin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    """A strict recording origin on loopback."""
    async with running_origin() as running:
        yield running
