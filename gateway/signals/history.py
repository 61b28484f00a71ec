"""The latest readings of a target, so that any window of time can be a difference of two of them.

A silence begins a new history: what was counted in it, if anything, came at no rate that anybody knows.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

if TYPE_CHECKING:
    from gateway.signals.reading import Reading

KEPT: Final = 660.0
"""Seconds of readings that are kept: the longest window and a little more."""
SPACING: Final = 2.5
"""Seconds between two readings that are kept, so that looking more often costs no memory; the last is always there."""
SILENCE: Final = 30.0
"""Seconds between two readings: after more a signal has been invalid, and a mean over it would say nothing."""
_TRIM: Final = 64
_WINDOWS: Final = 8


class History:
    """Readings in order of time; a reading whose sums fell begins a new history, as does one after a silence."""

    __slots__ = ("_held", "_readings", "_times")

    def __init__(self) -> None:
        self._readings: list[Reading] = []
        self._times: list[float] = []
        self._held: list[bool] = []
        """Whether nothing has happened between a reading and the one before it."""

    def add(self, reading: Reading) -> bool:
        """Keep a reading; one that is not later than the last is ignored. Whether a new history began with it."""
        is_first = not self._times
        if self._times:
            if reading.at <= self._times[-1]:
                return False
            last = self._readings[-1]
            has_fallen = reading.first_tries < last.first_tries or reading.finished < last.finished
            if has_fallen or reading.at - last.at > SILENCE:
                # who counts began anew: a difference with what was before would be negative
                self._readings.clear()
                self._times.clear()
                self._held.clear()
                is_first = True
        if len(self._times) > 1 and reading.at - self._times[-2] < SPACING and not self._held[-1]:
            self._readings[-1] = reading
            self._times[-1] = reading.at
            return False
        self._append(reading, is_held=False)
        return is_first

    def hold(self, at: float) -> None:
        """Everything was until this instant as the last reading says; nothing when that is not earlier."""
        if self._times and at > self._times[-1]:
            self._append(replace(self._readings[-1], at=at), is_held=True)

    def _append(self, reading: Reading, *, is_held: bool) -> None:
        self._readings.append(reading)
        self._times.append(reading.at)
        self._held.append(is_held)
        place = bisect_right(self._times, reading.at - KEPT) - 1
        if place > _TRIM:
            del self._readings[:place]
            del self._times[:place]
            del self._held[:place]

    def back(self, seconds: float) -> Reading:
        """The latest reading that is at least so old beside the last, or the oldest; IndexError when empty.

        There is one for every instant of a time in which all was held.
        """
        at = self._times[-1] - seconds
        place = max(bisect_right(self._times, at + 1e-6) - 1, 0)
        reading = self._readings[place]
        if place + 1 < len(self._held) and self._held[place + 1] and at > reading.at:
            return replace(reading, at=at)
        return reading

    def dispersion(self, width: float) -> float | None:
        """Variance ÷ mean of the arrivals in so many seconds, from differences of neighbouring windows.

        None with fewer than :data:`_WINDOWS` windows or an arrival in each.
        """
        times, readings = self._times, self._readings
        if self.span < _WINDOWS * width:
            return None
        counts = [one.first_tries + one.retries for one in readings]
        total = counts[-1] - counts[0]
        usual = total / self.span * width
        if usual < 1:
            return None
        middle = first = pairs = 0
        squares = 0.0
        for last, at in enumerate(times):
            while middle < last and times[middle + 1] <= at - width:
                middle += 1
            while first < middle and times[first + 1] <= times[middle] - width:
                first += 1
            if first == middle or times[first] > at - 2 * width:
                continue
            late = (counts[last] - counts[middle]) / (at - times[middle])
            early = (counts[middle] - counts[first]) / (times[middle] - times[first])
            squares += (late - early) ** 2
            pairs += 1
        return squares * width * width / (2.0 * pairs * usual) if pairs else None

    @property
    def last(self) -> Reading:
        """The latest reading; IndexError when empty."""
        return self._readings[-1]

    @property
    def span(self) -> float:
        """Seconds from the oldest to the latest reading."""
        return self._times[-1] - self._times[0] if self._times else 0.0

    def span_until(self, at: float | None) -> float:
        """The same, where all was still so at a later instant."""
        return self.span + (max(at - self._times[-1], 0.0) if self._times and at is not None else 0.0)

    def __len__(self) -> int:
        return len(self._readings)

    def __repr__(self) -> str:
        return f"<History readings={len(self)} span={self.span:g}>"
