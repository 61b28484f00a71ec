"""Cold starts: each replica from its intent to the moment at which there were so many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.actuators.cold_starts import KEPT, ColdStarts


def test_each_replica_has_its_own_time() -> None:
    """Two asked for at once may come one after the other."""
    starts = ColdStarts()
    starts.ask(3, 0.0)
    starts.see(3, 0.0)
    starts.ask(5, 10.0)
    starts.see(4, 25.0)
    starts.ask(6, 30.0)
    starts.see(6, 50.0)
    assert starts.times == (15.0, 40.0, 20.0)


def test_what_was_there_before_is_no_cold_start() -> None:
    """The first number says where counting begins, whether or not all are ready."""
    starts = ColdStarts()
    starts.ask(3, 0.0)
    starts.see(1, 0.0)
    starts.see(3, 60.0)
    assert starts.times == ()


def test_a_crash_is_no_cold_start() -> None:
    """A replica that comes back was not asked for."""
    starts = ColdStarts()
    starts.ask(2, 0.0)
    starts.see(2, 0.0)
    starts.see(1, 5.0)
    starts.see(2, 9.0)
    assert starts.times == ()


def test_what_is_no_longer_wanted_is_not_waited_for() -> None:
    """Scaled in before it was ready, and asked for again later: the later intent counts."""
    starts = ColdStarts()
    starts.ask(1, 0.0)
    starts.see(1, 0.0)
    starts.ask(2, 10.0)
    starts.ask(1, 20.0)
    starts.ask(2, 100.0)
    starts.see(2, 103.0)
    assert starts.times == (3.0,)


def test_asking_again_keeps_the_first_intent() -> None:
    """The same number told by somebody else is the same intent."""
    starts = ColdStarts()
    starts.ask(1, 0.0)
    starts.ask(2, 10.0)
    starts.ask(2, 15.0)
    starts.see(2, 20.0)
    assert starts.times == (10.0,)


def test_forgetting_keeps_what_was_measured() -> None:
    """Another object of the same name begins anew."""
    starts = ColdStarts()
    starts.ask(0, 0.0)
    starts.ask(2, 1.0)
    starts.see(1, 3.0)
    starts.forget()
    starts.ask(5, 10.0)
    starts.see(5, 20.0)
    assert starts.times == (2.0,)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 150)), max_size=300))
def test_times_are_never_negative_and_never_too_many(steps: list[tuple[bool, int]]) -> None:
    """Whatever is asked for and seen, at most a hundred times of at least 0 are kept."""
    starts = ColdStarts()
    for now, (is_asking, number) in enumerate(steps):
        (starts.ask if is_asking else starts.see)(number, float(now))
    assert all(each >= 0 for each in starts.times)
    assert len(starts.times) <= KEPT
