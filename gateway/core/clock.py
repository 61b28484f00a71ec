"""The only place where real time enters.

Policies take ``now: float``; what waits takes a :class:`Clock`. Every other module is kept from
the real clock by lint (ruff ``banned-api``).
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells time in seconds."""

    def now(self) -> float:
        """Monotonic seconds; differences are latencies, sums with timeouts are deadlines."""

    def wall(self) -> float:
        """Seconds since the epoch, for logs and the admin API only."""


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ("now", "wall")

    def __init__(self) -> None:
        # The C functions themselves, so that a call on the request path costs 40 ns.
        self.now = time.monotonic
        self.wall = time.time


class ManualClock:
    """A clock that moves only when told to, for tests and simulation."""

    __slots__ = ("_now", "_wall")

    def __init__(self, now: float = 0.0, wall: float = 0.0) -> None:
        self._now = now
        self._wall = wall

    def now(self) -> float:
        """The monotonic instant last set, in seconds."""
        return self._now

    def wall(self) -> float:
        """The wall time last set, in seconds since the epoch."""
        return self._wall

    def advance(self, seconds: float) -> None:
        """Move both clocks forward; ValueError when told to go back."""
        if seconds < 0:
            message = f"a clock cannot go back by {-seconds} s"
            raise ValueError(message)
        self._now += seconds
        self._wall += seconds
