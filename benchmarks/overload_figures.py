"""What a trial says in numbers: goodput, latencies, refusals, by window of time and by crowd.

An arrival belongs to the window in which it came, whatever became of it when. *Goodput* is answers with status 200
within half a second of the arrival.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.answers import BROKEN, GAVE_UP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.overload_load import Seen
    from benchmarks.overload_trial import Trial

GOOD_WITHIN: Final = 0.5
_SLOT: Final = 0.1
_HALF_SECOND: Final = 5
# Beyond these nobody can say any more what was measured, the proxy or the machine.
_FULL_CORE: Final = 0.9
_LATE: Final = 0.01


class Window(NamedTuple):
    """A stretch of time, in seconds since the beginning of the trial."""

    begin: float
    end: float

    @property
    def length(self) -> float:
        """Its seconds."""
        return self.end - self.begin


class Counts(NamedTuple):
    """What became of the arrivals of one window; ``latencies`` of all that were served, in order of size."""

    seconds: float
    offered: int
    good: int
    refused: int
    gave_up: int
    broken: int
    latencies: Sequence[float]

    @property
    def goodput(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds

    @property
    def good_share(self) -> float | None:
        """The part of the arrivals that got a good answer; None without any."""
        return self.good / self.offered if self.offered else None

    @property
    def refused_share(self) -> float | None:
        """The part of the arrivals that was refused; None without any."""
        return self.refused / self.offered if self.offered else None

    def quantile(self, part: float) -> float | None:
        """The latency below which this part of the served lies; None when nobody was served."""
        return self.latencies[int(len(self.latencies) * part)] if self.latencies else None


def count(seen: Seen, window: Window, crowd: int | None = None) -> Counts:
    """Count the arrivals of a window, of one crowd or of all."""
    return _count(
        seen,
        window.length,
        [
            number
            for number, due in enumerate(seen.due)
            if window.begin <= due < window.end and (crowd is None or seen.crowd[number] == crowd)
        ],
    )


def timeline(seen: Seen, width: float, duration: float) -> list[Counts]:
    """The counts of one window after the other."""
    numbers: list[list[int]] = [[] for _ in range(int(duration / width))]
    for number, due in enumerate(seen.due):
        if due < len(numbers) * width:
            numbers[int(due / width)].append(number)
    return [_count(seen, width, each) for each in numbers]


def _count(seen: Seen, seconds: float, numbers: Sequence[int]) -> Counts:
    latencies = []
    refused = gave_up = broken = 0
    for number in numbers:
        status = seen.status[number]
        if status == 200:
            latencies.append(seen.end[number] - seen.due[number])
        elif status == GAVE_UP:
            gave_up += 1
        elif status == BROKEN:
            broken += 1
        else:
            refused += 1
    latencies.sort()
    good = sum(latency <= GOOD_WITHIN for latency in latencies)
    return Counts(seconds, len(numbers), good, refused, gave_up, broken, latencies)


class Return(NamedTuple):
    """A refusal that named a time: what it said, the time until there was room, and how those fared that came then."""

    told: float
    until_room: float
    good_share: float


def returns(seen: Seen, window: Window) -> list[Return]:
    """The refusals of a window whose ``Retry-After`` and whose room came before the end of the trial.

    There is room in the first tenth of a second in which somebody came and nobody was refused. How those fare that
    come back is read off the arrivals of the half second after the time that was named; they had not been refused.
    """
    if not any(seen.told):
        return []
    slots = timeline(seen, _SLOT, seen.due[-1])
    room = [inf] * (len(slots) + 1)
    for number in range(len(slots) - 1, -1, -1):
        is_room = slots[number].offered > 0 and not slots[number].refused
        room[number] = number * _SLOT if is_room else room[number + 1]
    found = []
    for number, told in enumerate(seen.told):
        end = seen.end[number]
        first = int((end + told) / _SLOT)
        then = slots[first : first + _HALF_SECOND]
        if not told or not window.begin <= seen.due[number] < window.end or len(then) < _HALF_SECOND:
            continue
        until_room = max(room[int(end / _SLOT)] - end, 0.0)
        offered = sum(each.offered for each in then)
        if until_room != inf and offered:
            found.append(Return(told, until_room, sum(each.good for each in then) / offered))
    return found


def lateness(seen: Seen, window: Window) -> float:
    """By how much requests left too late at the 99th percentile, in seconds: the generator's own fault."""
    late = sorted(late for late, due in zip(seen.late, seen.due, strict=True) if window.begin <= due < window.end)
    return late[int(len(late) * 0.99)] if late else 0.0


def proxy_core(trial: Trial, window: Window) -> float | None:
    """The part of its core that the proxy used; None without a proxy."""
    if not _has_proxy(trial):
        return None
    return _mean([second.proxy for second in trial.seconds if window.begin < second.at <= window.end + 0.5])


def load_core(trial: Trial, window: Window) -> float:
    """The part of their core that service and load used together."""
    service = _mean([second.service for second in trial.seconds if window.begin < second.at <= window.end + 0.5])
    return service + _mean(trial.seen.processor[round(window.begin) : round(window.end)])


def _has_proxy(trial: Trial) -> bool:
    return any(second.memory for second in trial.seconds)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def complaint(trial: Trial, window: Window) -> str:
    """Why the machine rather than the proxy may be what was measured; empty when nothing speaks for it."""
    reasons = []
    core, late = load_core(trial, window), lateness(trial.seen, window)
    if core > _FULL_CORE:
        reasons.append(f"service and load used {core:.0%} of their core")
    if late > _LATE:
        reasons.append(f"one request in a hundred left {late * 1000:.0f} ms late or more")
    return ", ".join(reasons)


def memory_per_waiting(trial: Trial, window: Window) -> float | None:
    """Bytes that the proxy grew for each client that waited at most; None when hardly anybody did."""
    before = [second.memory for second in trial.seconds if second.at <= window.begin + 0.5]
    during = [second.memory for second in trial.seconds if window.begin < second.at <= window.end + 0.5]
    waiting = max(trial.seen.waiting[round(window.begin) : round(window.end)], default=0)
    if waiting < 200 or not _has_proxy(trial) or not before or not during:
        return None
    return (max(during) - before[-1]) / waiting


def memory_slope(trial: Trial, window: Window) -> float | None:
    """Bytes a second by which the proxy grows from the first to the last second of the window."""
    inside = [second for second in trial.seconds if window.begin <= second.at <= window.end + 0.5]
    if len(inside) < 2 or not _has_proxy(trial):
        return None
    return (inside[-1].memory - inside[0].memory) / (inside[-1].at - inside[0].at)
