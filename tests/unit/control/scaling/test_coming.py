"""What is coming, and how many times what it was a target has become: numbers in, numbers out."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.scaling.coming import Coming, Promise
from gateway.control.scaling.ramp import Ramp
from gateway.signals.reading import Replicas

COLD = (10.0, 15.0)


def test_what_is_being_started_comes_a_cold_start_after_it_was_asked_for() -> None:
    """The median counts down; what is later than that is expected every second."""
    coming = Coming()
    some = Replicas(ready=2, warming=2, desired=4)
    assert coming.look(some, COLD, 100.0, is_asked=False) == Promise(10.0, 2.0)
    assert coming.look(some, COLD, 107.0, is_asked=False) == Promise(3.0, 2.0)
    assert coming.look(some, COLD, 112.0, is_asked=False) == Promise(1.0, 2.0)


def test_each_replica_has_its_own_time() -> None:
    """When the first is ready the second counts; when all are, nothing is coming."""
    coming = Coming()
    coming.look(Replicas(ready=1, warming=1, desired=2), COLD, 0.0, is_asked=False)
    coming.look(Replicas(ready=1, warming=2, desired=3), COLD, 6.0, is_asked=False)
    assert coming.look(Replicas(ready=2, warming=1, desired=3), COLD, 10.0, is_asked=False) == Promise(6.0, 1.5)
    assert coming.look(Replicas(ready=3, desired=3), COLD, 16.0, is_asked=False) is None


@pytest.mark.parametrize(
    "replicas",
    [
        Replicas(ready=2, desired=4),  # asked for once, and nobody says that it is being started
        Replicas(ready=2, warming=1, desired=2),  # a restart brings no more than there is
        Replicas(ready=3, warming=1, desired=1),  # a scale-in
        Replicas(ready=1, warming=1, quarantined=1, desired=3),  # a crash loop
    ],
)
def test_what_brings_nothing_or_cannot_be_relied_on_is_no_promise(replicas: Replicas) -> None:
    """Whoever waits for it would wait in vain."""
    assert Coming().look(replicas, COLD, 0.0, is_asked=False) is None


def test_a_decision_under_way_is_coming_too() -> None:
    """Before the first process is seen to start."""
    assert Coming().look(Replicas(ready=1, desired=3), COLD, 0.0, is_asked=True) == Promise(10.0, 3.0)


def test_a_start_that_never_ends_is_not_believed_in_for_ever() -> None:
    """Twice the 90th percentile and five seconds."""
    coming = Coming()
    some = Replicas(ready=1, warming=1, desired=2)
    coming.look(some, COLD, 0.0, is_asked=False)
    assert coming.look(some, COLD, 35.0, is_asked=False) is not None
    assert coming.look(some, COLD, 35.1, is_asked=False) is None


def test_a_replica_that_comes_counts_as_balancing_counts_it() -> None:
    """From a tenth to the whole within the slow start; the ratios multiply to that of the replicas."""
    ramp = Ramp(5.0)
    assert ramp.look(1, 0.0) is None
    told = [ramp.look(2, 1.0 + second) for second in range(7)]
    assert told[0] == pytest.approx(1.1)
    assert prod(ratio for ratio in told if ratio) == pytest.approx(2.0)
    assert told[-1] is None
    assert ramp.look(1, 20.0) == pytest.approx(0.5)


def test_nobody_ready_is_no_ratio() -> None:
    """A limit of nothing could not grow again; what comes back is compared with what was told last."""
    ramp = Ramp(0.0)
    ramp.look(3, 0.0)
    assert ramp.look(0, 1.0) is None
    assert ramp.look(1, 2.0) == pytest.approx(1 / 3)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=30), st.floats(0, 10))
def test_however_replicas_come_and_go_the_ratios_end_where_they_are(counts: list[int], slow_start: float) -> None:
    """The product of all that was told is the last number of replicas ÷ the first."""
    ramp, now, product, first = Ramp(slow_start), 0.0, 1.0, 0
    for ready in (*counts, *[max(counts[-1], 1)] * 15):
        product *= ramp.look(ready, now) or 1.0
        first = first or ready
        now += 1.0
    assert product == pytest.approx(max(counts[-1], 1) / first)
