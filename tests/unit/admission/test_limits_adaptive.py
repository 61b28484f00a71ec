"""The stages of the adaptive limit: what moves it from one to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.limits.by_endpoint import ByEndpoint
from gateway.admission.limits.closing import Closing, Verdict
from gateway.admission.limits.limit import Stage
from gateway.admission.limits.opening import Close, Opening
from gateway.admission.sample import Change, Sample
from gateway.core.outcome import Outcome

if TYPE_CHECKING:
    from gateway.admission.limits.limit import Limit


def _ended(at: float, now: float, n: int, outcome: Outcome = Outcome.SUCCESS) -> Sample:
    return Sample(at, now, n, "", outcome)


def _begin(limit: Limit, now: float, n: int) -> None:
    if limit.watch is not None:
        limit.watch.begin(now, n, "")


def _line(limit: Adaptive, workers: int, each: float, offered: float, until: float) -> float:
    """Constant service, first come first served, more offered than done; when the limit was no longer open."""
    now, done_at, free = 0.0, [], [0.0] * workers
    flying: list[tuple[float, float, int]] = []
    while now < until:
        now += 1 / offered
        while flying and flying[0][0] <= now:
            end, at, n = flying.pop(0)
            limit.update(_ended(at, end, n))
            if limit.stage is not Stage.OPEN:
                return end
        if len(flying) >= limit.value:
            limit.held_back(now)
            continue
        place = min(range(workers), key=free.__getitem__)
        free[place] = max(free[place], now) + each
        flying.append((free[place], now, len(flying) + 1))
        flying.sort()
        _begin(limit, now, len(flying))
    del done_at
    return until


def test_a_burst_before_the_first_answer_waits() -> None:
    """A thousand at one instant: as many as the start value, and no more until something is known."""
    opening = Opening(100)
    for number in range(1000):
        if number < opening.value:
            opening.begin(0.0, number + 1, "")
        else:
            opening.held_back(0.0)
    assert opening.value == 100


def test_smooth_arrivals_do_not_wait_for_the_first_answer() -> None:
    """A thousand in a second are no burst: nearly none is held back for long."""
    opening = Opening(100)
    n = 0
    for number in range(1000):
        now = number / 1000
        if n >= opening.value:
            opening.held_back(now)
        if n < opening.value:
            n += 1
            opening.begin(now, n, "")
    assert n >= 990


def test_what_still_comes_after_a_burst_is_let_in() -> None:
    """Two for each that has to wait a tenth of a second after the first had to."""
    opening = Opening(10)
    for number in range(10):
        opening.begin(0.0, number + 1, "")
    for _ in range(1000):
        opening.held_back(0.0)
    assert opening.value == 10
    opening.held_back(0.11)
    assert opening.value == 12


def test_successes_open_it_as_a_slow_start() -> None:
    """While half of the limit is in flight; with less it stays."""
    limit = Adaptive(100)
    _begin(limit, 0.0, 60)
    assert limit.update(_ended(0.0, 0.1, 60)) == Change(102, "room")
    _begin(limit, 0.2, 10)
    assert limit.update(_ended(0.2, 0.3, 10)) is None
    assert limit.stage is Stage.OPEN


def test_places_that_are_taken_by_what_takes_long_are_made_up_for() -> None:
    """A page was answered; then a hundred long polls sit in all places, and nothing ends that would open the limit."""
    opening = Opening(100)
    opening.begin(0.0, 1, "page")
    opening.update(Sample(0.0, 0.02, 1, "page", Outcome.SUCCESS))
    for number in range(100):
        opening.begin(0.03, number + 1, "poll")
    opening.held_back(0.05)
    assert opening.value == 100
    opening.held_back(0.2)
    assert opening.value == 102


def test_what_speaks_against_a_line_lets_in_what_comes() -> None:
    """Those that came while more were in flight ended sooner, eight times: no request waits for the next success."""
    opening = Opening(100)
    for number in range(1, 101):
        opening.begin(number / 1000, number, "")
    for number in range(90, 101):
        opening.held_back(0.11)
        before = opening.value
        opening.update(Sample(number / 1000, 0.11, number, "", Outcome.SUCCESS))
    assert opening.admissions.deaths >= 8
    opening.held_back(0.111)
    assert opening.value == before + 4  # for the success, and for the one that came


def test_a_hold_ends_by_itself() -> None:
    """With the next request that has to wait, if nothing ends meanwhile."""
    opening = Opening(100)
    opening.begin(0.0, 1, "page")
    opening.update(Sample(0.0, 0.02, 1, "page", Outcome.SUCCESS))
    opening.admissions.deaths = 4
    opening._hold(0.1, 57)
    assert opening.value == 57
    opening.held_back(0.11)
    assert opening.value == 57
    opening.held_back(0.15)
    assert opening.value >= 100


def test_it_never_opens_beyond_max() -> None:
    """However many succeed."""
    limit = Adaptive(20, 1, 50)
    for number in range(1000):
        now = number / 100
        _begin(limit, now, limit.value)
        limit.held_back(now)
        limit.update(_ended(now, now + 0.001, limit.value))
    assert limit.value == 50


def test_failures_and_leavers_open_nothing() -> None:
    """An error is fast, and says nothing."""
    limit = Adaptive(100)
    for outcome in (Outcome.FAILURE, Outcome.NEUTRAL, Outcome.TIMEOUT):
        for number in range(50):
            _begin(limit, number / 10, 80)
            assert limit.update(_ended(number / 10, number / 10 + 0.01, 80, outcome)) is None
    assert (limit.value, limit.stage) == (100, Stage.OPEN)


def test_a_line_closes_it() -> None:
    """Eight workers of 100 ms at five times what they do: within two seconds, and the first move down is to CLOSING."""
    limit = Adaptive(100)
    at = _line(limit, 8, 0.1, 400.0, 10.0)
    assert limit.stage is not Stage.OPEN
    assert at < 2.0
    assert 5 <= limit.value <= 40


def test_without_a_line_it_stays_open() -> None:
    """The same load, and a worker for everybody."""
    limit = Adaptive(100)
    _line(limit, 2000, 0.1, 400.0, 10.0)
    assert (limit.stage, limit.value) == (Stage.OPEN, 100)


def test_when_clients_only_leave_nobody_is_served() -> None:
    """It was answering once, and for seconds nothing comes back but clients that give up: half, and steered on."""
    limit = Adaptive(100)
    _begin(limit, 0.0, 1)
    limit.update(_ended(0.0, 0.1, 1))
    changes = []
    for number in range(400):
        now = 0.1 + number / 50
        _begin(limit, now, 100)
        limit.held_back(now)
        change = limit.update(_ended(now - 1.0, now, 100, Outcome.NEUTRAL))
        changes += [change] if change is not None else []
    assert changes[0] == Change(50, "silence")
    assert limit.stage is Stage.PROVEN


CLOSE = Close(limit=10, alone=0.1, n=80, crowd=80.0, ended=100, rate=100.0, usual=0.8, reason="line")


def test_when_clients_only_leave_a_limit_that_does_not_bind_is_found_as_well() -> None:
    """Fifty in flight of a hundred allowed, none of them is answered, and twice as many as the limit have left."""
    limit = Adaptive(100)
    _begin(limit, 0.0, 1)
    limit.update(_ended(0.0, 0.1, 1))
    changes = []
    for number in range(400):
        now = 0.1 + number / 50
        _begin(limit, now, 50)
        change = limit.update(_ended(now - 1.0, now, 50, Outcome.NEUTRAL))
        changes += [(number, change)] if change is not None else []
    assert changes[0] == (199, Change(25, "silence"))


def test_a_few_clients_who_leave_while_others_are_answered_close_nothing() -> None:
    """As many as twice the limit in all, with an answer now and then."""
    limit = Adaptive(100)
    for number in range(1000):
        now = number / 50
        _begin(limit, now, 50)
        limit.update(_ended(now - 0.5, now, 50, Outcome.NEUTRAL if number % 20 else Outcome.SUCCESS))
    assert limit.stage is Stage.OPEN


def _prove(closing: Closing, rate: float, *, seconds: float = 5.0, start: float = 0.0) -> list[Verdict]:
    """So many end a second while the limit binds; the verdicts up to the last one."""
    found: list[Verdict] = []
    now = start
    while now < start + seconds:
        now += 1 / rate
        closing.held_back(now)
        verdict = closing.update(_ended(now - 0.1, now, closing.value))
        closing.begin(now, min(closing.n + 1, closing.value) if closing.n < closing.value else closing.n, "")
        if verdict is not None:
            found.append(verdict)
            if verdict is not Verdict.RAISED:
                break
    return found


def _drained(closing: Closing) -> Closing:
    while closing._begun_at < 0:
        closing.update(_ended(0.0, 0.0, closing.n))
    return closing


def test_a_cut_is_not_judged_before_the_line_has_drained() -> None:
    """What ends meanwhile shows the line that was."""
    closing = Closing(CLOSE, 80)
    for number in range(60):
        assert closing.update(_ended(0.0, number / 100, 80)) is None
    assert closing._begun_at < 0


def test_a_cut_that_costs_nothing_is_true() -> None:
    """As much gets done with ten in flight as with eighty."""
    closing = _drained(Closing(CLOSE._replace(alone=0.05), 80))
    assert _prove(closing, 100.0) == [Verdict.TRUE]
    assert closing.value == 10


def test_a_cut_that_costs_in_proportion_was_a_false_alarm() -> None:
    """An eighth is in flight, an eighth gets done, and each takes as long as before."""
    closing = _drained(Closing(CLOSE._replace(alone=0.4), 80))
    assert _prove(closing, 12.5, seconds=20.0)[-1] is Verdict.FALSE


def test_where_nobody_waits_the_limit_is_raised_up_to_where_the_line_was_seen() -> None:
    """And when nobody waits even there, there was no line."""
    closing = _drained(Closing(CLOSE._replace(limit=10, n=20, crowd=20.0, alone=0.11), 20))
    found = []
    for _ in range(10):
        found += _prove(closing, closing.value / 0.1, seconds=1.0, start=len(found) * 10.0)
        if found[-1] is not Verdict.RAISED:
            break
    assert found[-1] is Verdict.FALSE
    assert set(found[:-1]) == {Verdict.RAISED}


def test_a_cut_that_went_too_far_is_corrected() -> None:
    """Two thirds of what was done get done, and requests wait all the same: half as much again."""
    closing = _drained(Closing(CLOSE._replace(alone=0.05), 80))
    found = _prove(closing, 66.0)
    assert found[0] is Verdict.RAISED
    assert closing.value >= 16


def _raised(closing: Closing, rate: float) -> float:
    """So many end a second until the limit is raised; the instant."""
    now, value = 0.0, closing.value
    while closing.value == value:
        now += 1 / rate
        closing.held_back(now)
        closing.update(_ended(now - 0.1, now, closing.value))
        closing.begin(now, closing.value, "")
    return now


@pytest.mark.parametrize("is_free", [True, False])
def test_a_raise_that_gets_more_done_in_proportion_was_no_line(is_free: bool) -> None:  # noqa: FBT001 - a case
    """The upper limit is held, and growth is what is tried next; when it gets no more done it was one."""
    closing = _drained(Closing(CLOSE._replace(alone=0.05), 80))
    begun = _raised(closing, 50.0)
    found = _prove(closing, 5.0 * closing.value if is_free else 50.0, start=begun, seconds=20.0)
    assert found[-1] is Verdict.TRUE
    assert closing.is_free is is_free


def test_a_cut_under_which_nobody_is_served_is_halved() -> None:
    """Clients give up, as many as the limit, and nothing else comes back: trials go on from the half."""
    closing = _drained(Closing(CLOSE, 80))
    found = []
    for number in range(200):
        now = number / 20
        closing.held_back(now)
        found.append(closing.update(_ended(now - 1.0, now, 10, Outcome.NEUTRAL)))
        closing.begin(now, 10, "")
    assert Verdict.TRUE in found
    assert found.index(Verdict.TRUE) >= 20
    assert closing.value <= 5


def test_a_false_alarm_opens_the_limit_where_it_was() -> None:
    """Everything else is forgotten."""
    limit = Adaptive(100)
    limit._closing = _drained(Closing(CLOSE._replace(alone=0.4), 80))
    limit.stage, limit.value, limit.watch = Stage.CLOSING, 10, limit._closing
    _prove(limit._closing, 12.5, seconds=0.0)
    now = 0.0
    change = None
    while limit.stage is Stage.CLOSING and now < 50.0:
        now += 0.08
        limit.held_back(now)
        change = limit.update(_ended(now - 0.8, now, 10))
        _begin(limit, now, 10)
    assert (change, limit.stage, limit.value) == (Change(80, "restore"), Stage.OPEN, 80)


# --- memory -----------------------------------------------------------------------------------------


def test_what_was_proven_is_believed_for_a_while() -> None:
    """At once, twice as much after ten minutes, and not at all when that is more than the start value."""
    state = {"stage": "proven", "limit": 12, "latency": 0.02}
    for age, value, stage in ((0.0, 12, Stage.PROVEN), (600.0, 24, Stage.PROVEN), (7200.0, 100, Stage.OPEN)):
        limit = Adaptive(100)
        limit.recall(state, age)
        assert (limit.value, limit.stage) == (value, stage)
        assert limit.latency == (0.02 if stage is Stage.PROVEN else 0.0)


def test_what_was_open_gives_a_burst_as_many_places() -> None:
    """Half as many after an hour, and never less than the start value."""
    state = {"stage": "open", "limit": 2000, "latency": 0.3}
    for age, value in ((0.0, 2000), (3600.0, 1000), (1e6, 100)):
        limit = Adaptive(100)
        limit.recall(state, age)
        assert (limit.value, limit.stage) == (value, Stage.OPEN)


def test_a_limit_remembers_what_it_recalls() -> None:
    """Its own words make the same limit."""
    limit = Adaptive(100)
    limit.recall({"stage": "proven", "limit": 12, "latency": 0.02}, 0.0)
    again = Adaptive(100)
    again.recall(limit.remember(), 0.0)
    assert again.remember() == limit.remember() == {"stage": "proven", "limit": 12, "latency": 0.02}
    assert Adaptive(100).remember() == {"stage": "open", "limit": 100, "latency": 0.0}


@given(
    st.dictionaries(
        st.sampled_from(["stage", "limit", "latency"]),
        st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.sampled_from(["open", "proven"])),
    ),
    st.floats(allow_nan=False),
)
def test_nonsense_is_ignored(state: dict[str, Any], age: float) -> None:
    """Whatever it is, the limit stays within its bounds."""
    limit = Adaptive(100, 2, 500)
    limit.recall(state, age)
    assert 2 <= limit.value <= 500


@pytest.mark.parametrize("age", [8 * 86_400.0, 1e300, float("inf")])
def test_what_is_very_old_is_not_believed(age: float) -> None:
    """A week is more doublings than a float can hold; the limit begins as if nothing were known."""
    limit = Adaptive(100)
    limit.recall({"stage": "proven", "limit": 12, "latency": 0.02}, age)
    assert limit.value == 100
    assert limit.stage is Stage.OPEN


def test_limits_of_endpoints_remember_each_for_itself() -> None:
    """And those that are gone are forgotten."""
    both = ByEndpoint(lambda: Adaptive(100))
    both.recall(
        {"a": {"stage": "proven", "limit": 5, "latency": 0.1}, "b": {"stage": "proven", "limit": 7, "latency": 0.1}}, 0
    )
    both.use(["a"], ["a"])
    assert both.value == 5
    assert both.stage is Stage.PROVEN
    assert both.remember() == {"a": {"stage": "proven", "limit": 5, "latency": 0.1}}


def test_replicas_that_come_while_a_cut_proves_itself_open_the_limit_in_proportion() -> None:
    """Whatever the line was, it was that of fewer."""
    limit = Adaptive(100)
    limit._closing = Closing(CLOSE, 80)
    limit.stage, limit.value = Stage.CLOSING, 10
    assert limit.rescale(2.0, 1.0) == Change(20, "replicas")
    assert limit.stage is Stage.OPEN


@pytest.mark.parametrize("n", [1, 99])
def test_a_stream_that_lets_go_is_no_evidence(n: int) -> None:
    """It is gone from the sample, and its place is done."""
    opening = Opening(100)
    opening.begin(0.0, n, "")
    opening.forget(_ended(0.0, 1.0, n))
    assert (len(opening.admissions.entries), opening.n) == (0, n - 1)
