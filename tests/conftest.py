"""Fixtures that every room of the tests may use."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from tests.support.origin import Origin, running_origin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

# What a gateway that a test runs keeps over its end goes with the tests.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="gateway-state-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

# No test depends on how fast the machine is; other work may go on beside it.
settings.register_profile("beside other work", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("beside other work")


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    """A strict recording origin on loopback."""
    async with running_origin() as running:
        yield running


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the gateway runs on in production; ``TEST_LOOP=asyncio`` takes Python's own."""
    del config, item
    if os.environ.get("TEST_LOOP") == "asyncio":
        return {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}
