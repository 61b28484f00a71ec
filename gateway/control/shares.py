"""What each worker may have of what is configured for the whole gateway (pure).

A worker gets its part of a rate, a queue or a fixed limit in proportion to what it is asked for, and never less
than a little, so that the first request to reach it finds something. Whole numbers are dealt out by the
largest remainder, so that their sum is the number in the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.telemetry.counters import Snapshot

# The part that is dealt out evenly whatever the demand.
_EVEN: Final = 0.1
# Weight of the newest half second in the demand that is remembered.
_WEIGHT: Final = 0.5


def fractions(demand: Sequence[float]) -> list[float]:
    """Parts in (0, 1] that sum to 1, in proportion to demand."""
    count = len(demand)
    total = sum(demand)
    if total <= 0:
        return [1 / count] * count
    return [_EVEN / count + (1 - _EVEN) * (one / total) for one in demand]


def split(total: int, parts: Sequence[float]) -> list[int]:
    """A whole number dealt out by parts; everybody gets at least 1, even when that is more than there is."""
    exact = [total * part for part in parts]
    dealt = [max(int(one), 1) for one in exact]
    order = sorted(range(len(parts)), key=lambda place: exact[place] - dealt[place], reverse=True)
    for place in order[: max(total - sum(dealt), 0)]:
        dealt[place] += 1
    while sum(dealt) > max(total, len(dealt)):
        dealt[dealt.index(max(dealt))] -= 1
    return dealt


def within(total: int, dealt: Sequence[int], held: Sequence[int]) -> list[int]:
    """The same deal, less what others still hold beyond their part: nobody takes a place before it is given back."""
    taken = [max(part, holding) for part, holding in zip(dealt, held, strict=True)]
    return [max(min(part, total - (sum(taken) - taken[place])), 1) for place, part in enumerate(dealt)]


class Demand:
    """How often each worker was asked for each route lately, in requests a look; forgets what is old."""

    __slots__ = ("_counted", "_recent")

    def __init__(self) -> None:
        self._counted: dict[int, dict[str, int]] = {}
        self._recent: dict[int, dict[str, float]] = {}

    def look(self, workers: Mapping[int, Snapshot]) -> dict[int, dict[str, float]]:
        """Read the counters of all workers; the demand by worker and route."""
        for number, snapshot in workers.items():
            now: dict[str, int] = {}
            for route, _method, _code, count in snapshot.requests:
                now[route] = now.get(route, 0) + count
            before = self._counted.get(number, {})
            recent = self._recent.setdefault(number, {})
            for route, count in now.items():
                new = count - before.get(route, 0) if count >= before.get(route, 0) else count
                recent[route] = (1 - _WEIGHT) * recent.get(route, 0.0) + _WEIGHT * new
            self._counted[number] = now
        return self._recent


class Presence:
    """How many requests each worker lately had for each upstream, in flight and queued.

    Not how many it finished: that follows from the part that it has, so whatever was dealt out would look right.
    """

    __slots__ = ("_recent",)

    def __init__(self) -> None:
        self._recent: dict[tuple[int, str], float] = {}

    def look(self, workers: Mapping[int, Snapshot], upstream: str) -> dict[int, float]:
        """Read the gauges of all workers; 1 more for each, so that a single request does not tip the scales."""
        recent = self._recent
        for number, snapshot in workers.items():
            gate = snapshot.gates.get(upstream)
            now = snapshot.in_flight.get(upstream, 0) + (sum(gate.queued.values()) if gate is not None else 0)
            before = recent.get((number, upstream), 0.0)
            recent[number, upstream] = before + _WEIGHT * (now - before)
        return {number: recent[number, upstream] + 1.0 for number in workers}
