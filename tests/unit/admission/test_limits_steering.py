"""The limit that is steered by trials, before upstreams of which everything is known."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

import pytest

from gateway.admission.limits.elasticity import Elasticity
from gateway.admission.limits.memory import Memory
from gateway.admission.limits.steering import Steering
from gateway.admission.limits.window import TOGETHER, Window
from gateway.admission.sample import Change, Sample
from gateway.core.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable


def _saturate(
    limit: Steering, latency: Callable[[int], float], seconds: float, start: float = 0.0
) -> list[tuple[float, Change]]:
    """As many in flight as the limit allows, always; each takes ``latency(in flight)``. All changes."""
    ends: list[tuple[float, float, int]] = []
    now = start
    changes: list[tuple[float, Change]] = []
    while now < start + seconds:
        while len(ends) < limit.value:
            # a hair apart, as real requests are
            heappush(ends, (now + latency(limit.value) + 1e-6 * len(ends), now, len(ends) + 1))
        limit.held_back(now)
        now, admitted_at, in_flight = heappop(ends)
        change = limit.update(Sample(admitted_at, now, in_flight, "", Outcome.SUCCESS))
        if change is not None:
            changes.append((now, change))
    return changes


def _knee(workers: int, alone: float) -> Callable[[int], float]:
    return lambda in_flight: alone * max(1.0, in_flight / workers)


@pytest.mark.parametrize(("workers", "alone"), [(2, 0.02), (8, 0.02), (40, 0.02), (100, 0.05)])
def test_it_finds_the_knee_from_either_side(workers: int, alone: float) -> None:
    """Started at 20, whatever the knee, it ends between the knee and half as much again (and 6 more)."""
    limit = Steering(20, 1, 500)
    _saturate(limit, _knee(workers, alone), 60.0)
    assert workers * 0.8 <= limit.value <= workers * 1.5 + 6


def test_it_stops_at_the_bounds() -> None:
    """An upstream without a knee is not asked for more than max, one without room for not less than min."""
    limit = Steering(20, 4, 50)
    _saturate(limit, lambda _: 0.02, 20.0)
    assert limit.value == 50
    limit = Steering(20, 4, 50)
    _saturate(limit, _knee(1, 0.02), 60.0)
    assert 4 <= limit.value <= 8


def test_a_start_is_never_shrunk_for_good_without_evidence() -> None:
    """With room to spare, the first trial down is taken back at once."""
    limit = Steering(20, 1, 500)
    changes = [change for _, change in _saturate(limit, _knee(1000, 0.02), 5.0)]
    assert [change.reason for change in changes[:2]] == ["probe", "restore"]
    assert changes[1].limit >= 20
    assert limit.value > 100


def test_probes_do_not_dip_deep() -> None:
    """Once it knows where it is, no trial for its own sake takes away more than an eighth (or one)."""
    limit = Steering(20, 1, 500)
    _saturate(limit, _knee(40, 0.02), 20.0)
    before = limit.value
    for _, change in _saturate(limit, _knee(40, 0.02), 60.0, start=20.0):
        if change.reason == "probe":
            assert change.limit >= before - max(1, round(before / 8))
        before = change.limit


def test_a_slower_service_is_not_mistaken_for_a_longer_line() -> None:
    """When every request takes twice as long and none waits, the limit is soon back where it was, or above."""
    limit = Steering(20, 1, 60)
    _saturate(limit, lambda _: 0.02, 10.0)
    assert limit.value == 60
    _saturate(limit, lambda _: 0.04, 30.0, start=10.0)
    assert limit.value >= 50


def test_the_base_drifts_no_further_than_what_was_seen() -> None:
    """However long it goes on: what is taken for usual stays between the least and the most that was measured."""
    limit = Steering(20, 1, 500)
    _saturate(limit, _knee(8, 0.02), 120.0)
    assert 0.019 <= limit._base[""] <= 0.03


def test_the_first_moments_of_a_surge_decide_nothing() -> None:
    """A window that was full at its end alone shows what was offered: no move, no memory, no other base."""
    limit = Steering(20, 1, 500)
    base = 0.02
    now = 0.0
    for number in range(400):  # alone with 5 in flight
        now = number * 0.004
        limit.update(Sample(now - base, now, 5, "", Outcome.SUCCESS))
    assert (limit.value, limit._base[""]) == (20, pytest.approx(base))
    limit.held_back(now + 0.004)
    for number in range(1, 200):
        later = now + number * 0.004
        limit.update(Sample(later - 0.03, later, 15, "", Outcome.SUCCESS))
    assert (limit.value, limit._base[""], limit._memory._records) == (20, pytest.approx(base), {})


def test_bursts_for_a_fast_upstream_are_let_through() -> None:
    """The limit is met in bursts alone and the upstream answers in a millisecond: it grows until nobody is held back."""
    limit = Steering(20, 1, 500)
    now = 0.0
    for number in range(2000):
        now = number * 0.0001
        if limit.value < 64:
            limit.held_back(now)
        limit.update(Sample(now - 0.001, now, 10, "", Outcome.SUCCESS))
    assert limit.value >= 64


def test_failures_say_nothing_about_latency() -> None:
    """An upstream that fails at once does not look fast: nothing moves."""
    limit = Steering(20, 1, 500)
    now = 0.0
    for _ in range(5000):
        now += 0.002
        limit.held_back(now)
        assert limit.update(Sample(now - 0.0001, now, 20, "", Outcome.FAILURE)) is None
    assert limit.value == 20


def test_a_rare_slow_route_does_not_drown_what_the_others_see() -> None:
    """A route of half a second that jitters by a tenth hides no line of 5 ms before one of 5 ms."""
    limit = Steering(20, 1, 500)
    number = 0

    def feed(latency: float, seconds: float, start: float) -> None:
        nonlocal number
        now = start
        while now < start + seconds:
            now += 0.001
            number += 1
            limit.held_back(now)
            if number % 10 == 0:
                slow = 0.5 * (1 + 0.1 * (number * 0.618 % 1 - 0.5))
                limit.update(Sample(now - slow, now, limit.value, "slow", Outcome.SUCCESS))
            limit.update(Sample(now - latency, now, limit.value, "fast", Outcome.SUCCESS))

    for _ in range(3000):  # low load first: what requests take alone
        number += 1
        limit.update(Sample(number * 0.01 - 0.005, number * 0.01, 2, "fast", Outcome.SUCCESS))
        limit.update(Sample(number * 0.01 - 0.5, number * 0.01, 2, "slow", Outcome.SUCCESS))
    feed(0.012, 3.0, 30.0)
    assert limit.value < 20


@pytest.mark.parametrize("knee", [8, 16, 40])
def test_a_limit_that_thrashes_is_left(knee: int) -> None:
    """Where 5 % is lost with each request beyond the knee, it stays at most an eighth (and one) above it."""

    def latency(in_flight: int) -> float:
        return 0.02 * (1 + 0.05 * max(0, in_flight - knee)) * max(1.0, in_flight / knee)

    limit = Steering(20, 1, 500)
    _saturate(limit, latency, 30.0)
    assert knee * 0.8 <= limit.value <= knee * 1.125 + 1


def test_where_more_get_less_done_no_line_is_tolerated() -> None:
    """Once trials have shown that throughput falls, nothing grows any more and a shorter line is enough to cut."""
    known, unknown = Steering(20, 1, 500), Steering(20, 1, 500)
    for limit in (known, unknown):
        _saturate(limit, _knee(8, 0.02), 10.0)
    known._elasticity.learn(1.0, -1.0, 1e9)
    reasons = [
        [change.reason for _, change in _saturate(limit, _knee(8, 0.02), 10.0, start=10.0)]
        for limit in (known, unknown)
    ]
    assert "room" not in reasons[0]
    assert "room" in reasons[1]
    assert known.value <= unknown.value


def _window(limit: int, rate: float, count: int = 240) -> Window:
    window = Window(limit, 0.0)
    for _ in range(count):
        window.add("", 0.02, limit)
    window.close(count / rate)
    return window


def _stopped_growing(memory: Callable[[Steering, float], None]) -> list[str]:
    """The reasons of the changes within a second in which nothing waits, after ``memory`` was tampered with."""
    limit = Steering(20, 1, 500)
    _saturate(limit, lambda _: 0.02, 0.5)
    memory(limit, 0.5)
    return [change.reason for _, change in _saturate(limit, lambda _: 0.02, 1.0, start=0.5)]


def test_a_limit_that_got_less_done_is_not_tried_again() -> None:
    """There is room, but two limits just above are on record for a third less."""

    def spoil(limit: Steering, now: float) -> None:
        for above in (1, 2):
            limit._memory.learn(_window(limit.value + above, limit.value / 0.03, 2000), now)

    assert "room" in _stopped_growing(lambda _limit, _now: None)
    assert "room" not in _stopped_growing(spoil)


def test_a_trial_that_was_free_refutes_what_is_on_record_above_it() -> None:
    """Twenty get twice as much done as ten: then whatever is said of more than ten is of another service."""
    limit = Steering(20, 1, 500)
    limit._memory.learn(_window(22, 500.0, 20000), 0.0)
    changes = [change for _, change in _saturate(limit, _knee(1000, 0.02), 3.0)]
    assert [change.reason for change in changes[:3]] == ["probe", "restore", "room"]


def test_a_limit_below_one_that_gets_more_done_is_not_cut() -> None:
    """Requests take twice as long and that looks like a line, but the limits above are on record for half as much."""

    def surplus(*, is_known: bool) -> bool:
        limit = Steering(20, 1, 20)
        _saturate(limit, lambda _: 0.02, 5.0)
        limit._memory = Memory()
        if is_known:
            limit._memory.learn(_window(22, 1500.0, 20000), 5.0)
        return "surplus" in [change.reason for _, change in _saturate(limit, lambda _: 0.04, 0.5, start=5.0)]

    assert surplus(is_known=False)
    assert not surplus(is_known=True)


def _after_waiting(count: float, memory: Callable[[Steering], None] = lambda _: None) -> Change | None:
    """What a limit of 40 does after a window in which so many more than wanted seemed to wait in the upstream."""
    limit = Steering(40, 1, 500)
    limit._is_base_proven = True
    memory(limit)
    window = _window(40, 200.0)
    limit._base[""] = 0.02 - (0.65 + 0.04 * 40 + count) / 200.0
    limit.held_back(2.0)
    return limit._decide(window, 2.0)


def _after_record(count: float, limit: int, rate: float) -> int:
    """By how much a limit of 40 moves then, when another one is on record for a rate (its own is 200)."""
    change = _after_waiting(count, lambda steered: steered._memory.learn(_window(limit, rate, 4000), 2.0))
    return 0 if change is None else change.limit - 40


def test_growth_is_by_one_where_more_may_get_less_done() -> None:
    """A record that is lower, but by less than can be trusted, makes the next step small."""
    assert _after_record(-1.0, 42, 190.0) == 1
    assert _after_record(-1.0, 42, 200.0) > 1


def test_where_less_got_more_done_one_less_is_tried() -> None:
    """Nothing seems to wait, but the limits just below are on record for a quarter more."""
    assert _after_record(-1.0, 38, 250.0) == -1
    assert _after_record(-1.0, 38, 200.0) > 0


def test_what_is_remembered_to_get_less_done_is_not_tried_for_its_own_sake() -> None:
    """A trial down is due, but one less is on record for a third less: more is tried instead."""
    assert _after_waiting(0.0) == Change(35, "probe")
    assert _after_waiting(0.0, lambda limit: limit._memory.learn(_window(39, 130.0, 400), 2.0)) == Change(45, "probe")


def test_what_is_remembered_above_may_be_of_another_service_when_nothing_waits() -> None:
    """A trial up is due, and more is on record for less: it is tried only while there is room, or nothing would end it."""

    def spoil(limit: Steering) -> None:
        limit._suspects_line = False
        limit._memory.learn(_window(41, 130.0, 400), 2.0)

    assert _after_waiting(-1.0, spoil) == Change(45, "probe")
    assert _after_waiting(0.5, spoil) is None


def test_a_cut_takes_no_more_than_the_surplus() -> None:
    """Nine and a half too many: nine go, because one too few costs throughput and one too many a little time."""
    assert _after_waiting(9.5) == Change(31, "surplus")


def test_memory_adds_up_what_a_limit_got_done() -> None:
    """The more was seen, the surer: 5 % less is half a standard error in one window each, and three in thirty-six."""
    known = Memory()
    assert known.gain(16, 17, 20) == 0
    for rounds, gain in ((1, -0.56), (35, -3.4)):
        for _ in range(rounds):
            known.learn(_window(16, 800.0), 1.0)
            known.learn(_window(17, 760.0), 1.0)
        assert known.gain(16, 17, 20) == pytest.approx(gain, abs=0.1)
    assert known.gain(16, 17, 16) == known.gain(17, 18, 22) == 0
    assert known.gain(17, 14, 16) == pytest.approx(-known.gain(16, 17, 20))
    assert repr(known) == "<Memory limits=[16, 17]>"


def test_memory_fades() -> None:
    """After a minute hardly anything is left, after four nothing."""
    known = Memory()
    for limit, rate in ((16, 800.0), (17, 600.0)):
        known.learn(_window(limit, rate), 0.0)
    fresh = known.gain(16, 17, 20)
    known.learn(_window(16, 800.0), 60.0)
    assert fresh < -3
    assert -1.2 < known.gain(16, 17, 20) < 0
    known.learn(_window(16, 800.0), 240.0)
    assert repr(known) == "<Memory limits=[16]>"


def test_memory_of_another_service_is_none() -> None:
    """A limit that suddenly gets a third more done ends it; one that is as before, or refuted, does not."""
    known = Memory()
    known.learn(_window(16, 800.0), 0.0)
    known.learn(_window(17, 800.0), 0.0)
    known.learn(_window(16, 820.0), 0.0)
    assert repr(known) == "<Memory limits=[16, 17]>"
    known.learn(_window(16, 1200.0), 0.0)
    assert repr(known) == "<Memory limits=[16]>"
    known.learn(_window(17, 800.0), 0.0)
    known.forget(16)
    assert repr(known) == "<Memory limits=[16]>"


def test_memory_ends_with_two_windows_in_a_row_that_differ_the_same_way() -> None:
    """One of 240 completions that differs by a fifth may be chance, a second one is not; nor is one up and one down."""
    known = Memory()
    known.learn(_window(16, 800.0), 0.0)
    known.learn(_window(17, 800.0), 0.0)
    known.learn(_window(16, 1000.0), 0.0)
    assert repr(known) == "<Memory limits=[16, 17]>"
    known.learn(_window(16, 730.0), 0.0)
    assert repr(known) == "<Memory limits=[16, 17]>"
    known.learn(_window(16, 670.0), 0.0)
    assert repr(known) == "<Memory limits=[16]>"


def test_memory_is_bounded() -> None:
    """However many limits are held, the faintest go."""
    known = Memory()
    for limit in range(1, 200):
        known.learn(_window(limit, 800.0, 100 + limit), 0.0)
    assert repr(known) == f"<Memory limits={list(range(168, 200))}>"


def test_a_refuted_cut_is_not_tried_again_and_again() -> None:
    """Requests that take 2.5 times as long look like a line once; then that is what they take, and the limit grows."""
    limit = Steering(10, 1, 500)
    _saturate(limit, _knee(8, 0.02), 10.0)
    changes = [change for _, change in _saturate(limit, lambda _: 0.05, 20.0, start=10.0)]
    assert [change.reason for change in changes].count("surplus") == 1
    assert limit.value >= 100


def test_an_upstream_that_answers_within_two_milliseconds_is_not_held_back() -> None:
    """The limit doubles from the start, without a trial down."""
    limit = Steering(20, 1, 500)
    changes = [change for _, change in _saturate(limit, lambda _: 0.001, 1.0)]
    assert limit.value == 500
    assert {change.reason for change in changes} == {"room"}


def test_what_was_admitted_before_the_last_change_never_teaches() -> None:
    """However much of it comes, however slow it was: the limit stays, and the next window has none of it."""
    plain, flooded = Steering(20, 1, 500), Steering(20, 1, 500)
    for limit in (plain, flooded):
        _saturate(limit, _knee(8, 0.02), 10.0)
    assert plain.value == flooded.value
    before = flooded._changed_at - 0.001
    for number in range(3000):
        late = Sample(before, 10.0 + number * 1e-6, 20, "", Outcome.SUCCESS)
        assert flooded.update(late) is None
    runs = [_saturate(limit, _knee(8, 0.02), 10.0, start=10.01) for limit in (plain, flooded)]
    assert runs[0] == runs[1]


def test_elasticity_is_the_slope_of_the_late_trials() -> None:
    """1 below the knee, 0 on a plateau, negative past it; unknown is 0, and what was is forgotten."""
    known = Elasticity()
    assert known.value == 0
    for slope in (1.0, 0.0, -0.5):
        for _ in range(60):
            known.learn(0.1, 0.1 * slope, 60.0)
        assert known.value == pytest.approx(slope, abs=0.2)
    assert repr(known).startswith("<Elasticity -0.")


def test_a_trial_counts_for_what_it_can_tell() -> None:
    """A wide and long trial outweighs a narrow and noisy one that says the opposite."""
    known = Elasticity()
    known.learn(0.5, 0.5, 100.0)
    known.learn(0.1, -0.1, 10.0)
    assert known.value > 0.8


def test_the_same_samples_make_the_same_changes() -> None:
    """There are no dice and no clock in it."""
    runs = [_saturate(Steering(20, 1, 500), _knee(8, 0.02), 20.0) for _ in range(2)]
    assert runs[0] == runs[1]
    assert all(change.reason for _, change in runs[0])


def test_replicas_that_come_or_go_move_the_limit_in_proportion() -> None:
    """At once, within the bounds, and the limit goes on learning from where it is."""
    limit = Steering(20, 1, 100)
    _saturate(limit, _knee(8, 0.02), 30.0)
    found = limit.value
    assert limit.rescale(4.0, 30.0) == Change(4 * found, "replicas")
    assert limit.rescale(0.25, 31.0) == Change(found, "replicas")
    assert limit.rescale(1000.0, 32.0) == Change(100, "replicas")
    _saturate(limit, _knee(8, 0.02), 60.0, start=33.0)
    assert 6 <= limit.value <= 30


def test_a_limit_that_never_held_anybody_back_has_found_nothing_to_scale() -> None:
    """It stays at its start value."""
    limit = Steering(20, 1, 100)
    assert limit.rescale(4.0, 1.0) is None
    assert limit.value == 20


def test_kinds_too_rare_to_be_one_are_seen_together() -> None:
    """Twenty pages with three answers each: what none of them shows alone, a line of a second, all of them do."""
    window = Window(10, 0.0)
    for number in range(60):
        window.add(f"page {number % 20}", 1.1, 10)
    window.close(6.0)
    assert window.waiting({TOGETHER: 0.1}).time == pytest.approx(1.0)


def test_a_rare_kind_beside_a_frequent_one_stays_out() -> None:
    """Its few answers say less than those that are many."""
    window = Window(10, 0.0)
    for number in range(60):
        window.add("rare" if number < 3 else "frequent", 0.1, 10)
    window.close(6.0)
    assert set(window.halves) == {"frequent"}
