"""What is asked of one upstream and what becomes of it, as sums that only grow: the source of its signals.

Time integrals cost no clock and no list. With N requests present, that of their number up to now is the sum over those
that left of (left - came) and the sum over those present of (now - came), which is N·now + Σ left - Σ came. So who
comes subtracts the present instant from one number and who leaves adds it (:class:`Stay`). The number is taken back to
zero at each reading, so that it never grows to where a float has no microseconds.
"""

from __future__ import annotations

from typing import Final

STEP: Final = 1.0
"""Seconds between two counts of arrivals whose difference says how much they vary."""


SHED_REASONS: Final = (
    "limit_reached",
    "queue_full",
    "queue_bytes_full",
    "queue_share_full",
    "queue_delay",
    "queue_timeout",
    "deadline_unreachable",
    "evicted",
    "self_protection",
    "breaker_open",
    "no_endpoint",
)
"""The words for which a request is refused at an upstream's gate."""


class Stay:
    """How many are present, and the time integral of that number."""

    __slots__ = ("_clock", "_total", "count")

    def __init__(self) -> None:
        self.count = 0
        self._clock = 0.0
        self._total = 0.0

    def enter(self, now: float) -> None:
        """One more."""
        self.count += 1
        self._clock -= now

    def leave(self, now: float) -> None:
        """One less."""
        self.count -= 1
        self._clock += now

    def integral(self, now: float) -> float:
        """∫ count dt since the beginning, in seconds; ``now`` is not before any instant given so far."""
        self._total += max(self.count * now + self._clock, 0.0)  # what rounding takes must not make it fall
        self._clock = -self.count * now
        return self._total

    def __repr__(self) -> str:
        return f"<Stay count={self.count}>"


class Steps:
    """The squared differences between the arrivals of neighbouring seconds, added up.

    A second that a busy loop made longer counts as its mean rate, so a late look is no burst.
    """

    __slots__ = ("_arrived", "_at", "_rate", "total")

    def __init__(self) -> None:
        self.total = 0.0
        self._arrived = 0.0
        self._at: float | None = None
        self._rate: float | None = None

    def look(self, arrived: float, now: float) -> None:
        """Take how many have arrived since the beginning; does nothing until a second has passed."""
        if self._at is None:
            self._at, self._arrived = now, arrived
            return
        passed = now - self._at
        if passed < STEP:
            return
        rate = (arrived - self._arrived) / passed
        if self._rate is not None:
            self.total += (rate - self._rate) ** 2
        self._rate, self._arrived, self._at = rate, arrived, now
