"""How much the load is likely to grow before a replica that is asked for now can serve.

Square-root staffing covers the chance in arrivals whose rate is known. A rate that will be another one when the
replica is ready needs more: the spare for an uncertain rate is a quantile of its change (Whitt 2006, *Staffing a call
center with uncertain arrival rate and absenteeism*; Bassamboo, Randhawa & Zeevi 2010). The changes over one lead time
that were seen in the last ten minutes are the sample; falls count as no growth.

A surge is nothing like what was seen before. While the load climbs, 1.6 times what its slope would bring in the lead
time counts too, because surges that matter accelerate. A climb that chance alone explains is none: two counts of
one rate differ as well, and with few requests a second a slope of 15 s has much of that in it. Nor is the way back:
what the load was less than :data:`KNOWN` seconds ago is known, so only what is above it climbs. After a start or a
pause the first windows of a rate have silence in them, so nothing is compared with them (:meth:`Growth.restart`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from typing import Final

MEMORY: Final = 600.0
"""Seconds for which a change is remembered."""
QUANTILE: Final = 0.95
RUN: Final = 15.0
"""The slope is that of so many seconds: less says too little, and with 20 a surge is known a look later."""
STEEPER: Final = 1.6
"""Of the slope, because surges that matter accelerate."""
FLAT: Final = 0.2
"""Of the load: a climb that brings less in a lead time is no surge."""
KNOWN: Final = 75.0
"""Seconds for which a load that fell is remembered, so that its return is no surge: what served it is still there,
because scale-in waits longer than this after a surge."""
SUDDEN: Final = 12.5
"""Seconds in which half of a fall must have come, or it is no pause of the traffic but a load that wavers."""
FALLEN: Final = 0.2
"""Of the load: a fall that is smaller is no pause."""
CHANCE: Final = 4.0
"""Standard deviations of chance that a climb must be above, or a calm load of few requests a second has surges."""


class Growth:
    """A quantile of the growth of a value over a lead time, ≥ 0."""

    __slots__ = ("_begin", "_changes", "_order", "_quantile", "_times", "_values")

    def __init__(self, quantile: float = QUANTILE) -> None:
        self._quantile = quantile
        self._begin = float("-inf")
        self._times: list[float] = []
        self._values: list[float] = []
        self._changes: deque[tuple[float, float]] = deque()
        self._order: list[float] = []

    @property
    def is_flat(self) -> bool:
        """Whether nothing has grown for as long as it is remembered."""
        return not self._order or self._order[-1] == 0.0

    def restart(self, begin: float) -> None:
        """Values say something from ``begin`` on; those of before are no measure for them."""
        self._begin = begin
        self._times.clear()
        self._values.clear()

    def hold(self, at: float) -> None:
        """The value was until this instant what it was last, which counts as if it had been taken every second."""
        times, values = self._times, self._values
        if not times:
            return
        missed = int(min(at - times[-1], MEMORY))
        if missed > 0:
            grid = [at - second for second in reversed(range(missed))]
            times += grid
            values += [values[-1]] * missed
            self._changes.extend((instant, 0.0) for instant in grid)
            self._order[:0] = [0.0] * missed

    def update(
        self, value: float, lead: float, now: float, noise: float = 0.0, width: float = 1.0
    ) -> tuple[float, float]:
        """Take the present value; what it may grow by in ``lead`` seconds: as usual, and as it climbs now.

        ``width`` is the window that the value is a mean of, as a multiple of the usual one: with it the slope is that
        of a longer run, and says nothing of what is farther ahead than that run was. ``noise`` is the standard
        deviation of a difference of two values while the rate stays what it is. The first lead time has no change to
        offer, and counts as one without growth.
        """
        times, values = self._times, self._values
        place = bisect_right(times, now - lead) - 1
        change = max(value - values[place], 0.0) if place >= 0 else 0.0
        run = bisect_right(times, now - RUN * width) - 1
        slope = 0.0
        if run >= 0 and value - values[run] > CHANCE * noise:
            known = self._known(now - KNOWN * width, run, SUDDEN * width)
            slope = max(value - known, 0.0) / (now - times[run])
        if now >= self._begin:
            times.append(now)
            values.append(value)
        old = min(place, bisect_right(times, now - KNOWN * width) - 1)
        if old > 64:  # noqa: PLR2004 - trimmed now and then, not each time
            del times[:old]
            del values[:old]
        self._changes.append((now, change))
        insort(self._order, change)
        while self._changes[0][0] < now - MEMORY:
            _, gone = self._changes.popleft()
            del self._order[bisect_left(self._order, gone)]
        usual = self._order[int(self._quantile * (len(self._order) - 1) + 0.5)]
        surge = STEEPER * slope * (lead if width <= 1 else min(lead, RUN * width))
        return usual, surge if surge > FLAT * value else 0.0

    def _known(self, since: float, run: int, sudden: float) -> float:
        """What a climb is measured from: the value at ``run``, or what was there before a sudden fall to it."""
        times, values = self._times, self._values
        begin = bisect_right(times, since)
        base, most = values[run], max(values[begin : run + 1])
        enough = max((most - base) / 2, FALLEN * most)
        for place in range(begin, run):
            after = min(bisect_right(times, times[place] + sudden), run + 1)
            if values[place] - min(values[place:after]) >= enough:
                return most
        return base
