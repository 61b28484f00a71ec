"""What each limit got done while it was held, and how well that is known."""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from gateway.admission.limits.window import Window

_FORGETTING: Final = 20.0
"""Seconds in which a record loses all but 1/e of its weight."""
_FAINT: Final = 10.0
_MOST: Final = 32
_CHANGED: Final = 3.0


class Slope(NamedTuple):
    """Throughput at other limits beside one: Δ ln L, Δ ln X, and the variance of the latter."""

    wider: float
    served: float
    variance: float

    def is_worth(self, errors: float) -> bool:
        """Whether they get more done, by so many standard errors."""
        return self.served > errors * self.variance**0.5


class _Record:
    """Completions and seconds under one limit, and what they were worth at ``at``."""

    __slots__ = ("at", "count", "scatter", "time")

    def __init__(self, window: Window, now: float) -> None:
        self.at = now
        self.count = float(window.count)
        self.time = window.count / window.rate
        self.scatter = window.scatter

    def fade(self, now: float) -> None:
        kept = exp((self.at - now) / _FORGETTING)
        self.count *= kept
        self.time *= kept
        self.at = now

    def add(self, window: Window) -> None:
        share = window.count / (window.count + self.count)
        self.scatter += (window.scatter - self.scatter) * share
        self.count += window.count
        self.time += window.count / window.rate


class Memory:
    """Limit → completions and seconds under it, both fading; forgotten when the service is no longer what it was."""

    __slots__ = ("_records",)

    def __init__(self) -> None:
        self._records: dict[int, _Record] = {}

    def learn(self, window: Window, now: float) -> None:
        """Take a window in which the limit was what held traffic back."""
        records = self._records
        for limit, record in list(records.items()):
            record.fade(now)
            if record.count < _FAINT:
                del records[limit]
        known = records.get(window.limit)
        if known is not None:
            differs = log(window.rate * known.time / known.count)
            if differs**2 > _CHANGED**2 * (window.scatter / window.count + known.scatter / known.count):
                records.clear()
                known = None
        if known is None:
            records[window.limit] = _Record(window, now)
        else:
            known.add(window)
        while len(records) > _MOST:
            del records[min(records, key=lambda limit: records[limit].count)]

    def beside(self, limit: int, low: int, high: int) -> Slope | None:
        """What the limits in [low, high] got done together, beside ``limit``; None when nothing is known."""
        own = self._records.get(limit)
        if own is None:
            return None
        count = time = wide = noise = 0.0
        for other, record in self._records.items():
            if low <= other <= high and other != limit:
                count += record.count
                time += record.time
                wide += record.count * log(other / limit)
                noise += record.count * record.scatter
        if not count:
            return None
        served = log(count / time * own.time / own.count)
        return Slope(wide / count, served, noise / count**2 + own.scatter / own.count)

    def __repr__(self) -> str:
        return f"<Memory limits={sorted(self._records)}>"
