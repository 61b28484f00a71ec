"""A pool that exists in numbers only, fed with the real demand: what our decisions would have cost and violated.

Fluid: in each tick the load is compared with the slots that would be ready. What is above is a violation in
proportion. Regret is the difference to what really happened, in replica seconds and in violations; below zero, we
would have been better.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.scaling.settings import ScalingSettings
    from gateway.signals.signals import Signals


class ShadowPool:
    """So many replicas, some of them still starting."""

    __slots__ = (
        "_at",
        "_booting",
        "_settings",
        "asked",
        "cold_start",
        "ready",
        "real_seconds",
        "real_violations",
        "seconds",
        "violations",
    )

    def __init__(self, ready: int, settings: ScalingSettings) -> None:
        self.asked = self.ready = ready
        self.cold_start = float(settings.cold_start)
        self.seconds = 0.0
        """Replica seconds that it would have cost."""
        self.violations = 0.0
        """Requests that would have waited too long."""
        self.real_seconds = 0.0
        self.real_violations = 0.0
        self._settings = settings
        self._booting: deque[float] = deque()
        self._at: float | None = None

    def step(self, signals: Signals, now: float) -> None:
        """Live through the time since the last step, under the load of this tick."""
        while self._booting and self._booting[0] <= now:
            self._booting.popleft()
            self.ready += 1
        if signals.cold_start_p90_s > 0:
            self.cold_start = signals.cold_start_p90_s
        passed = 0.0 if self._at is None else max(now - self._at, 0.0)
        self._at = now
        if not signals.signal_valid:
            return
        real = signals.replicas
        self.seconds += passed * (self.ready + len(self._booting))
        self.real_seconds += passed * (real.ready + real.warming + real.draining)
        slots = self.ready * signals.slots_per_replica
        missing = max(signals.load_slots - slots, 0.0) / signals.load_slots if signals.load_slots > 0 else 0.0
        self.violations += passed * signals.offered_rps * missing
        budget = 1.0 - self._settings.slo.objective
        self.real_violations += passed * signals.offered_rps * min(signals.slo_burn_5s * budget, 1.0)

    def resize(self, asked: int, now: float) -> None:
        """Carry out a decision: starts take a cold start, the youngest starts end first."""
        self.asked = asked
        while self.ready + len(self._booting) > asked:
            if self._booting:
                self._booting.pop()
            else:
                self.ready -= 1
        while self.ready + len(self._booting) < asked:
            self._booting.append(now + self.cold_start)

    def regret(self) -> dict[str, float]:
        """How much more than what really happened, in replica seconds and in requests; below zero is better."""
        return {
            "replica_seconds": self.seconds - self.real_seconds,
            "violations": self.violations - self.real_violations,
        }

    def __repr__(self) -> str:
        return f"<ShadowPool ready={self.ready}/{self.asked}>"
