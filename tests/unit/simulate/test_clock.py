"""Virtual time."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulate.clock import EventClock

if TYPE_CHECKING:
    from gateway.core.clock import Clock


@given(instants=st.lists(st.floats(min_value=0, max_value=100), max_size=50))
def test_events_happen_in_the_order_of_their_instants(instants: list[float]) -> None:
    """Whatever the order in which they were set, and the clock shows the instant of each."""
    clock = EventClock()
    seen: list[tuple[float, float]] = []
    for instant in instants:
        clock.at(instant, lambda due: seen.append((due, clock.now())), instant)
    clock.run(100)
    assert seen == [(instant, instant) for instant in sorted(instants)]
    assert len(clock) == 0


def test_ties_happen_in_the_order_in_which_they_were_set() -> None:
    """Without fuzz a story has one order."""
    clock = EventClock()
    seen: list[int] = []
    for number in range(10):
        clock.at(1.0, seen.append, number)
    clock.run(1.0)
    assert seen == list(range(10))


def test_fuzz_breaks_ties_at_random_and_makes_late_but_never_early() -> None:
    """What leans on the order of simultaneous events is found out; the same seed gives the same order."""

    def order(seed: int) -> list[int]:
        clock = EventClock(Random(seed), fuzz=0.01)
        seen: list[int] = []

        def note(number: int) -> None:
            assert 1.0 <= clock.now() <= 1.01
            seen.append(number)

        for number in range(10):
            clock.at(1.0, note, number)
        clock.run(2.0)
        return seen

    assert order(1) == order(1)
    assert sorted(order(1)) == list(range(10))
    assert order(1) != list(range(10))
    assert order(1) != order(2)


def test_fuzz_without_dice_is_refused() -> None:
    """There is no hidden generator."""
    with pytest.raises(ValueError, match="seeded generator"):
        EventClock(fuzz=0.1)


def test_events_may_set_events_and_the_past_is_now() -> None:
    """Time never goes back, and a chain of events runs as far as it is let."""
    clock = EventClock()
    seen: list[float] = []

    def again() -> None:
        seen.append(clock.now())
        clock.after(1.0, again)

    clock.at(0.5, clock.at, 0.1, again)
    clock.run(3.0)
    assert seen == [0.5, 1.5, 2.5]
    assert clock.now() == 3.0
    clock.run(1.0)
    assert clock.now() == 3.0


def test_it_is_a_clock_like_any_other() -> None:
    """Monotonic and wall time move together."""
    clock = EventClock(wall=1000.0)
    taken: Clock = clock
    clock.run(5.0)
    assert (taken.now(), taken.wall()) == (5.0, 1005.0)
    assert repr(clock) == "<EventClock now=5.000 events=0>"
