"""Capacity that is on its way, as a gate counts on it."""

from __future__ import annotations

from typing import NamedTuple


class Hope(NamedTuple):
    """From the instant ``at`` on, what waits drains ``growth`` times as fast as now; ``growth`` is at least 1."""

    at: float
    growth: float

    def wait(self, count: int, rate: float, now: float) -> float:
        """Seconds in which so many drain, at ``rate`` a second until then; 0 while no rate is known."""
        if not rate:
            return 0.0
        left = max(self.at - now, 0.0)
        return count / rate if count <= rate * left else left + (count - rate * left) / (rate * self.growth)
