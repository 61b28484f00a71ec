"""Virtual time: a clock that owns the heap of what is still to happen.

An hour passes in seconds, and the same seed tells the same story. ``fuzz`` makes every event up to that
many seconds late, at random, as timers on a real machine are: what was to happen at one instant happens
in any order, and a policy that leans on the order is found out.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random


class EventClock:
    """A :class:`gateway.core.clock.Clock` that moves from event to event.

    Events at one instant happen in the order in which they were set (unless fuzzed); one set for the
    past happens now. Time never goes back. An event cannot be taken back: who is called looks whether it
    still matters.
    """

    __slots__ = ("_fuzz", "_heap", "_now", "_rng", "_serial", "_wall")

    def __init__(self, rng: Random | None = None, *, fuzz: float = 0.0, wall: float = 0.0) -> None:
        if fuzz and rng is None:
            raise ValueError("fuzz needs a seeded generator")
        self._now = 0.0
        self._wall = wall
        self._rng = rng
        self._fuzz = fuzz
        self._serial = 0
        self._heap: list[tuple[float, int, Callable[..., object], tuple[object, ...]]] = []

    def now(self) -> float:
        """The present virtual instant, in seconds since the story began."""
        return self._now

    def wall(self) -> float:
        """The wall time that goes with it."""
        return self._wall + self._now

    def at(self, instant: float, call: Callable[..., object], *args: object) -> None:
        """Call ``call(*args)`` at ``instant``, or now when that has passed."""
        if self._fuzz and self._rng is not None:
            instant += self._rng.random() * self._fuzz
        self._serial += 1
        heappush(self._heap, (max(instant, self._now), self._serial, call, args))

    def after(self, delay: float, call: Callable[..., object], *args: object) -> None:
        """Call ``call(*args)`` in ``delay`` seconds."""
        self.at(self._now + delay, call, *args)

    def run(self, until: float) -> None:
        """Let everything happen that is due up to ``until``, and be there."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self._now, _, call, args = heappop(heap)
            call(*args)
        self._now = max(self._now, until)

    def __len__(self) -> int:
        """How many events are still to happen."""
        return len(self._heap)

    def __repr__(self) -> str:
        return f"<EventClock now={self._now:.3f} events={len(self._heap)}>"
