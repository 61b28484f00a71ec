"""What each worker may have of what is configured for the whole gateway (pure).

A worker gets its part of a queue or a fixed limit in proportion to what it is asked for, and never less
than a little, so that the first request to reach it finds something. Whole numbers are dealt out by the
largest remainder, so that their sum is the number in the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.telemetry.snapshot import Snapshot

# The part that is dealt out evenly whatever the demand.
_EVEN: Final = 0.1
# A place that moves serves nobody until the worker that gives it up is known to have done so, so places do not move for
# the noise in what workers have: only when some worker's part is wrong by a place, and by this much of all places.
_LEAST_MOVE: Final = 0.05
# Weight of the newest half second in the demand that is remembered.
_WEIGHT: Final = 0.5
# Less of a request than this is none.
_NOTHING: Final = 0.01


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


class FixedLimit:
    """One fixed limit dealt out to workers 0 … n-1, so that never more places are taken than there are.

    What is said of a worker is old when it is read, and a worker may fill its part at any instant. So of each is
    counted what it may hold at worst: what it had in flight when it last spoke, the part that it had then, and the part
    that is on its way to it. Parts shrink at once and grow only into what nobody may hold any more. One part at a
    time is on its way to a worker, so that what it says tells whether that has arrived.

    With fewer places than workers each has one.
    """

    __slots__ = ("_even", "_given", "_has", "_holds", "_total")

    def __init__(self, total: int, workers: int) -> None:
        self._total = total
        self._even = split(total, [1 / workers] * workers)
        self._given = list(self._even)
        self._has = list(self._even)
        self._holds = [0] * workers

    def start(self, worker: int) -> int:
        """The part of a worker that starts now; what was in flight at its predecessor is gone."""
        self._given[worker] = self._has[worker] = self._holds[worker] = 0
        part = max(min(self._even[worker], self._total - sum(map(self._at_worst, range(len(self._even))))), 1)
        self._given[worker] = self._has[worker] = part
        return part

    def hear(self, worker: int, part: int, in_flight: int) -> None:
        """What a worker said last: the part that it has, and how many it had in flight."""
        self._has[worker] = part
        self._holds[worker] = in_flight

    @property
    def is_settled(self) -> bool:
        """Whether all places are dealt out, and each worker is known to have its own."""
        return self._given == self._has and sum(self._given) >= self._total

    def deal(self, parts: Sequence[float]) -> list[int]:
        """What every worker is to be told: its number of places, as near to these parts as is safe now."""
        total = self._total
        workers = range(len(self._given))
        furthest = max(abs(total * part - given) for part, given in zip(parts, self._given, strict=True))
        if furthest < max(1.0, total * _LEAST_MOVE) and sum(self._given) >= total:
            return list(self._given)
        free = total - sum(map(self._at_worst, workers))
        wanted = split(total, parts)
        for worker in workers:
            given = self._given[worker]
            if self._has[worker] != given:
                continue  # on its way
            worst = self._at_worst(worker)
            part = min(wanted[worker], max(worst + free, given))
            free -= max(part - worst, 0)
            self._given[worker] = part
        return list(self._given)

    def _at_worst(self, worker: int) -> int:
        return max(self._given[worker], self._has[worker], self._holds[worker])

    def __repr__(self) -> str:
        return f"<FixedLimit {self._total} given={self._given}>"


class Presence:
    """How many requests each worker lately had for each upstream, in flight and queued.

    Not how many it finished: that follows from the part that it has, so whatever was dealt out would look right.
    """

    __slots__ = ("_recent", "_were")

    def __init__(self) -> None:
        self._recent: dict[tuple[int, str], float] = {}
        self._were: dict[str, None] = {}

    def present(self, workers: Mapping[int, Snapshot]) -> list[str]:
        """The upstreams that anything is or lately was at, and a last time those that have become empty.

        Of all others every worker has an even part, with which it began.
        """
        found = dict.fromkeys(name for _, name in self._recent)
        for snapshot in workers.values():
            found.update((name, None) for name, number in snapshot.in_flight.items() if number)
            found.update((name, None) for name, gate in snapshot.gates.items() if gate.queued)
        names = {**found, **self._were}
        self._were = found
        return list(names)

    def look(self, workers: Mapping[int, Snapshot], upstream: str) -> dict[int, float]:
        """Read the gauges of all workers; 1 more for each, so that a single request does not tip the scales."""
        recent = self._recent
        for number, snapshot in workers.items():
            gate = snapshot.gates.get(upstream)
            now = snapshot.in_flight.get(upstream, 0) + (sum(gate.queued.values()) if gate is not None else 0)
            before = recent.get((number, upstream), 0.0)
            after = before + _WEIGHT * (now - before)
            if after >= _NOTHING:
                recent[number, upstream] = after
            else:
                recent.pop((number, upstream), None)
        return {number: recent.get((number, upstream), 0.0) + 1.0 for number in workers}
