"""Dependency: whether the number of replicas is what limits the target, or something that they all lean on.

Three signs that it is something else: the breaker is open; many answers are failures while slots are free; or the
knee, where the last replica that became ready brought no more throughput although there was demand for it
(Gunther's law of scalability: past the peak each one takes more than it brings).
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Final

from gateway.scaling.vote import Vote
from gateway.signals.meter import FAST

if TYPE_CHECKING:
    from gateway.signals.signals import Signals

_FAILING: Final = 0.3
_IDLE: Final = 0.7
_GAIN: Final = 0.25
"""Of what a replica should bring by its share; less is no help."""
_CLEAR: Final = 4.0
"""Standard deviations of a difference of two rates that a share must exceed."""
_SHED: Final = 0.01
_STANDING: Final = 0.5
"""Seconds to drain from which a queue is not the foam of chance."""
_SETTLED: Final = 15.0
_FORGET: Final = 600.0


class Dependency:
    """Watches one target; its vote is a ceiling at what there is."""

    __slots__ = ("_base_ready", "_base_throughput", "_changed_at", "_knee", "_knee_at", "_ready", "_throughput")

    def __init__(self) -> None:
        self._ready = 0
        self._throughput = 0.0
        self._changed_at = 0.0
        self._base_ready = 0
        self._base_throughput = 0.0
        self._knee: int | None = None
        self._knee_at = 0.0

    def vote(self, signals: Signals, now: float) -> Vote | None:
        """A ceiling and its reason: ``breaker_open``, ``upstream_failing`` or ``no_gain``; None when replicas help."""
        ready = signals.replicas.ready
        self._look(signals, ready, now)
        ceiling = ready + signals.replicas.warming
        if signals.breaker_open:
            return Vote("dependency", ceiling, "breaker_open", "ceiling")
        if signals.failed_rps > _FAILING * signals.offered_rps > 0 and signals.utilization < _IDLE:
            return Vote("dependency", ceiling, "upstream_failing", "ceiling")
        if self._knee is not None:
            if now - self._knee_at > _FORGET:
                self._knee = None
            else:
                return Vote("dependency", self._knee, "no_gain", "ceiling")
        return None

    def _look(self, signals: Signals, ready: int, now: float) -> None:
        """Compare the throughput some time after a replica became ready with that before, both under full load."""
        is_short = signals.shed > _SHED * signals.offered_rps or signals.time_to_drain_s > _STANDING
        is_full = signals.pressure > 1.0 and is_short
        if ready != self._ready:
            if ready > self._ready > 0 and is_full and self._throughput > 0:
                if not self._base_ready:
                    self._base_ready, self._base_throughput = self._ready, self._throughput
            else:
                self._base_ready = 0
            self._ready, self._changed_at, self._throughput = ready, now, 0.0
            return
        if now - self._changed_at < _SETTLED:
            return
        self._throughput = signals.admitted_rps if is_full else 0.0
        if self._base_ready:
            expected = self._base_throughput * (ready - self._base_ready) / self._base_ready
            # among many replicas one brings less than chance: then nobody can say whether it helped
            chance = sqrt(2.0 * self._base_throughput * max(signals.arrival_cv2, 1.0) / FAST)
            can_tell = expected > _CLEAR * chance
            if is_full and can_tell and signals.admitted_rps - self._base_throughput < _GAIN * expected:
                self._knee, self._knee_at = self._base_ready, now
            self._base_ready = 0
