"""A histogram with fixed buckets: plain integers on the path, Prometheus shape at the edge."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

# From a proxy's own overhead (0.5 ms) to the longest useful answer (60 s), about x2 to x2.5 a step.
LATENCY_BOUNDS: Final = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)


class Histogram:
    """Counts of observations at or below each bound, and their sum.

    ``counts`` has one more entry than ``bounds``: what is above the last bound. Entries are not
    cumulative; the collector adds them up.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = LATENCY_BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value, in the unit of the bounds."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
