"""What each limit got done while it was held, and how well that is known."""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.admission.limits.window import Window

_FORGETTING: Final = 20.0
"""Seconds in which a record loses all but 1/e of its weight."""
_FAINT: Final = 10.0
"""A record of fewer completions is dropped."""
_MOST: Final = 32
# In standard errors: of one window, and of each of two in a row in the same direction. With 2 for one, one window in
# twenty ended the memory of a service that had not changed; without the second rule one that got faster by a third
# was not found out, and the limit stood still for as long as what had been slower was remembered.
_CHANGED: Final = 3.0
_CHANGED_TWICE: Final = 2.0


class _Record:
    """Completions and seconds under one limit, and what they were worth at ``at``.

    ``surprise`` is by how many standard errors the newest window differed from those before it.
    """

    __slots__ = ("at", "count", "scatter", "surprise", "time")

    def __init__(self, window: Window, now: float) -> None:
        self.at = now
        self.count = float(window.count)
        self.time = window.count / window.rate
        self.scatter = window.scatter
        self.surprise = 0.0

    def fade(self, now: float) -> None:
        """Lose what time takes."""
        kept = exp((self.at - now) / _FORGETTING)
        self.count *= kept
        self.time *= kept
        self.at = now

    def is_of_another_service(self, window: Window) -> bool:
        """Whether a window differs too much from what was seen here before."""
        differs = log(window.rate * self.time / self.count)
        before = self.surprise
        self.surprise = differs / (window.scatter / window.count + self.scatter / self.count) ** 0.5
        return abs(self.surprise) > _CHANGED or (
            min(abs(self.surprise), abs(before)) > _CHANGED_TWICE and before * self.surprise > 0
        )

    def add(self, window: Window) -> None:
        """Take a window more."""
        self.count += window.count
        self.time += window.count / window.rate
        self.scatter += (window.scatter - self.scatter) * window.count / self.count


class Memory:
    """Limit → completions and seconds under it, both fading; nothing when the service is no longer what it was."""

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
        if known is not None and known.is_of_another_service(window):
            records.clear()
            known = None
        if known is None:
            records[window.limit] = _Record(window, now)
        else:
            known.add(window)
        while len(records) > _MOST:
            del records[min(records, key=lambda limit: records[limit].count)]

    def gain(self, limit: int, least: int, most: int) -> float:
        """Δ ln X from ``limit`` to those in [least, most] together, in standard errors of it; 0 when not known."""
        own = self._records.get(limit)
        if own is None:
            return 0.0
        count = time = noise = 0.0
        for other, record in self._records.items():
            if least <= other <= most:
                count += record.count
                time += record.time
                noise += record.count * record.scatter
        if not count:
            return 0.0
        served = log(count / time * own.time / own.count)
        return float(served / (noise / count**2 + own.scatter / own.count) ** 0.5)

    def forget(self, limit: int) -> None:
        """What was learned above ``limit`` has been refuted."""
        for other in [other for other in self._records if other > limit]:
            del self._records[other]

    def __repr__(self) -> str:
        return f"<Memory limits={sorted(self._records)}>"
