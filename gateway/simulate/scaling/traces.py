"""A trace: requests per second on a regular grid.

What is finer than the trace is made up: between two counts the rate is interpolated linearly from middle to
middle, and the requests of a second are drawn by Poisson's law with a fixed seed. A trace of single requests is taken
as it is, second by second, unless it is scaled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Trace(NamedTuple):
    """Requests per second on a regular grid: ``rates[i]`` is the mean from ``i·step`` to ``(i+1)·step`` seconds."""

    name: str
    step: float
    rates: Sequence[float]
    gaps: int = 0
    """Periods that the file did not have; they count as 0."""
    notes: tuple[str, ...] = ()
    """What a reader of its figures should know."""
    is_exact: bool = False
    """Whether the requests of each second are known, so that nothing is drawn."""

    @property
    def length(self) -> float:
        """How long it is, in seconds."""
        return self.step * len(self.rates)

    def cut(self, begin: float, end: float) -> Trace:
        """The part from ``begin`` to ``end``, in seconds from its start."""
        return self._replace(rates=self.rates[int(begin / self.step) : int(end / self.step)])

    def led_in(self, seconds: float) -> Trace:
        """The same after its own first seconds in reverse order, so that what is measured begins warm."""
        count = int(seconds / self.step)
        return self._replace(rates=[*reversed(self.rates[:count]), *self.rates])

    def scaled(self, peak: float) -> Trace:
        """The same shape, with ``peak`` requests per second at its highest."""
        return self.times(peak / max(self.rates))

    def times(self, factor: float) -> Trace:
        """So many times as many requests."""
        return self._replace(rates=[rate * factor for rate in self.rates], is_exact=False)

    def seconds(self) -> list[float]:
        """The rate in each second, interpolated from middle to middle."""
        step, rates = self.step, self.rates
        if step <= 1:
            return list(rates)
        found = []
        for second in range(int(self.length)):
            place = (second + 0.5) / step - 0.5
            left = min(max(int(place // 1), 0), len(rates) - 1)
            right = min(left + 1, len(rates) - 1)
            share = min(max(place - left, 0.0), 1.0)
            found.append(rates[left] * (1 - share) + rates[right] * share)
        return found
