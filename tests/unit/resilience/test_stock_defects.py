"""Why the library's class is not used as it is: each test shows the stock class failing, and ours holding.

Should a new version of aiobreaker mend one of them, the first half of its test fails, and that part of ours can go.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

import pytest
from aiobreaker import CircuitBreaker, CircuitBreakerError, CircuitBreakerListener, CircuitBreakerState

from gateway.core.clock import ManualClock
from gateway.core.outcome import Outcome
from gateway.core.units import Seconds
from gateway.resilience.breaker import Breaker
from gateway.resilience.settings import BreakerSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

# From Python 3.12 on the stock class is warned for asking the wall clock the old way, which is one of its defects.
pytestmark = pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcnow:DeprecationWarning:aiobreaker")

OPEN, HALF_OPEN, CLOSED = CircuitBreakerState.OPEN, CircuitBreakerState.HALF_OPEN, CircuitBreakerState.CLOSED


class Bad(Exception):
    """What the upstream does."""


class NotFound(Exception):
    """What a client does."""


def _ours(clock: ManualClock | None = None, *, min_calls: int = 2, successes: int = 3) -> Breaker:
    settings = BreakerSettings(min_calls=min_calls, successes=successes, open_for=Seconds(5), slow_threshold=Seconds(1))
    return Breaker("shop", settings, clock=clock or ManualClock(), rng=Random(1))


async def _fail() -> None:
    raise Bad


async def _succeed() -> str:
    return "fine"


async def test_half_open_admits_everybody_in_the_stock_class_and_probes_in_ours() -> None:
    """Fifty callers at half-open."""
    stock = CircuitBreaker(fail_max=1, timeout_duration=timedelta(0))
    stock.half_open()
    calls = 0
    gate = asyncio.Event()

    async def slow() -> None:
        nonlocal calls
        calls += 1
        await gate.wait()

    async def through(breaker: CircuitBreaker) -> None:
        nonlocal calls
        calls = 0
        gate.clear()
        async with asyncio.timeout(5):
            tasks = [asyncio.ensure_future(breaker.call_async(slow)) for _ in range(50)]
            await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(*tasks, return_exceptions=True)

    await through(stock)
    assert calls == 50

    ours = _ours()
    ours.half_open()
    await through(ours)
    assert calls == 3


async def test_a_late_success_closes_an_open_stock_breaker_and_not_ours() -> None:
    """The call began at half-open; while it was under way the breaker opened again."""

    async def story(breaker: CircuitBreaker) -> None:
        gate = asyncio.Event()
        breaker.half_open()
        late = asyncio.ensure_future(breaker.call_async(gate.wait))
        await asyncio.sleep(0)
        breaker.open()
        gate.set()
        await late

    stock = CircuitBreaker()
    await story(stock)
    assert stock.current_state is CLOSED

    ours = _ours()
    await story(ours)
    assert ours.current_state is OPEN


@pytest.fixture
def _in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.delenv("TZ")
    time.tzset()


@pytest.mark.usefixtures("_in_tokyo")
def test_east_of_utc_the_stock_breaker_cannot_say_when_it_opens_and_ours_can() -> None:
    """It takes UTC for the beginning and local time for now."""
    stock = CircuitBreaker(timeout_duration=timedelta(minutes=1))
    stock.open()
    with pytest.raises(TypeError):
        _ = stock.time_until_open

    clock = ManualClock(wall=1_800_000_000.0)
    ours = _ours(clock)
    ours.open()
    left = ours.time_until_open
    assert left is not None
    assert timedelta(seconds=4) <= left <= timedelta(seconds=5)
    clock.advance(5)
    assert ours.time_until_open is None


async def test_timeouts_outside_the_call_are_unseen_by_the_stock_class_and_trip_ours() -> None:
    """An upstream that hangs for ever, behind callers that lose patience."""

    async def hang() -> None:
        await asyncio.Event().wait()

    async def story(breaker: CircuitBreaker, clock: ManualClock) -> None:
        for _ in range(4):
            call = asyncio.ensure_future(breaker.call_async(hang))
            await asyncio.sleep(0)
            clock.advance(1.5)
            call.cancel()
            with pytest.raises((asyncio.CancelledError, CircuitBreakerError)):
                await call

    stock = CircuitBreaker(fail_max=2)
    await story(stock, ManualClock())
    assert (stock.current_state, stock.fail_counter) == (CLOSED, 0)

    clock = ManualClock()
    ours = _ours(clock)
    await story(ours, clock)
    assert ours.current_state is OPEN


async def test_a_cancelled_probe_is_lost_by_the_stock_class_and_freed_by_ours() -> None:
    """The stock class does not notice; ours has its place back at once, and has learned nothing."""
    ours = _ours()
    ours.half_open()
    calls = [asyncio.ensure_future(ours.call_async(asyncio.Event().wait)) for _ in range(3)]
    await asyncio.sleep(0)
    assert not ours.can_pass(0.0)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert ours.state_word == "half_open"
    assert [bool(ours.acquire(0.0)) for _ in range(4)] == [True, True, True, False]


async def test_an_excluded_error_counts_as_success_in_the_stock_class_and_as_nothing_in_ours() -> None:
    """A client's error at half-open closes the stock breaker: it has learned nothing about the upstream."""

    async def not_found() -> None:
        raise NotFound

    async def story(breaker: CircuitBreaker) -> None:
        breaker.add_excluded_exception(NotFound)
        breaker.half_open()
        for _ in range(5):
            with pytest.raises(NotFound):
                await breaker.call_async(not_found)

    stock = CircuitBreaker()
    await story(stock)
    assert stock.current_state is CLOSED

    ours = _ours()
    await story(ours)
    assert ours.current_state is HALF_OPEN
    assert ours.acquire(0.0)


async def test_the_call_that_trips_hides_its_error_in_the_stock_class_and_shows_it_in_ours() -> None:
    """Who made the call wants to know what happened to it."""
    stock = CircuitBreaker(fail_max=1)
    with pytest.raises(CircuitBreakerError):
        await stock.call_async(_fail)

    ours = _ours(min_calls=1)
    with pytest.raises(Bad):
        await ours.call_async(_fail)
    assert ours.current_state is OPEN
    with pytest.raises(CircuitBreakerError):
        await ours.call_async(_succeed)


class _Loud(CircuitBreakerListener):
    def state_change(self, *_: object) -> None:
        raise RuntimeError("the log is full")


async def test_a_listener_that_raises_blocks_the_stock_trip_and_not_ours() -> None:
    """What watches must not decide."""

    async def story(breaker: CircuitBreaker) -> str:
        breaker.add_listener(_Loud())
        for _ in range(3):
            with pytest.raises((Bad, RuntimeError, CircuitBreakerError)) as raised:
                await breaker.call_async(_fail)
        return raised.type.__name__

    stock = CircuitBreaker(fail_max=2)
    # each call is made, though the breaker should be open, and fails for the listener's reason
    assert await story(stock) == "RuntimeError"

    ours = _ours()
    assert await story(ours) == "Refused"
    assert ours.current_state is OPEN
    assert ours.callback_errors == 1
    assert isinstance(ours.last_error, RuntimeError)


def test_a_clock_that_jumps_moves_the_stock_breaker_and_not_ours() -> None:
    """Ours is timed by the monotonic clock: an hour forth or back on the wall changes nothing."""
    stock = CircuitBreaker(timeout_duration=timedelta(seconds=5))
    stock.open()
    assert stock._state_storage.opened_at.tzinfo is None  # the machine's wall clock, as a naive date

    for jump in (3600.0, -7200.0):
        clock = ManualClock(wall=1_800_000_000.0)
        ours = _ours(clock)
        ours.open()
        clock._wall += jump
        assert not ours.acquire(clock.now())
        assert 4 <= ours.retry_in(clock.now()) <= 5
        clock.advance(5)
        token = ours.acquire(clock.now())
        ours.report(token, Outcome.SUCCESS, 0.1, clock.now())
        assert ours.state_word == "half_open"
