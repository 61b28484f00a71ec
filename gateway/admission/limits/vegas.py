"""TCP Vegas for requests (Brakmo & Peterson 1995).

In their letters: BaseRTT is the least mean latency of a round, RTT the last one's; with a window W the
expected throughput is W ÷ BaseRTT and the actual one W ÷ RTT, so Diff × BaseRTT = W × (1 - BaseRTT ÷ RTT) requests
wait in the upstream. Between alpha and beta of them all is well; below, the window grows by one a round, above, it
shrinks by one. Ours differs: alpha and beta grow with the limit (2 and 4, or a tenth and a fifth), so does
the step, and BaseRTT drifts up by at most 1 % a round, so that one lucky round is not believed for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from gateway.admission.limits.limit import Stage
from gateway.admission.limits.rounds import Rounds
from gateway.admission.sample import Change

if TYPE_CHECKING:
    from gateway.admission.sample import Sample

_ALPHA: Final = 2.0
_SHARE: Final = 0.1
_STEP: Final = 0.05
_DRIFT: Final = 1.01


class Vegas:
    """Holds a few requests waiting in the upstream, judged by mean latency."""

    __slots__ = ("_base", "_max", "_min", "_rounds", "value")

    stage: ClassVar[Stage] = Stage.PROVEN
    watch: ClassVar[None] = None
    latency: ClassVar[float] = 0.0

    def __init__(self, initial: int = 20, min: int = 1, max: int = 500) -> None:  # noqa: A002 - as in the settings
        self.value = initial
        self._min = min
        self._max = max
        self._rounds = Rounds()
        self._base = 0.0

    def held_back(self, now: float) -> None:
        """Only a limit that somebody runs into moves."""
        self._rounds.held_back(now)

    def update(self, sample: Sample) -> Change | None:
        """Judge once a round."""
        done = self._rounds.take(sample, self.value)
        if done is None:
            return None
        self._base = min(done.latency, self._base * _DRIFT) if self._base else done.latency
        if not done.was_limited or not done.latency:
            return None
        waiting = self.value * (1 - self._base / done.latency)
        alpha = max(_ALPHA, _SHARE * self.value)
        step = max(1, int(_STEP * self.value))
        if waiting < alpha:
            return self._change(self.value + step, "room")
        if waiting > 2 * alpha:
            return self._change(self.value - step, "queueing")
        return None

    def _change(self, limit: int, reason: str) -> Change | None:
        limit = max(self._min, min(self._max, limit))
        if limit == self.value:
            return None
        self.value = limit
        return Change(limit, reason)

    def __repr__(self) -> str:
        return f"<Vegas limit={self.value} base={self._base:.4f}>"
