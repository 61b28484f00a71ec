"""When a second attempt is worth sending beside the first.

Dean & Barroso, *The Tail at Scale* (2013): a second request after the 95th percentile of response times costs 5 % more
load and cuts most of the tail. The quantile moves with the service, so it is learned: counts in buckets that grow by
5 % each, all halved now and then, so that old answers fade. The answer is a bucket's upper edge: up to 5 % too late,
never too early.
"""

from __future__ import annotations

from math import inf, log
from typing import TYPE_CHECKING, Final

from gateway.resilience.settings import Quantile, parse_after

if TYPE_CHECKING:
    from gateway.resilience.settings import HedgeSettings

_GROWTH: Final = 1.05
_PER_E: Final = 1 / log(_GROWTH)
_SMALLEST: Final = 1e-4
"""A tenth of a millisecond, in seconds: what is faster needs no hedge."""
_BUCKETS: Final = 300
"""Up to 0.0001 × 1.05³⁰⁰ = 227 s."""
_TAIL: Final = 10
"""So many samples must lie beyond a quantile before it is believed: its share is then known to about a third."""
_MEMORY: Final = 4
"""Old samples fade when there are so many times what is needed, and a thousand at least."""
_REFRESH: Final = 32


class HedgeDelay:
    """How long to wait for the first attempt: a time, or a quantile of what :meth:`observe` saw."""

    __slots__ = ("_counts", "_fixed", "_most", "_needed", "_quantile", "_stale", "_total", "_value")

    def __init__(self, settings: HedgeSettings) -> None:
        after = parse_after(settings.after) if settings.after else inf
        self._quantile = float(after) if isinstance(after, Quantile) else 0.0
        self._fixed = 0.0 if self._quantile else float(after)
        self._needed = _TAIL / (1 - self._quantile)
        self._most = max(1000.0, _MEMORY * self._needed)
        self._counts = [0.0] * _BUCKETS if self._quantile else []
        self._total = 0.0
        self._stale = _REFRESH
        self._value = inf

    def observe(self, seconds: float) -> None:
        """An attempt took so long to begin its answer."""
        counts = self._counts
        if not counts:
            return
        if self._total >= self._most:
            self._counts = counts = [count / 2 for count in counts]
            self._total /= 2
        bucket = int(log(seconds / _SMALLEST) * _PER_E) + 1 if seconds > _SMALLEST else 0
        counts[min(bucket, _BUCKETS - 1)] += 1
        self._total += 1
        self._stale += 1

    def delay(self) -> float:
        """Seconds after which a second attempt may begin; ``inf`` when never, or while too little is known."""
        if self._fixed:
            return self._fixed
        if self._stale >= _REFRESH:
            self._refresh()
        return self._value

    def _refresh(self) -> None:
        self._stale = 0
        # at a few samples a number can be had, but not believed
        if self._total < self._needed:
            self._value = inf
            return
        left = self._total * (1 - self._quantile)
        bucket = _BUCKETS
        while left >= 0 and bucket > 0:
            bucket -= 1
            left -= self._counts[bucket]
        self._value = _SMALLEST * _GROWTH**bucket

    def __repr__(self) -> str:
        return f"<HedgeDelay {self.delay():.4f} samples={self._total:.0f}>"
