"""The world that hostile tests live in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.world import World, running_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gateway(config): TOML text or a mapping laid over the test configuration")


@pytest.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A gateway before a strict origin; verified afterwards: nobody else was hurt."""
    marker = request.node.get_closest_marker("gateway")
    async with running_world(marker.args[0] if marker else None) as running:
        yield running
