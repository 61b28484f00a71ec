"""Retries: which, how often, when, and who pays."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import AsyncRetrying, RetryCallState, stop_after_attempt

from gateway.core.units import Seconds
from gateway.resilience.budget import Budget
from gateway.resilience.retry import Repeats, Retries
from gateway.resilience.settings import Backoff, RetrySettings


class Bad(Exception):
    """What an attempt ended in."""


def _retries(attempts: int = 3, *, budget: Budget | None = None, seed: int = 1) -> Retries:
    settings = RetrySettings(attempts=attempts, backoff=Backoff(Seconds(0.025), Seconds(0.25)))
    return Retries(settings, budget or Budget(1.0, 1e6), Random(seed))


def _after(
    repeats: Repeats,
    *,
    is_repeatable: bool = True,
    remaining: float = 10.0,
    at_least: float = 0.0,
    is_elsewhere: bool = False,
) -> float | None:
    return repeats.after(
        Bad(), is_repeatable=is_repeatable, remaining=remaining, now=1.0, at_least=at_least, is_elsewhere=is_elsewhere
    )


def test_three_attempts_are_two_retries() -> None:
    """Then the request is given up, and stays so."""
    repeats = _retries().begin()
    assert _after(repeats) is not None
    assert repeats.verdict == ""
    assert _after(repeats) is not None
    assert _after(repeats) is None
    assert repeats.verdict == "attempts"
    assert _after(repeats) is None


def test_one_attempt_is_no_retry() -> None:
    """attempts = 1 switches retries off."""
    repeats = _retries(1).begin()
    assert _after(repeats) is None
    assert repeats.verdict == "attempts"


def test_what_may_have_happened_is_not_repeated() -> None:
    """And costs the budget nothing."""
    budget = Budget(0.0, 3.0)
    repeats = _retries(budget=budget).begin()
    assert _after(repeats, is_repeatable=False) is None
    assert repeats.verdict == "not_repeatable"
    assert budget.level(1.0) == 3


def test_tenacitys_own_wish_to_try_again_does_not_overrule() -> None:
    """TryAgain skips tenacity's retry predicate; whether a request may be repeated is a stop."""
    import tenacity

    repeats = _retries().begin()
    error = tenacity.TryAgain()
    assert repeats.after(error, is_repeatable=False, remaining=1.0, now=1.0) is None


@pytest.mark.parametrize("attempt", [1, 2, 3, 4, 5, 6])
def test_waits_are_drawn_below_a_bound_that_doubles(attempt: int) -> None:
    """Full jitter: 25, 50, 100, 200, 250, 250 ms, uniform from nothing."""
    retries = _retries(10)
    bound = min(0.25, 0.025 * 2 ** (attempt - 1))
    waits = []
    for _ in range(1000):
        repeats = retries.begin()
        for _ in range(attempt):
            wait = _after(repeats)
        assert wait is not None
        waits.append(wait)
    assert 0 <= min(waits) < 0.02 * bound
    assert 0.98 * bound < max(waits) <= bound
    assert sum(waits) / len(waits) == pytest.approx(bound / 2, rel=0.1)


def test_the_same_seed_draws_the_same_waits() -> None:
    """No dice of tenacity's own."""
    assert [_after(_retries(seed=7).begin()) for _ in range(3)] == [_after(_retries(seed=7).begin())] * 3
    assert _after(_retries(seed=7).begin()) != _after(_retries(seed=8).begin())


def test_no_wait_reaches_the_deadline() -> None:
    """And a request without time left costs the budget nothing."""
    budget = Budget(0.0, 3.0)
    repeats = _retries(budget=budget).begin()
    assert _after(repeats, remaining=0.0) is None
    assert repeats.verdict == "deadline"
    assert budget.level(1.0) == 3


def test_retry_after_is_kept_within_the_deadline() -> None:
    """The jitter comes on top, so that not everybody is back at the same instant."""
    wait = _after(_retries().begin(), at_least=2.0, remaining=10.0)
    assert wait is not None
    assert 2.0 < wait <= 2.025
    repeats = _retries().begin()
    assert _after(repeats, at_least=2.0, remaining=1.9) is None
    assert repeats.verdict == "deadline"


def test_another_endpoint_is_asked_at_once_the_first_time() -> None:
    """What was not sent cannot have hurt anybody; the second time it waits."""
    repeats = _retries().begin()
    assert _after(repeats, is_elsewhere=True) == 0.0
    second = _after(repeats, is_elsewhere=True)
    assert second is not None
    assert second > 0


def test_the_budget_is_asked_last_and_paid_once_a_retry() -> None:
    """Three tokens, many requests."""
    budget = Budget(0.0, 3.0)
    retries = _retries(10, budget=budget)
    verdicts = []
    for _ in range(6):
        repeats = retries.begin()
        _after(repeats)
        verdicts.append(repeats.verdict)
    assert verdicts == ["", "", "", "budget", "budget", "budget"]


async def test_a_shared_tenacity_mixes_attempts_and_ours_does_not() -> None:
    """Thirty requests at once, each with a story of its own.

    Shared, with a predicate that waits: most calls return None instead of raising. Ours: each gets its two retries.
    """

    async def look_up(state: RetryCallState) -> bool:
        await asyncio.sleep(0.001)
        return state.outcome is not None and state.outcome.failed

    async def nap(_: float) -> None:
        await asyncio.sleep(0.001)

    shared = AsyncRetrying(stop=stop_after_attempt(3), sleep=nap, retry=look_up, reraise=True)

    async def bad() -> None:
        await asyncio.sleep(0.001)
        raise Bad

    async def stock() -> str:
        try:
            await shared(bad)
        except Bad:
            return "raised"
        return "returned"

    ends = await asyncio.gather(*(stock() for _ in range(30)))
    assert ends.count("returned") >= 20

    retries = _retries()

    async def ours(number: int) -> tuple[int, str]:
        repeats = retries.begin()
        count = 0
        while (wait := repeats.after(Bad(number), is_repeatable=True, remaining=9.0, now=1.0)) is not None:
            count += 1
            await asyncio.sleep(wait / 100)
        return count, repeats.verdict

    assert await asyncio.gather(*(ours(number) for number in range(30))) == [(2, "attempts")] * 30


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.floats(0, 0.5), st.booleans()), min_size=1, max_size=10),
    st.integers(0, 5),
)
def test_whatever_happens_attempts_deadline_and_budget_hold(
    attempts: int, steps: list[tuple[bool, float, float, bool]], tokens: int
) -> None:
    """Each answer is a wait within the deadline that was paid for, or the end."""
    budget = Budget(1.0, 0.0)
    for _ in range(tokens):
        budget.deposit(1.0)
    repeats = _retries(attempts, budget=budget).begin()
    made = 0
    for is_repeatable, remaining, at_least, is_elsewhere in steps:
        wait = _after(
            repeats,
            is_repeatable=is_repeatable,
            remaining=remaining,
            at_least=at_least,
            is_elsewhere=is_elsewhere,
        )
        if wait is None:
            assert repeats.verdict
        else:
            made += 1
            assert is_repeatable
            assert at_least <= wait < remaining
            assert repeats.verdict == ""
    assert made <= min(attempts - 1, tokens)
    assert int(budget.level(1.0)) == tokens - made
