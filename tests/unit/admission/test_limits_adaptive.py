"""The adaptive limit before upstreams of which everything is known."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

import pytest

from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.sample import Change, Sample
from gateway.core.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable


def _saturate(
    limit: Adaptive, latency: Callable[[int], float], seconds: float, start: float = 0.0
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
    limit = Adaptive(20, 1, 500)
    _saturate(limit, _knee(workers, alone), 60.0)
    assert workers * 0.8 <= limit.value <= workers * 1.5 + 6


def test_it_stops_at_the_bounds() -> None:
    """An upstream without a knee is not asked for more than max, one without room for not less than min."""
    limit = Adaptive(20, 4, 50)
    _saturate(limit, lambda _: 0.02, 20.0)
    assert limit.value == 50
    limit = Adaptive(20, 4, 50)
    _saturate(limit, _knee(1, 0.02), 60.0)
    assert 4 <= limit.value <= 8


def test_a_start_is_never_shrunk_for_good_without_evidence() -> None:
    """With room to spare, the first trial down is taken back, and after it the limit only grows."""
    limit = Adaptive(20, 1, 500)
    changes = [change for _, change in _saturate(limit, _knee(1000, 0.02), 5.0)]
    assert [change.reason for change in changes[:2]] == ["probe", "restore"]
    assert changes[1].limit >= 20
    limits = [change.limit for change in changes[1:]]
    assert limits == sorted(limits)


def test_probes_do_not_dip_deep() -> None:
    """Once it knows where it is, no trial for its own sake takes away more than an eighth (or one)."""
    limit = Adaptive(20, 1, 500)
    _saturate(limit, _knee(40, 0.02), 20.0)
    before = limit.value
    for _, change in _saturate(limit, _knee(40, 0.02), 60.0, start=20.0):
        if change.reason == "probe":
            assert change.limit >= before - max(1, round(before / 8))
        before = change.limit


def test_a_slower_service_is_not_mistaken_for_a_longer_line() -> None:
    """When every request takes twice as long and none waits, the limit is soon back where it was, or above."""
    limit = Adaptive(20, 1, 60)
    _saturate(limit, lambda _: 0.02, 10.0)
    assert limit.value == 60
    _saturate(limit, lambda _: 0.04, 30.0, start=10.0)
    assert limit.value >= 50


def test_the_base_drifts_no_further_than_what_was_seen() -> None:
    """However long it goes on: what is taken for usual stays between the least and the most that was measured."""
    limit = Adaptive(20, 1, 500)
    _saturate(limit, _knee(8, 0.02), 120.0)
    assert 0.019 <= limit._base[""] <= 0.03


def test_failures_say_nothing_about_latency() -> None:
    """An upstream that fails at once does not look fast: nothing moves."""
    limit = Adaptive(20, 1, 500)
    now = 0.0
    for _ in range(5000):
        now += 0.002
        limit.held_back(now)
        assert limit.update(Sample(now - 0.0001, now, 20, "", Outcome.FAILURE)) is None
    assert limit.value == 20


def test_a_rare_slow_route_does_not_drown_what_the_others_see() -> None:
    """A route of half a second that jitters by a tenth hides no line of 5 ms before one of 5 ms."""
    limit = Adaptive(20, 1, 500)
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
    feed(0.012, 3.0, 31.0)
    assert limit.value < 20


def test_the_same_samples_make_the_same_changes() -> None:
    """There are no dice and no clock in it."""
    runs = [_saturate(Adaptive(20, 1, 500), _knee(8, 0.02), 20.0) for _ in range(2)]
    assert runs[0] == runs[1]
    assert all(change.reason for _, change in runs[0])
