"""Mean latency over one round of requests, for limits that steer by it."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.core.outcome import Outcome

if TYPE_CHECKING:
    from gateway.admission.sample import Sample

_FEWEST: Final = 20


class Round(NamedTuple):
    """One round: the mean latency, and whether the limit held anybody back in it."""

    latency: float
    was_limited: bool


class Rounds:
    """Collects samples admitted since the last change, until twice the limit (at least 20) have come.

    A round that lost anything to timeouts has their length among its latencies, so it looks slow and
    not stable; a failed request says nothing about latency.
    """

    __slots__ = ("_begun_at", "_count", "_held_at", "_total")

    def __init__(self) -> None:
        self._begun_at = -1.0
        self._held_at = -inf
        self._count = 0
        self._total = 0.0

    def held_back(self, now: float) -> None:
        """The limit has just made somebody wait."""
        self._held_at = now

    def take(self, sample: Sample, limit: int) -> Round | None:
        """Take one sample; the round when it is complete."""
        outcome = sample.outcome
        if outcome is Outcome.NEUTRAL or outcome is Outcome.FAILURE or sample.admitted_at < self._begun_at:
            return None
        self._total += sample.answered_at - sample.admitted_at
        self._count += 1
        if self._count < max(_FEWEST, 2 * limit):
            return None
        done = Round(self._total / self._count, self._held_at >= self._begun_at)
        self._begun_at = sample.answered_at
        self._count = 0
        self._total = 0.0
        return done
