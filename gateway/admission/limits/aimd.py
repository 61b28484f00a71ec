"""Additive increase, multiplicative decrease (Chiu & Jain 1989), told how slow is too slow.

One more for every round in which the limit held traffic back and all went well; a tenth less when an
answer timed out or took longer than ``slow``. The cut comes once per generation of requests: cutting for each late
answer loses a tenth of the capacity, because the answers that follow a cut were admitted before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from gateway.admission.limits.limit import Stage
from gateway.admission.sample import Change
from gateway.core.outcome import Outcome

if TYPE_CHECKING:
    from gateway.admission.sample import Sample

_CUT: Final = 0.9
_SLOW: Final = 0.5


class Aimd:
    """Knows only timeouts and answers slower than ``slow`` seconds."""

    __slots__ = ("_changed_at", "_good", "_held_at", "_max", "_min", "_slow", "value")

    stage: ClassVar[Stage] = Stage.PROVEN
    watch: ClassVar[None] = None
    latency: ClassVar[float] = 0.0

    def __init__(self, initial: int = 20, min: int = 1, max: int = 500, *, slow: float = _SLOW) -> None:  # noqa: A002 - as in the settings
        self.value = initial
        self._min = min
        self._max = max
        self._slow = slow
        self._changed_at = self._held_at = -1.0
        self._good = 0

    def held_back(self, now: float) -> None:
        """Only a limit that somebody runs into may grow."""
        self._held_at = now

    def update(self, sample: Sample) -> Change | None:
        """Cut at once, grow once a round."""
        outcome = sample.outcome
        if outcome is Outcome.NEUTRAL or outcome is Outcome.FAILURE or sample.admitted_at < self._changed_at:
            return None
        now = sample.answered_at
        if outcome is Outcome.TIMEOUT:
            return self._change(int(self.value * _CUT), "timeout", now)
        if now - sample.admitted_at > self._slow:
            return self._change(int(self.value * _CUT), "slow", now)
        self._good += 1
        if self._good >= self.value and self._held_at > self._changed_at:
            return self._change(self.value + 1, "room", now)
        return None

    def _change(self, limit: int, reason: str, now: float) -> Change | None:
        limit = max(self._min, min(self._max, limit))
        self._good = 0
        self._changed_at = now
        if limit == self.value:
            return None
        self.value = limit
        return Change(limit, reason)

    def __repr__(self) -> str:
        return f"<Aimd limit={self.value}>"
