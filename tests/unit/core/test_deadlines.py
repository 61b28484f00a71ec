"""The wheel fires every deadline once, never early, at most a slot late."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.deadlines import SLOT, DeadlineWheel, Timed


class Noted(Timed):
    """Notes when it fired."""

    __slots__ = ("fired",)

    def __init__(self) -> None:
        super().__init__()
        self.fired: list[float] = []

    def on_deadline(self, now: float) -> None:
        self.fired.append(now)


@given(
    moves=st.lists(
        st.tuples(st.floats(min_value=0, max_value=1), st.one_of(st.none(), st.floats(min_value=0, max_value=3))),
        max_size=40,
    )
)
def test_the_last_deadline_set_is_the_one_that_fires(moves: list[tuple[float, float | None]]) -> None:
    """Against an oracle: for any sequence of waits and settings, it fires at the first tick past its slot, once."""
    now = 100.0
    wheel = DeadlineWheel(now)
    item = Noted()
    deadline = inf
    fires = 0
    for wait, length in [*moves, (10.0, None)]:
        end = now + wait
        while now < end:
            now = min(now + 0.013, end)
            wheel.advance(now)
            if len(item.fired) > fires:
                fires += 1
                assert deadline <= now
                deadline = inf
            assert deadline > now - SLOT - 0.02
        if length is not None:
            deadline = now + length
            wheel.set(item, deadline)
    assert len(item.fired) == fires
    assert deadline == inf


def test_moving_a_deadline_later_needs_no_insertion() -> None:
    """A thousand requests on one connection cost the wheel one entry."""
    wheel = DeadlineWheel(0.0)
    item = Noted()
    for number in range(1000):
        wheel.set(item, 1.0 + number)
    assert len(wheel) == 1
    wheel.advance(999.9)
    assert item.fired == []
    wheel.advance(1001.0)
    assert item.fired == [1001.0]


def test_a_long_pause_costs_what_is_due_not_what_has_passed() -> None:
    """After a day without a tick the entries are visited, not a day's slots; and all that is due fires."""
    wheel = DeadlineWheel(0.0)
    items = [Noted() for _ in range(10)]
    for number, item in enumerate(items):
        wheel.set(item, number * 10000.0)
    wheel.advance(86400.0)
    assert [len(item.fired) for item in items] == [1] * 9 + [0]
    assert len(wheel) == 1


def test_what_is_forgotten_is_not_kept() -> None:
    """Nothing of it stays on the wheel, whatever its deadlines were; it may come back."""
    wheel = DeadlineWheel(0.0)
    item = Noted()
    for deadline in (70.0, 10.0, 2.0, 5.0):
        wheel.set(item, deadline)
    assert len(wheel) == 1
    wheel.forget(item)
    assert len(wheel) == 0
    wheel.forget(item)
    wheel.advance(100.0)
    assert item.fired == []
    wheel.set(item, 101.0)
    wheel.advance(102.0)
    assert item.fired == [102.0]


def test_one_that_fires_may_move_or_forget_another_of_the_same_instant() -> None:
    """The other one fires when it is due now, once, or never."""
    wheel = DeadlineWheel(0.0)
    moved, gone = Noted(), Noted()

    class First(Noted):
        __slots__ = ()

        def on_deadline(self, now: float) -> None:
            super().on_deadline(now)
            wheel.forget(moved)
            wheel.set(moved, 2.0)
            wheel.set(moved, 5.0)
            wheel.forget(gone)

    first = First()
    for item in (first, moved, gone):
        wheel.set(item, 1.0)
    wheel.advance(1.5)
    assert (first.fired, moved.fired, gone.fired) == ([1.5], [], [])
    assert len(wheel) == 1
    wheel.advance(10.0)
    assert (moved.fired, gone.fired) == ([10.0], [])
    assert len(wheel) == 0
