"""A worker's part of limits and queues: even at first, then as it is dealt, less under its own strain."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.clock import ManualClock
from gateway.proxy.attempts import EARLY_BYTES
from gateway.proxy.plane import DataPlane
from gateway.telemetry.access import AccessLog
from tests.support.plane import make_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WORKERS = 4


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@asynccontextmanager
async def _running(clock: ManualClock, **origin: Any) -> AsyncIterator[DataPlane]:
    config = {
        "upstreams": {"origin": {"queue": {"max_length": 100, "max_bytes": "4MiB"}, **origin}},
        "routes": {
            "all": {
                "upstream": "origin",
                "rate_limits": [{"name": "all", "key": "route", "rate": "1000/s", "burst": 40}],
            }
        },
    }
    settings = make_settings(1, config)
    plane = DataPlane(
        settings,
        clock=clock,
        rng=random.Random(1),
        name="gateway-parts",
        access_log=AccessLog(settings.log, clock),
        log=None,
        workers=WORKERS,
    )
    await plane.start([])
    try:
        yield plane
    finally:
        await plane.close()


async def test_queues_begin_with_an_even_part_and_rates_are_whole(clock: ManualClock) -> None:
    """Whole requests are rounded up; a burst is not divided, because all workers know what is used of it."""
    async with _running(clock) as plane:
        queue = plane.gates["origin"].queue
        assert (queue._max_length, queue._max_size) == (25, 1024 * 1024)
        rates = plane.rules["all"].rates
        assert rates is not None
        keys = rates.keys("", {}, {})
        assert [rates.check(keys, 1.0, 0.0) is None for _ in range(41)] == [True] * 40 + [False]


async def test_a_queue_is_what_was_dealt_times_what_may_be_used(clock: ManualClock) -> None:
    """Strain and deal may come in either order, and strain leaves no trace."""
    async with _running(clock) as plane:
        queue = plane.gates["origin"].queue
        plane.parts.deal({}, {"origin": 0.5})
        assert queue._max_length == 50
        plane.parts.use_of_queues(0.5)
        assert (queue._max_length, queue._max_size) == (25, 1024 * 1024)
        plane.parts.deal({}, {"origin": 0.9})
        assert queue._max_length == 45
        plane.parts.use_of_queues(1.0)
        assert queue._max_length == 90


async def test_the_smallest_part_has_room_for_one_request(clock: ManualClock) -> None:
    """Whoever comes to the worker with the smallest part may wait there, with a body of its usual bound."""
    async with _running(clock) as plane:
        plane.parts.deal({}, {"origin": 0.001})
        assert plane.parts.room("origin") == (1, EARLY_BYTES)


async def test_a_fixed_limit_moves_beneath_its_lid(clock: ManualClock) -> None:
    """What is dealt out is the limit; the lid that somebody laid on it stays."""
    async with _running(clock, limit={"kind": "fixed", "initial": 8}) as plane:
        gate = plane.gates["origin"]
        assert gate.limit.value == 2
        plane.capacity.set_cap("origin", 3, 60.0)
        plane.parts.deal({"origin": 6}, {})
        assert gate.limit.value == 3
        plane.capacity.set_cap("origin", None, 0.0)
        assert gate.limit.value == 6


@pytest.mark.parametrize("limit", [{"kind": "aimd", "initial": 8}, {"kind": "fixed", "initial": 8, "mode": "off"}])
async def test_other_limits_are_not_dealt_out(clock: ManualClock, limit: dict[str, Any]) -> None:
    """One that learns is each worker's own, and one that is off has no number."""
    async with _running(clock, limit=limit) as plane:
        before = plane.gates["origin"].limit.value
        plane.parts.deal({"origin": 3}, {})
        assert plane.gates["origin"].limit.value == before
