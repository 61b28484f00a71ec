"""Case 52 of the hostile suite: the two classic breaker bugs and their relatives."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random

import pytest

from gateway.core.clock import ManualClock
from gateway.core.outcome import Outcome
from gateway.resilience.breaker import Breaker
from gateway.resilience.settings import BreakerSettings

SUCCESS, FAILURE, TIMEOUT, NEUTRAL = Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT, Outcome.NEUTRAL


def _breaker(probes: int = 3) -> tuple[Breaker, ManualClock]:
    clock = ManualClock()
    return Breaker("shop", BreakerSettings(probes=probes), clock=clock, rng=Random(1)), clock


def _open(breaker: Breaker, clock: ManualClock) -> None:
    for _ in range(20):
        breaker.report(breaker.acquire(clock.now()), FAILURE, 0.1, clock.now())
    assert breaker.state_word == "open"


@pytest.mark.parametrize("probes", [1, 2, 3])
@pytest.mark.parametrize("callers", [10, 50, 1000])
async def test_of_many_concurrent_calls_at_half_open_exactly_the_probes_are_made(probes: int, callers: int) -> None:
    """However many come at the very instant."""
    breaker, clock = _breaker(probes)
    _open(breaker, clock)
    clock.advance(10)
    gate = asyncio.Event()
    made = 0

    async def call() -> None:
        nonlocal made
        made += 1
        await gate.wait()

    tasks = [asyncio.ensure_future(breaker.call_async(call)) for _ in range(callers)]
    await asyncio.sleep(0)
    assert made == probes
    gate.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(end is None for end in ends) == probes
    assert breaker.refused == callers - probes


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE, TIMEOUT])
@pytest.mark.parametrize("state", ["open", "half_open", "ramping", "closed"])
def test_late_results_of_the_closed_era_move_nothing(outcome: Outcome, state: str) -> None:
    """A hundred calls were under way when it tripped; they end in whatever state it is by then."""
    breaker, clock = _breaker()
    late = [breaker.acquire(clock.now()) for _ in range(100)]
    _open(breaker, clock)
    if state != "open":
        clock.advance(10)
        breaker.tick(clock.now())
    successes = {"open": 0, "half_open": 0, "ramping": 3, "closed": 200}[state]
    for _ in range(successes):
        breaker.report(breaker.acquire(clock.now()), SUCCESS, 0.1, clock.now())
    assert breaker.state_word == state
    before = (breaker.room, dict(breaker.transitions))
    for token in late:
        breaker.report(token, outcome, 30.0, clock.now())
    breaker.tick(clock.now())
    assert breaker.state_word == state
    assert (breaker.room, breaker.transitions) == before


async def test_a_cancelled_probe_frees_its_place() -> None:
    """A hundred times over; and the breaker still waits for its proof."""
    breaker, clock = _breaker(1)
    _open(breaker, clock)
    clock.advance(10)
    for _ in range(100):
        probe = asyncio.ensure_future(breaker.call_async(asyncio.Event().wait))
        await asyncio.sleep(0)
        assert not breaker.can_pass(clock.now())
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        assert breaker.can_pass(clock.now())
    assert breaker.state_word == "half_open"


def test_timeouts_are_failures_and_departures_and_4xx_are_not() -> None:
    """4xx answers reach the breaker as successes, departures as neutral."""
    breaker, clock = _breaker()
    for _ in range(200):
        breaker.report(breaker.acquire(clock.now()), SUCCESS, 0.1, clock.now())
        breaker.report(breaker.acquire(clock.now()), NEUTRAL, 5.0, clock.now())
    assert breaker.state_word == "closed"
    breaker, clock = _breaker()
    for _ in range(20):
        breaker.report(breaker.acquire(clock.now()), TIMEOUT, 0.1, clock.now())
    assert breaker.state_word == "open"


def test_the_backoff_of_a_flapping_upstream_grows() -> None:
    """It passes its probes each time and fails under load: ever fewer tries."""
    breaker, clock = _breaker()
    trips = []
    while clock.now() < 600:
        clock.advance(0.1)
        breaker.tick(clock.now())
        is_well = breaker.state_word in {"half_open", "ramping"}
        for _ in range(5):
            token = breaker.acquire(clock.now())
            if token:
                breaker.report(token, SUCCESS if is_well else FAILURE, 0.1, clock.now())
        if breaker.state_word == "open" and (not trips or (breaker.last and breaker.last.at != trips[-1])):
            assert breaker.last is not None
            trips.append(breaker.last.at)
    gaps = [later - sooner for sooner, later in pairwise(trips)]
    assert len(trips) < 20
    assert gaps[0] < 8
    assert gaps[3] > 30
    assert min(gaps[4:]) > 45
