"""The latest readings of a target, so that any window of time can be a difference of two of them."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.signals.reading import Reading

KEPT: Final = 660.0
"""Seconds of readings that are kept: the longest window and a little more."""
SPACING: Final = 2.5
"""Seconds between two readings that are kept, so that looking more often costs no memory; the last is always there."""
_TRIM: Final = 64


class History:
    """Readings in order of time; a reading whose sums fell begins a new history."""

    __slots__ = ("_readings", "_times")

    def __init__(self) -> None:
        self._readings: list[Reading] = []
        self._times: list[float] = []

    def add(self, reading: Reading) -> None:
        """Keep a reading; one that is not later than the last is ignored."""
        if self._times:
            if reading.at <= self._times[-1]:
                return
            last = self._readings[-1]
            if reading.first_tries < last.first_tries or reading.finished < last.finished:
                # who counts began anew: a difference with what was before would be negative
                self._readings.clear()
                self._times.clear()
        if len(self._times) > 1 and reading.at - self._times[-2] < SPACING:
            self._readings[-1] = reading
            self._times[-1] = reading.at
            return
        self._readings.append(reading)
        self._times.append(reading.at)
        place = bisect_right(self._times, reading.at - KEPT) - 1
        if place > _TRIM:
            del self._readings[:place]
            del self._times[:place]

    def back(self, seconds: float) -> Reading:
        """The latest reading that is at least so old beside the last, or the oldest; IndexError when empty."""
        place = bisect_right(self._times, self._times[-1] - seconds + 1e-6) - 1
        return self._readings[max(place, 0)]

    @property
    def last(self) -> Reading:
        """The latest reading; IndexError when empty."""
        return self._readings[-1]

    @property
    def span(self) -> float:
        """Seconds from the oldest to the latest reading."""
        return self._times[-1] - self._times[0] if self._times else 0.0

    def __len__(self) -> int:
        return len(self._readings)

    def __repr__(self) -> str:
        return f"<History readings={len(self)} span={self.span:g}>"
