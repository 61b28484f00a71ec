"""A limit that follows the gradient of latency, long mean ÷ short mean.

With R the mean latency of a round and R̄ its slow average, the gradient is g = tolerance × R̄ ÷ R in [0.5, 1]
and the limit becomes g × L + √L, smoothed. While latency is as usual the limit grows by about √L a
round; when a round is slower than the tolerance allows, it shrinks in proportion. The slow average follows
everything in time, so a standing queue is in the end taken for normal: that is this policy's known
weakness, and why it is not the default.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, ClassVar, Final

from gateway.admission.limits.limit import Stage
from gateway.admission.limits.rounds import Rounds
from gateway.admission.sample import Change

if TYPE_CHECKING:
    from gateway.admission.sample import Sample

_TOLERANCE: Final = 1.5
_MEMORY: Final = 1 / 20
_SMOOTHING: Final = 0.2
_STEEPEST: Final = 0.5
_RECOVERY: Final = 0.95


class Gradient:
    """Compares each round's mean latency with a slow average."""

    __slots__ = ("_limit", "_long", "_max", "_min", "_rounds", "value")

    stage: ClassVar[Stage] = Stage.PROVEN
    watch: ClassVar[None] = None
    latency: ClassVar[float] = 0.0

    def __init__(self, initial: int = 20, min: int = 1, max: int = 500) -> None:  # noqa: A002 - as in the settings
        self.value = initial
        self._limit = float(initial)
        self._min = min
        self._max = max
        self._rounds = Rounds()
        self._long = 0.0

    def held_back(self, now: float) -> None:
        """Only a limit that somebody runs into moves."""
        self._rounds.held_back(now)

    def update(self, sample: Sample) -> Change | None:
        """Judge once a round."""
        done = self._rounds.take(sample, self.value)
        if done is None or not done.latency:
            return None
        short = done.latency
        self._long += (short - self._long) * _MEMORY if self._long else short
        if self._long > 2 * short:
            self._long *= _RECOVERY
        if not done.was_limited:
            return None
        gradient = max(_STEEPEST, min(1.0, _TOLERANCE * self._long / short))
        aim = gradient * self._limit + sqrt(self._limit)
        self._limit = max(self._min, min(self._max, self._limit + (aim - self._limit) * _SMOOTHING))
        if int(self._limit) == self.value:
            return None
        reason = "room" if self._limit > self.value else "queueing"
        self.value = int(self._limit)
        return Change(self.value, reason)

    def __repr__(self) -> str:
        return f"<Gradient limit={self.value} long={self._long:.4f}>"
