"""The breaker, step by step: when it trips, how long it stays open, how it closes."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from random import Random
from typing import Any

import pytest

from gateway.core.clock import ManualClock
from gateway.core.outcome import Outcome
from gateway.core.units import Seconds
from gateway.resilience.breaker import Breaker
from gateway.resilience.page import Page
from gateway.resilience.settings import BreakerSettings

SUCCESS, FAILURE, TIMEOUT, NEUTRAL = Outcome.SUCCESS, Outcome.FAILURE, Outcome.TIMEOUT, Outcome.NEUTRAL
FAST, SLOW = 0.1, 2.5


def _breaker(*, has_check: bool = False, seed: int = 1, **settings: Any) -> Breaker:
    times = {key: Seconds(value) for key, value in settings.items() if key in {"open_for", "max_open_for", "window"}}
    return Breaker(
        "shop", BreakerSettings(**{**settings, **times}), clock=ManualClock(), rng=Random(seed), has_check=has_check
    )


def _calls(breaker: Breaker, outcome: Outcome, count: int, now: float, seconds: float = FAST) -> int:
    """Make calls one after the other; how many were admitted."""
    admitted = 0
    for _ in range(count):
        token = breaker.acquire(now)
        if token:
            admitted += 1
            breaker.report(token, outcome, seconds, now)
    return admitted


def _trip(breaker: Breaker, now: float) -> float:
    """Open it; when it will try again."""
    _calls(breaker, FAILURE, 20, now)
    assert breaker.state_word == "open"
    return now + breaker.retry_in(now)


def _tripped(breaker: Breaker) -> str:
    return breaker.last.reason if breaker.last and breaker.last.after == "open" else ""


# --- what trips it ---


def test_while_all_is_well_everybody_passes() -> None:
    """No number of good calls does anything."""
    breaker = _breaker()
    assert _calls(breaker, SUCCESS, 1000, 1.0) == 1000
    breaker.tick(1.1)
    assert (breaker.state_word, breaker.is_passing, breaker.room) == ("closed", True, inf)
    assert (breaker.can_pass(1.1), breaker.retry_in(1.1), breaker.transitions) == (True, 0.0, {})


@pytest.mark.parametrize(("outcome", "seconds"), [(FAILURE, FAST), (TIMEOUT, FAST), (TIMEOUT, SLOW)])
def test_half_of_the_calls_failing_trips(outcome: Outcome, seconds: float) -> None:
    """At the ratio and the volume, not before."""
    breaker = _breaker()
    _calls(breaker, SUCCESS, 10, 1.0)
    _calls(breaker, outcome, 9, 1.0, seconds)
    assert breaker.state_word == "closed"
    _calls(breaker, outcome, 1, 1.0, seconds)
    assert (breaker.state_word, _tripped(breaker)) == ("open", "failure_ratio")
    assert (breaker.is_passing, breaker.room, breaker.acquire(1.0), breaker.refused) == (False, 0, 0, 1)


def test_few_calls_trip_nothing() -> None:
    """Nineteen of nineteen failed: that is not enough to say."""
    breaker = _breaker()
    _calls(breaker, FAILURE, 19, 1.0)
    breaker.tick(1.0)
    assert breaker.state_word == "closed"


def test_volume_that_is_reached_by_a_success_is_seen_at_the_next_tick() -> None:
    """A good call is not judged on the path; time does it."""
    breaker = _breaker()
    _calls(breaker, FAILURE, 19, 1.0)
    _calls(breaker, SUCCESS, 1, 1.0)
    assert breaker.state_word == "closed"
    breaker.tick(1.2)
    assert _tripped(breaker) == "failure_ratio"


def test_slow_calls_trip() -> None:
    """Four fifths of the calls were slow, though each succeeded."""
    breaker = _breaker(slow_ratio=0.8)
    _calls(breaker, SUCCESS, 4, 1.0, 0.01)
    _calls(breaker, SUCCESS, 15, 1.0, SLOW)
    assert breaker.state_word == "closed"
    _calls(breaker, SUCCESS, 1, 1.0, SLOW)
    assert _tripped(breaker) == "slow_ratio"


def test_old_failures_are_forgotten() -> None:
    """Failures spread over more than the window never trip."""
    breaker = _breaker()
    for second in range(60):
        _calls(breaker, FAILURE, 1, float(second))
    assert breaker.state_word == "closed"


def test_a_client_that_leaves_teaches_nothing() -> None:
    """Neutral outcomes neither trip nor dilute."""
    breaker = _breaker()
    _calls(breaker, NEUTRAL, 1000, 1.0, SLOW)
    breaker.tick(1.0)
    assert breaker.state_word == "closed"
    _calls(breaker, FAILURE, 20, 1.0)
    assert breaker.state_word == "open"


def test_silence_trips_though_nothing_was_reported() -> None:
    """Twenty calls hang; a good minute before them does not help."""
    breaker = _breaker()
    for tenth in range(600):
        _calls(breaker, SUCCESS, 10, tenth / 10)
    assert all(breaker.acquire(60.0) for _ in range(20))
    breaker.tick(61.9)
    assert breaker.state_word == "closed"
    breaker.tick(63.5)
    assert _tripped(breaker) == "hanging"


def test_calls_that_hang_while_most_return_trip_nothing() -> None:
    """A few long downloads among many good calls."""
    breaker = _breaker()
    for _ in range(20):
        breaker.acquire(0.0)
    for tenth in range(100):
        _calls(breaker, SUCCESS, 10, tenth / 10)
        breaker.tick(tenth / 10)
    assert breaker.state_word == "closed"


def test_an_answer_that_has_begun_does_not_hang() -> None:
    """Event streams last; they are reported at their end like any call."""
    breaker = _breaker()
    tokens = [breaker.acquire(0.0) for _ in range(30)]
    for token in tokens:
        breaker.answered(token, 0.1)
    breaker.tick(100.0)
    assert breaker.state_word == "closed"
    for token in tokens:
        breaker.report(token, FAILURE, FAST, 100.0)
    assert _tripped(breaker) == "failure_ratio"


def test_a_second_report_of_a_token_is_ignored() -> None:
    """Each call counts once."""
    breaker = _breaker()
    _calls(breaker, SUCCESS, 10, 1.0)
    token = breaker.acquire(1.0)
    for _ in range(50):
        breaker.report(token, FAILURE, FAST, 1.0)
    assert breaker.state_word == "closed"


# --- Retry-After ---


def test_an_upstream_that_asks_to_be_left_alone_is() -> None:
    """Five answers with Retry-After are enough, and it stays open for as long as they said."""
    breaker = _breaker()
    for _ in range(5):
        assert breaker.state_word == "closed"
        token = breaker.acquire(1.0)
        breaker.report(token, FAILURE, FAST, 1.0)
        breaker.retry_after(17.0, 1.0)
    assert _tripped(breaker) == "retry_after"
    assert breaker.retry_in(1.0) == pytest.approx(17.0)


@pytest.mark.parametrize("outcome", [SUCCESS, NEUTRAL])
def test_to_be_asked_to_wait_need_not_be_a_failure(outcome: Outcome) -> None:
    """An upstream that answers everybody by 429 and Retry-After is busy, whoever's fault that is."""
    breaker = _breaker()
    for _ in range(5):
        assert breaker.state_word == "closed"
        breaker.report(breaker.acquire(1.0), outcome, FAST, 1.0)
        breaker.retry_after(3.0, 1.0)
    assert _tripped(breaker) == "retry_after"


def test_a_few_clients_over_their_quota_do_not_close_the_door_for_all() -> None:
    """429 with Retry-After to some, while most are served."""
    breaker = _breaker()
    for _ in range(100):
        _calls(breaker, SUCCESS, 3, 1.0)
        breaker.retry_after(17.0, 1.0)
    assert breaker.state_word == "closed"


def test_nobody_is_left_alone_for_longer_than_the_longest_time() -> None:
    """Retry-After: 86400 is 60 s here."""
    breaker = _breaker()
    reopens = _trip(breaker, 1.0)
    assert reopens <= 6.0
    breaker.retry_after(86400.0, 2.0)
    assert breaker.retry_in(2.0) == pytest.approx(59.0)


def test_a_probe_that_is_told_to_wait_opens_it_again() -> None:
    """In whichever order the answer and its field are told."""
    for order in (0, 1):
        breaker = _breaker()
        now = _trip(breaker, 1.0)
        token = breaker.acquire(now)
        if order:
            breaker.retry_after(30.0, now)
        breaker.report(token, FAILURE, FAST, now)
        if not order:
            breaker.retry_after(30.0, now)
        assert breaker.state_word == "open"
        assert breaker.retry_in(now) == pytest.approx(30.0)


# --- open ---


def test_it_opens_for_longer_each_time_up_to_a_bound() -> None:
    """5, 10, 20, 40, 60, 60 s, less up to a fifth."""
    breaker = _breaker()
    now = 1.0
    _trip(breaker, now)
    for longest in (5, 10, 20, 40, 60, 60, 60):
        wait = breaker.retry_in(now)
        assert 0.8 * longest <= wait <= longest
        assert not breaker.can_pass(now + wait - 0.001)
        now += wait
        assert breaker.can_pass(now)
        breaker.report(breaker.acquire(now), FAILURE, FAST, now)
        assert breaker.state_word == "open"


def test_the_same_seed_draws_the_same_times() -> None:
    """Jitter is reproducible, and differs between seeds."""

    def story(seed: int) -> list[float]:
        breaker = _breaker(seed=seed)
        now = 1.0
        _trip(breaker, now)
        waits = []
        for _ in range(5):
            waits.append(breaker.retry_in(now))
            now += waits[-1]
            breaker.report(breaker.acquire(now), FAILURE, FAST, now)
        return waits

    assert story(1) == story(1)
    assert story(1) != story(2)


def _recover(breaker: Breaker, now: float) -> None:
    while breaker.state_word != "closed":
        assert _calls(breaker, SUCCESS, 1, now)


def test_flapping_is_remembered_and_staying_closed_forgets_it() -> None:
    """Closed for less than it was open: it goes on doubling; for long enough: from the beginning."""
    breaker = _breaker()
    now = _trip(breaker, 1.0)
    for longest in (10, 20, 40):
        _recover(breaker, now)
        wait = _trip(breaker, now + 1) - (now + 1)
        assert 0.8 * longest <= wait <= longest
        now += 1 + wait
    _recover(breaker, now)
    now += 41
    assert 4 <= _trip(breaker, now) - now <= 5


def test_time_alone_half_opens_it() -> None:
    """At the tick as well as at the next call."""
    breaker = _breaker()
    now = _trip(breaker, 1.0)
    breaker.tick(now - 0.01)
    assert breaker.state_word == "open"
    breaker.tick(now)
    assert (breaker.state_word, breaker.room, breaker.is_passing) == ("half_open", 3, False)
    assert breaker.last is not None
    assert breaker.last.reason == "open_time"


# --- with active checks ---


def test_with_checks_it_waits_for_one_to_pass() -> None:
    """Its time being up is not enough; one check that passes is, at once."""
    breaker = _breaker(has_check=True)
    now = _trip(breaker, 1.0)
    breaker.tick(30.0)
    assert (breaker.state_word, breaker.acquire(30.0)) == ("open", 0)
    breaker.check_failed(31.0)
    breaker.tick(31.0)
    assert breaker.state_word == "open"
    breaker.check_passed(31.5)
    assert breaker.state_word == "half_open"

    early = _breaker(has_check=True)
    assert _trip(early, 1.0) > 2.0
    early.check_passed(1.5)
    assert early.state_word == "half_open"
    assert now


def test_a_check_that_is_never_made_does_not_wedge_it() -> None:
    """After the longest time it tries by itself."""
    breaker = _breaker(has_check=True)
    assert _trip(breaker, 1.0) == pytest.approx(61.0)
    breaker.tick(60.9)
    assert breaker.state_word == "open"
    breaker.tick(61.0)
    assert breaker.state_word == "half_open"
    assert breaker.last is not None
    assert breaker.last.reason == "check_missing"


def test_a_check_that_was_wrong_does_not_shorten_the_time_again() -> None:
    """A service that answers checks and nothing else is asked at growing intervals, not at each check."""
    breaker = _breaker(has_check=True)
    now = 1.0
    _trip(breaker, now)
    tries = []
    while now < 300:
        now += 0.5
        breaker.check_passed(now)
        breaker.tick(now)
        if breaker.state_word == "half_open":
            tries.append(now)
            _calls(breaker, FAILURE, 3, now)
    gaps = [second - first for first, second in pairwise(tries)]
    assert tries[0] == 1.5
    for gap, longest in zip(gaps, (10, 20, 40, 60, 60, 60, 60), strict=False):
        assert 0.8 * longest <= gap <= longest + 0.5


def test_a_check_does_not_overrule_the_upstreams_own_word() -> None:
    """It asked for twenty seconds; that its health page answers is no contradiction."""
    breaker = _breaker(has_check=True)
    _trip(breaker, 1.0)
    breaker.retry_after(20.0, 1.0)
    breaker.check_passed(2.0)
    breaker.tick(20.9)
    assert breaker.state_word == "open"
    breaker.tick(21.1)
    assert breaker.state_word == "half_open"


# --- half-open ---


def test_exactly_the_probes_pass() -> None:
    """The others are refused until one comes back."""
    breaker = _breaker()
    now = _trip(breaker, 1.0)
    tokens = [token for token in (breaker.acquire(now) for _ in range(50)) if token]
    assert len(tokens) == 3
    assert not breaker.can_pass(now)
    assert breaker.retry_in(now + 1) == pytest.approx(3.0)  # when the oldest lease ends
    breaker.report(tokens[0], SUCCESS, FAST, now)
    assert breaker.can_pass(now)
    assert breaker.acquire(now)
    assert not breaker.acquire(now)


def test_one_failed_probe_opens_it_again() -> None:
    """Two good ones do not outvote it."""
    breaker = _breaker()
    now = _trip(breaker, 1.0)
    first, second, third = (breaker.acquire(now) for _ in range(3))
    breaker.report(first, SUCCESS, FAST, now)
    breaker.report(second, SUCCESS, FAST, now)
    breaker.report(third, FAILURE, FAST, now)
    assert _tripped(breaker) == "probe_failed"
    now += breaker.retry_in(now)
    _calls(breaker, SUCCESS, 2, now)
    assert breaker.state_word == "half_open"  # the good ones of last time do not count


def test_one_slow_probe_is_not_enough_and_three_are() -> None:
    """Some calls are slow everywhere; and by default slow is not sick, so that slow probes close it."""
    breaker = _breaker()
    now = _trip(breaker, 1.0)
    _calls(breaker, SUCCESS, 3, now, SLOW)
    assert breaker.state_word == "ramping"
    breaker = _breaker(slow_ratio=0.8)
    _calls(breaker, SUCCESS, 1, 0.5, FAST)
    now = _trip(breaker, 1.0)
    _calls(breaker, SUCCESS, 2, now, SLOW)
    assert breaker.state_word == "half_open"
    _calls(breaker, SUCCESS, 1, now, SLOW)
    assert _tripped(breaker) == "probe_slow"


def test_a_probe_that_is_never_reported_is_given_up() -> None:
    """After twice the slow threshold it counts as a failure, where it is known that calls are quicker than that."""
    breaker = _breaker()
    _calls(breaker, SUCCESS, 10, 0.5)
    now = _trip(breaker, 1.0)
    lost = breaker.acquire(now)
    breaker.tick(now + 3.9)
    assert breaker.state_word == "half_open"
    breaker.tick(now + 4.0)
    assert _tripped(breaker) == "probe_lost"
    breaker.report(lost, SUCCESS, FAST, now + 4.1)
    assert breaker.state_word == "open"


def test_without_ticks_a_refusal_gives_up_lost_probes() -> None:
    """Even when nobody tells it that time passes it cannot wedge."""
    breaker = _breaker()
    now = _trip(breaker, 1.0)
    for _ in range(3):
        breaker.acquire(now)
    assert breaker.acquire(now + 100) == 0
    assert _tripped(breaker) == "probe_lost"
    assert breaker.acquire(now + 200)


def test_a_neutral_probe_frees_its_place() -> None:
    """And proves nothing: three successes are still needed."""
    breaker = _breaker()
    now = _trip(breaker, 1.0)
    _calls(breaker, NEUTRAL, 100, now)
    _calls(breaker, SUCCESS, 2, now)
    assert breaker.state_word == "half_open"
    _calls(breaker, SUCCESS, 1, now)
    assert breaker.state_word == "ramping"


def test_probes_whose_answers_last_count_as_good_in_the_end() -> None:
    """An upstream of nothing but event streams comes back too."""
    breaker = _breaker()
    now = _trip(breaker, 1.0)
    for _ in range(3):
        breaker.answered(breaker.acquire(now), now + 0.1)
    assert not breaker.acquire(now + 0.2)
    breaker.tick(now + 4.0)
    assert breaker.state_word == "half_open"
    breaker.tick(now + 4.2)
    assert breaker.state_word == "ramping"


# --- the ramp ---


def _ramping(in_flight: int) -> tuple[Breaker, float]:
    """A breaker that has just passed its probes, and had so many in flight when it tripped."""
    breaker = _breaker()
    for _ in range(in_flight):
        breaker.acquire(1.0)
    now = _trip(breaker, 1.0)
    _calls(breaker, SUCCESS, 3, now)
    assert (breaker.state_word, breaker.room) == ("ramping", 3)
    return breaker, now


@pytest.mark.parametrize(("in_flight", "goal"), [(0, 4), (4, 10), (10, 22), (500, 64)])
def test_the_cap_grows_by_one_a_success_to_twice_what_was(in_flight: int, goal: int) -> None:
    """And the ramp ends there; the call that tripped it was in flight too."""
    breaker, now = _ramping(in_flight)
    cap = 3
    while breaker.state_word == "ramping":
        assert breaker.room == cap
        tokens = [token for token in (breaker.acquire(now) for _ in range(100)) if token]
        assert len(tokens) == cap
        breaker.report(tokens.pop(), SUCCESS, FAST, now)
        cap += 1
        for token in tokens:
            breaker.report(token, NEUTRAL, FAST, now)
    assert cap in {goal, max(4, goal - 2)}
    assert (breaker.is_passing, breaker.room) == (True, inf)
    assert breaker.last is not None
    assert breaker.last.reason == "ramped"


def test_a_failure_does_not_widen_the_ramp() -> None:
    """The cap grows by successes alone."""
    breaker, now = _ramping(50)
    _calls(breaker, FAILURE, 5, now)
    _calls(breaker, SUCCESS, 5, now, SLOW)
    assert breaker.room == 3


def test_a_relapse_in_the_ramp_opens_it_again() -> None:
    """By the same rule as ever."""
    breaker, now = _ramping(50)
    _calls(breaker, FAILURE, 20, now)
    assert _tripped(breaker) == "failure_ratio"
    assert breaker.retry_in(now) > 5


def test_a_ramp_with_few_calls_ends_by_time() -> None:
    """A window without relapse; what is in flight is still known."""
    breaker, now = _ramping(50)
    token = breaker.acquire(now)
    breaker.tick(now + 9.9)
    assert breaker.state_word == "ramping"
    breaker.tick(now + 10)
    assert breaker.state_word == "closed"
    _calls(breaker, FAILURE, 19, now + 10)
    breaker.report(token, FAILURE, FAST, now + 10)
    assert breaker.state_word == "open"


# --- an operator's word, modes ---


def test_forced_is_forced_until_reset() -> None:
    """Nothing but an operator ends it, and who it was is recorded."""
    breaker = _breaker()
    breaker.force_open("ann", "database is being moved", 1.0)
    breaker.check_passed(2.0)
    breaker.tick(1000.0)
    assert (breaker.acquire(1000.0), breaker.room, breaker.can_pass(1000.0)) == (0, 0, False)
    assert breaker.retry_in(1000.0) == 60
    breaker.force_close("bob", "we need it", 1001.0)
    assert breaker.is_passing
    _calls(breaker, FAILURE, 100, 1001.0)
    breaker.tick(1001.0)
    assert breaker.state_word == "forced_closed"
    breaker.reset("ann", "done", 1002.0)
    assert (breaker.state_word, breaker.is_passing) == ("closed", True)
    assert breaker.last == ("forced_closed", "closed", "reset", 1002.0, "ann", "done")
    _calls(breaker, FAILURE, 19, 1002.0)
    assert breaker.state_word == "closed"  # nothing of what was before counts


def test_shadow_decides_and_refuses_nothing() -> None:
    """Its transitions and would-be refusals are counted; calls that would not have been made teach nothing."""
    breaker = _breaker(mode="shadow")
    assert _trip(breaker, 1.0) == 1.0  # nobody has to wait
    now = 7.0
    assert (breaker.is_passing, breaker.room, breaker.can_pass(1.0)) == (True, inf, True)
    assert _calls(breaker, FAILURE, 10, 1.5) == 10
    assert (breaker.shadow_refused, breaker.refused, breaker.state_word) == (10, 0, "open")
    assert _calls(breaker, SUCCESS, 50, now) == 50
    assert breaker.state_word == "closed"
    assert set(breaker.transitions) == {
        ("closed", "open", "failure_ratio"),
        ("open", "half_open", "open_time"),
        ("half_open", "ramping", "probes_passed"),
        ("ramping", "closed", "ramped"),
    }


def test_shadow_probes_are_as_many_as_would_have_passed() -> None:
    """Of ten calls at once in half-open three decide."""
    breaker = _breaker(mode="shadow")
    _trip(breaker, 1.0)
    now = 7.0
    tokens = [breaker.acquire(now) for _ in range(10)]
    assert all(tokens)
    assert breaker.shadow_refused == 7
    breaker.report(tokens[5], FAILURE, FAST, now)
    assert breaker.state_word == "half_open"
    breaker.report(tokens[0], FAILURE, FAST, now)
    assert breaker.state_word == "open"


def test_off_does_nothing() -> None:
    """No state, no counts, no memory of calls."""
    breaker = _breaker(mode="off")
    assert _calls(breaker, FAILURE, 100, 1.0, SLOW) == 100
    for _ in range(100):
        breaker.acquire(1.0)
        breaker.retry_after(10.0, 1.0)
    breaker.tick(100.0)
    assert (breaker.state_word, breaker.is_passing, breaker.transitions) == ("closed", True, {})
    assert not breaker._flying


@pytest.mark.parametrize("mode", ["enforce", "shadow", "off"])
def test_an_operator_is_obeyed_in_every_mode(mode: str) -> None:
    """Shadow and off are about what the breaker decides."""
    breaker = _breaker(mode=mode)
    breaker.force_open("ann", "maintenance", 1.0)
    assert (breaker.acquire(1.0), breaker.is_passing, breaker.room) == (0, False, 0)
    breaker.reset("ann", "done", 2.0)
    assert breaker.acquire(2.0)


# --- who watches ---


def test_each_transition_is_told_and_a_callback_that_raises_changes_nothing() -> None:
    """It is called after the fact."""
    breaker = _breaker()
    seen = []

    def watch(one: Breaker) -> None:
        seen.append((one.state_word, one.last.reason if one.last else ""))
        raise RuntimeError("full")

    breaker.on_change = watch
    now = _trip(breaker, 1.0)
    _calls(breaker, SUCCESS, 100, now)
    assert seen == [
        ("open", "failure_ratio"),
        ("half_open", "open_time"),
        ("ramping", "probes_passed"),
        ("closed", "ramped"),
    ]
    assert breaker.callback_errors == 4
    assert breaker.state_word == "closed"


def test_a_callback_may_close_it_in_the_middle_of_a_call() -> None:
    """Whoever asks in that moment is let in, and counted."""
    breaker = _breaker()
    now = _trip(breaker, 1.0)

    def watch(one: Breaker) -> None:
        if one.state_word == "half_open":
            one.reset("bot", "impatient", now)

    breaker.on_change = watch
    token = breaker.acquire(now)
    assert breaker.state_word == "closed"
    assert token in breaker._flying


def test_a_repr_says_what_matters() -> None:
    """For logs and failed tests."""
    breaker = _breaker()
    breaker.acquire(1.0)
    assert repr(breaker) == "<Breaker shop closed in_flight=1>"
    breaker.tick(_trip(breaker, 1.0))
    assert repr(breaker) == "<Breaker shop half_open room=3 in_flight=0>"


def test_a_routes_wish_does_not_keep_the_endpoint_closed() -> None:
    """One route asked for fifty seconds; when the endpoint takes no connections it is tried again after its own time."""
    breaker = Breaker("shop", BreakerSettings(), clock=ManualClock(), rng=Random(1), parts="route")
    page = Page("route", "/full", 2.0)
    for _ in range(6):
        breaker.report(breaker.acquire(1.0, page), FAILURE, FAST, 1.0)
        breaker.retry_after(50.0, 1.0, page)
    assert breaker.state_word == "closed"
    for _ in range(20):
        breaker.report(breaker.acquire(1.0, page), FAILURE, FAST, 1.0, is_whole=True)
    assert breaker.state_word == "open"
    assert breaker.retry_in(1.0) <= 5.0
