"""When an open breaker tries again, number by number."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gateway.resilience.open_time import OpenTime
from gateway.resilience.waking import Waking

FIRST, LONGEST = 5.0, 60.0


def _asleep(*, has_check: bool = False, now: float = 0.0) -> Waking:
    waking = Waking(OpenTime(FIRST, LONGEST, 10.0, Random(1)), LONGEST, has_check=has_check)
    waking.sleep(now)
    return waking


def test_it_sleeps_as_long_as_its_time_says() -> None:
    """That is the first time, jittered down by a fifth at most."""
    waking = _asleep(now=100.0)
    assert 100 + 0.8 * FIRST <= waking.at <= 100 + FIRST
    assert waking.look(waking.at - 0.001) is None
    assert waking.look(waking.at) == "time_is_up"


def test_with_checks_it_sleeps_until_one_passes() -> None:
    """A passed check wakes it at once; without any it wakes after the longest time, and says that none came."""
    waking = _asleep(has_check=True)
    assert waking.at == LONGEST
    assert waking.check_passed(1.0) == "check_passed"
    missing = _asleep(has_check=True)
    assert (missing.look(LONGEST - 0.001), missing.look(LONGEST)) == (None, "check_missing")


def test_a_check_that_fails_takes_back_the_one_that_passed() -> None:
    """Else a breaker that was asked to wait would wake on old news."""
    waking = _asleep(has_check=True)
    waking.ask(20.0, 0.0)
    assert waking.check_passed(1.0) is None
    assert waking.at == 20.0
    waking.check_failed()
    assert waking.at == LONGEST


def test_each_sleep_asks_for_a_check_of_its_own() -> None:
    """That a check passed before it opened again says nothing about now."""
    waking = _asleep(has_check=True)
    waking.check_passed(1.0)
    waking.sleep(10.0)
    assert waking.at == 10.0 + LONGEST


def test_a_check_is_not_believed_after_it_was_wrong() -> None:
    """When the probes after a passed check fail, checks only allow it to try at its time, until it has closed."""
    waking = _asleep(has_check=True)
    waking.woke("check_passed")
    waking.sleep(10.0)
    assert waking.check_passed(11.0) is None
    assert 11.0 < waking.at <= 10.0 + 2 * FIRST
    assert waking.check_passed(waking.at) == "time_is_up"
    waking.proved(30.0)
    waking.sleep(40.0)
    assert waking.check_passed(41.0) == "check_passed"


def test_probes_that_followed_the_clock_say_nothing_about_checks() -> None:
    """Only a check that was the reason for trying was wrong."""
    waking = _asleep(has_check=True)
    waking.woke("time_is_up")
    waking.sleep(10.0)
    assert waking.check_passed(11.0) == "check_passed"


def test_a_check_that_was_right_is_believed_the_next_time() -> None:
    """It closed after a passed check; that it opens later is no fault of that check."""
    waking = _asleep(has_check=True)
    waking.woke("check_passed")
    waking.proved(5.0)
    waking.sleep(40.0)
    assert waking.check_passed(41.0) == "check_passed"


def test_what_the_upstream_asked_before_it_opened_counts() -> None:
    """It may say with its last answers how long it wants to be left alone."""
    waking = Waking(OpenTime(FIRST, LONGEST, 10.0, Random(1)), LONGEST, has_check=False)
    waking.ask(30.0, 0.0)
    waking.sleep(2.0)
    assert waking.at == 30.0
    waking.forget()
    waking.sleep(2.0)
    assert waking.at <= 2.0 + FIRST


@given(st.lists(st.floats(0.001, 1000.0), max_size=20), st.booleans())
def test_nobody_can_make_it_sleep_longer_than_the_longest_time(asked: list[float], has_check: bool) -> None:  # noqa: FBT001
    """However often and for however long the upstream asks, during the sleep or before it."""
    waking = Waking(OpenTime(FIRST, LONGEST, 10.0, Random(1)), LONGEST, has_check=has_check)
    for seconds in asked[::2]:
        waking.ask(seconds, 0.0)
    waking.sleep(0.0)
    for now, seconds in enumerate(asked[1::2]):
        waking.ask(seconds, float(now))
    assert waking.at <= LONGEST
    assert waking.look(LONGEST) is not None
