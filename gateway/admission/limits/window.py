"""What the samples of a short while say together, kind by kind."""

from __future__ import annotations

from typing import Final

_SPREAD: Final = 1.2
"""Standard error of the faster half's mean, relative to it, times √samples: 1.2 to 1.5 for exponential latencies."""
_FEWEST: Final = 4
TOGETHER: Final = ""
"""The kind of all that are too rare to be one, where most are."""


class Waiting:
    """An estimate of how many wait in the upstream, and its standard error, per request a second."""

    __slots__ = ("error", "time")

    def __init__(self, time: float, error: float) -> None:
        self.time = time
        self.error = error


class Window:
    """Samples admitted under one ``limit``; closed by :meth:`close`, it answers questions.

    ``rate`` is completions per second; ``scatter`` the squared coefficient of variation of what one request
    costs, at least 1; ``load`` the mean number in flight; ``halves`` is kind → (mean of the faster half of
    the latencies, number of latencies); ``mean`` is that of all latencies, in seconds.
    """

    __slots__ = (
        "_latencies",
        "_load",
        "count",
        "halves",
        "limit",
        "load",
        "mean",
        "opened_at",
        "rate",
        "scatter",
        "timeouts",
    )

    def __init__(self, limit: int, now: float) -> None:
        self.limit = limit
        self.opened_at = now
        self.count = 0
        self.timeouts = 0
        self.rate = 0.0
        self.scatter = 1.0
        self.mean = 0.0
        self.load = 0.0
        self.halves: dict[str, tuple[float, int]] = {}
        self._load = 0
        self._latencies: dict[str, list[float]] = {}

    def add(self, kind: str, latency: float, in_flight: int) -> None:
        """Take one sample."""
        self.count += 1
        self._load += in_flight
        try:
            self._latencies[kind].append(latency)
        except KeyError:
            self._latencies[kind] = [latency]

    def close(self, now: float) -> None:
        """Work out what they say."""
        self.rate = self.count / (now - self.opened_at)
        self.load = self._load / self.count
        total = squares = 0.0
        rare: list[float] = []
        for kind, latencies in self._latencies.items():
            total += sum(latencies)
            squares += sum(latency * latency for latency in latencies)
            if len(latencies) >= _FEWEST:
                self._halve(kind, latencies)
            else:
                rare += latencies
        if 2 * len(rare) > self.count:  # nearly every kind is rare: together they say what none of them can
            self._halve(TOGETHER, rare)
        self.mean = total / self.count
        if total:
            self.scatter = max(1.0, self.count * squares / (total * total) - 1)
        self._latencies.clear()

    def _halve(self, kind: str, latencies: list[float]) -> None:
        latencies.sort()
        faster = latencies[: (len(latencies) + 1) // 2]
        self.halves[kind] = (sum(faster) / len(faster), len(latencies))

    def waiting(self, base: dict[str, float]) -> Waiting:
        """How much longer than ``base`` requests took, in seconds, and the standard error of that.

        Each latency counts in units of its own kind's base, because that is the unit of its noise: a kind that
        takes half a second must not drown what one of 5 ms sees, nor a rare kind a frequent one.
        """
        excess = weight = noise = 0.0
        for kind, (latency, count) in self.halves.items():
            usual = base.get(kind)
            if usual:
                excess += count * (latency / usual - 1)
                weight += count / usual
                noise += count * (latency / usual) ** 2
        if not weight:
            return Waiting(0.0, 0.0)
        return Waiting(excess / weight, _SPREAD * noise**0.5 / weight)

    def __repr__(self) -> str:
        return f"<Window limit={self.limit} samples={self.count}>"
