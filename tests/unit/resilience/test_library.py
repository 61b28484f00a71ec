"""aiobreaker's face: what people who know the library expect of a breaker works on ours."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from aiobreaker import CircuitBreaker, CircuitBreakerError, CircuitBreakerListener, CircuitBreakerState

from gateway.core.clock import ManualClock
from gateway.core.units import Seconds
from gateway.resilience.breaker import Breaker
from gateway.resilience.library import Refused
from gateway.resilience.settings import BreakerSettings


class Bad(Exception):
    """What the upstream does."""


class Watch(CircuitBreakerListener):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def before_call(self, breaker: CircuitBreaker, func: object, *args: object, **kwargs: object) -> None:
        del breaker, func
        self.heard.append(f"before {args} {kwargs}")

    def failure(self, breaker: CircuitBreaker, exception: Exception) -> None:
        del breaker
        self.heard.append(f"failure {type(exception).__name__}")

    def success(self, breaker: CircuitBreaker) -> None:
        del breaker
        self.heard.append("success")

    def state_change(self, breaker: CircuitBreaker, old: object, new: object) -> None:
        del breaker
        self.heard.append(f"{type(old).__name__} -> {type(new).__name__}")


def _breaker(clock: ManualClock | None = None) -> Breaker:
    settings = BreakerSettings(min_calls=2, successes=1, slow_threshold=Seconds(1))
    return Breaker("shop", settings, clock=clock or ManualClock(wall=1_800_000_000.0), rng=Random(1))


async def _bad() -> None:
    raise Bad


async def _echo(word: str, *, times: int = 1) -> str:
    return word * times


async def test_listeners_hear_calls_and_transitions() -> None:
    """In the library's own words; a ramp is closed to them."""
    clock = ManualClock()
    breaker = _breaker(clock)
    watch = Watch()
    breaker.add_listener(watch)
    assert await breaker.call_async(_echo, "ab", times=2) == "abab"
    with pytest.raises(Bad):
        await breaker.call_async(_bad)
    clock.advance(6)
    await breaker.call_async(_echo, "ab")
    assert breaker.state_word == "ramping"
    assert watch.heard == [
        "before ('ab',) {'times': 2}",
        "success",
        "before () {}",
        "failure Bad",
        "CircuitClosedState -> CircuitOpenState",
        "CircuitOpenState -> CircuitHalfOpenState",
        "before ('ab',) {}",
        "success",
        "CircuitHalfOpenState -> CircuitClosedState",
    ]
    breaker.remove_listener(watch)
    heard = len(watch.heard)
    await breaker.call_async(_echo, "ab")
    assert len(watch.heard) == heard
    assert breaker.callback_errors == 0


async def test_a_refusal_is_the_librarys_error_and_says_when() -> None:
    """Whoever catches CircuitBreakerError catches ours."""
    clock = ManualClock(wall=1_800_000_000.0)
    breaker = _breaker(clock)
    breaker.open()
    with pytest.raises(CircuitBreakerError) as raised:
        await breaker.call_async(_echo, "ab")
    refused = raised.value
    assert isinstance(refused, Refused)
    assert timedelta(seconds=4) <= refused.time_remaining <= timedelta(seconds=5)
    assert refused.reopen_time == datetime.fromtimestamp(clock.wall(), UTC) + refused.time_remaining
    assert breaker.opens_at == refused.reopen_time
    assert breaker.timeout_duration == timedelta(seconds=5)
    assert breaker._storage.opened_at == datetime.fromtimestamp(clock.wall(), UTC)


async def test_the_decorator_asks_once() -> None:
    """As the library's does, for functions and coroutines."""
    breaker = _breaker()

    @breaker
    async def fetch() -> str:
        return "fine"

    @breaker()
    def read() -> str:
        return "fine"

    assert await fetch() == "fine"
    assert read() == "fine"
    assert await breaker.call_async(fetch) == "fine"
    assert breaker.call(read) == "fine"
    assert breaker._window.calls == 4


def test_a_plain_call_is_guarded_too() -> None:
    """Synchronous functions go the same way."""
    breaker = _breaker()

    def bad() -> None:
        raise Bad

    for _ in range(2):
        with pytest.raises(Bad):
            breaker.call(bad)
    with pytest.raises(Refused):
        breaker.call(bad)


async def test_a_success_inside_an_exception_handler_is_a_success() -> None:
    """The error that is being handled around the call is not the call's."""
    breaker = _breaker()
    watch = Watch()
    breaker.add_listener(watch)
    try:
        await _bad()
    except Bad:
        await breaker.call_async(_echo, "ab")
    assert watch.heard == ["before ('ab',) {}", "success"]


async def test_a_timeout_inside_is_a_timeout_and_a_quick_cancellation_is_nothing() -> None:
    """The first trips, the second does not."""
    breaker = _breaker()
    for _ in range(5):
        call = asyncio.ensure_future(breaker.call_async(asyncio.Event().wait))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    assert breaker.state_word == "closed"

    async def late() -> None:
        raise TimeoutError

    for _ in range(2):
        with pytest.raises(TimeoutError):
            await breaker.call_async(late)
    assert breaker.state_word == "open"


def test_the_librarys_methods_are_transitions_like_others() -> None:
    """They are counted, and an operator's word stands above them."""
    breaker = _breaker()
    breaker.open()
    assert breaker.current_state is CircuitBreakerState.OPEN
    breaker.half_open()
    assert breaker.current_state is CircuitBreakerState.HALF_OPEN
    breaker.close()
    assert breaker.current_state is CircuitBreakerState.CLOSED
    breaker.open()
    breaker.close()
    assert breaker.transitions == {
        ("closed", "open", "told"): 2,
        ("open", "half_open", "told"): 1,
        ("half_open", "closed", "told"): 1,
        ("open", "closed", "told"): 1,
    }
    breaker.force_open("ann", "maintenance", 0.0)
    breaker.close()
    assert breaker.state_word == "forced_open"
