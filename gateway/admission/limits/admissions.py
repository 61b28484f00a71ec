"""A sample of the newest admissions, those still in flight among them."""

from __future__ import annotations

from collections import deque
from math import inf, log
from typing import TYPE_CHECKING, Final

from gateway.admission.limits.evidence import Life, Observation

if TYPE_CHECKING:
    from collections.abc import Iterable

SPACING: Final = 0.001
"""Seconds between two samples, on average, where many come."""
MOST: Final = 256
"""Admissions kept; the log-rank test takes 0.25 ms over as many."""
FEWEST: Final = 48
"""As many are kept however old they are."""
_SPARSE: Final = 96
# The share with the least in flight says how long requests take alone: eight at least, six of them ended.
_ALONE: Final = 12
_FEW: Final = 8
_FEW_ENDED: Final = 6
# Nats: of two explanations that differ by less, the one with the longer time alone.
_DOUBT: Final = 1.0
# Requests of all kinds that weigh in what a rare kind usually takes.
_DRAWN: Final = 4
# Kinds that differ by more than this are nothing that could be taken for one.
_MIXED: Final = 4.0


class Admission:
    """One sampled request.

    ``n`` were in flight at its admission, itself included; ``took`` is its time until now or its end.
    """

    __slots__ = ("at", "has_ended", "is_in_flight", "kind", "n", "took")

    def __init__(self, at: float, n: int, kind: str) -> None:
        self.at = at
        self.n = n
        self.kind = kind
        self.took = 0.0
        self.has_ended = False
        self.is_in_flight = True


class Admissions:
    """At most :data:`MOST` admissions, thinned out evenly when there are more.

    A request is found again by (instant, n) of its admission. Requests that are equal in both are all sampled or
    none, and are not told apart, so that which of them ends first makes no difference. ``open`` are those in flight,
    ``horizon`` the age in seconds at which a request is old; 0: not known yet. No sample need be taken before ``due``:
    a thousand a second are enough, after as many as are kept.
    """

    __slots__ = (
        "_first",
        "_here",
        "_instant",
        "_paid_until",
        "_skip",
        "_stride",
        "deaths",
        "due",
        "entries",
        "horizon",
        "is_mixed",
        "open",
    )

    def __init__(self) -> None:
        self.entries: deque[Admission] = deque()
        self.deaths = 0
        self.due = -inf
        self._paid_until = -inf
        self.horizon = 0.0
        self.is_mixed = False
        self.open: dict[tuple[float, int], list[Admission]] = {}
        self._stride = 1
        self._skip = 0
        self._instant = -1.0
        self._first = (0, False)
        self._here: dict[int, bool] = {}

    def begin(self, now: float, n: int, kind: str) -> None:
        """A request was admitted."""
        if now != self._instant:  # nearly always: the dictionary is for those that have the instant in common
            self._instant = now
            self._skip += 1
            is_taken = self._skip >= self._stride
            self._first = (n, is_taken)
            if self._here:
                self._here.clear()
            if not is_taken:
                return
        elif not self._is_taken_too(n):
            return
        self._skip = 0
        self._paid_until = max(self._paid_until, now) + SPACING
        self.due = self._paid_until - MOST * SPACING
        entry = Admission(now, n, kind)
        self.entries.append(entry)
        found = self.open.get((now, n))
        if found is None:
            self.open[now, n] = [entry]
        else:
            found.append(entry)
        if len(self.entries) > MOST:
            self._make_room(now)

    def _is_taken_too(self, n: int) -> bool:
        here = self._here
        if not here:
            here.update([self._first])
        is_taken = here.get(n)
        if is_taken is None:
            self._skip += 1
            is_taken = here[n] = self._skip >= self._stride
        return is_taken

    def end(self, at: float, n: int, took: float, *, has_ended: bool) -> bool:
        """It has ended, or it has left and nobody will know; whether it was sampled and has ended."""
        found = self.open.get((at, n))
        if found is None:
            return False
        entry = found.pop()
        if not found:
            del self.open[at, n]
        entry.is_in_flight = False
        entry.took = took
        entry.has_ended = has_ended
        self.deaths += has_ended
        return has_ended

    def forget(self, at: float, n: int) -> None:
        """It teaches nothing."""
        found = self.open.get((at, n))
        if found is not None:
            entry = found[-1]
            self._close(entry)
            self.entries.remove(entry)

    def age(self, now: float, oldest: float) -> None:
        """Forget those admitted before ``oldest``, while enough are left; bring the others up to date."""
        self._forget_old(oldest)
        entries = self.entries
        if len(entries) < _SPARSE and self._stride > 1:
            self._stride //= 2
        for entry in entries:
            if entry.is_in_flight:
                entry.took = now - entry.at

    def observations(self) -> list[Observation]:
        """What the log-rank test asks for."""
        return [Observation(entry.kind, log(entry.n), entry.took, entry.has_ended) for entry in self.entries]

    def lives(self, most: int) -> list[Life]:
        """What the test for sharing asks for, of this many at most."""
        step = -(-len(self.entries) // most)
        return [Life(entry.kind, entry.at, entry.took, entry.has_ended) for entry in list(self.entries)[::step]]

    def mean(self) -> float:
        """Time ÷ ends over all, in seconds: those in flight count, so that the first to end do not look usual."""
        ended = sum(entry.has_ended for entry in self.entries)
        return sum(entry.took for entry in self.entries) / ended if ended else 0.0

    def alone(self) -> tuple[float, float]:
        """Seconds that a request takes when nothing waits, and the places that a line stands before; 0: unknown.

        The places are the likeliest of all kinds together: who waits, waits for others. The time is by kind. Kinds with
        too few are taken together, each latency in units of what its kind usually takes; when they are too few all the
        same, it is time ÷ ends over all of the kind.
        """
        kinds: dict[str, list[Admission]] = {}
        for entry in self.entries:
            try:
                kinds[entry.kind].append(entry)
            except KeyError:
                kinds[entry.kind] = [entry]
        if not kinds:
            return 0.0, 0.0
        places = _places(self.entries)
        total = longest = 0.0
        shortest = inf
        rare: list[list[Admission]] = []
        for entries in kinds.values():
            alone = _alone(entries, places)
            total += alone * len(entries)
            if alone:
                shortest, longest = min(shortest, alone), max(longest, alone)
            else:
                rare.append(entries)
        self.is_mixed = longest > _MIXED * shortest
        if not rare:
            return total / len(self.entries), places
        together, is_known = _alone_together(rare)
        return ((total + together) / len(self.entries) if is_known or total else 0.0), places

    def span(self) -> tuple[int, int]:
        """The least n of all, and the newest."""
        return min((entry.n for entry in self.entries), default=0), self.entries[-1].n if self.entries else 0

    def _make_room(self, now: float) -> None:
        """What is old goes first; what is left is thinned out when it is many all the same."""
        if self.horizon:
            self._forget_old(now - self.horizon)
        if len(self.entries) > MOST // 2 or not self.horizon:
            self._thin()
        elif len(self.entries) < _SPARSE and self._stride > 1:
            self._stride //= 2

    def _forget_old(self, oldest: float) -> None:
        entries = self.entries
        while len(entries) > FEWEST and entries[0].at < oldest:
            self._close(entries.popleft())

    def _thin(self) -> None:
        self._stride *= 2
        entries = list(self.entries)
        self.entries = deque(entries[1::2])
        for entry in entries[0::2]:
            self._close(entry)

    def _close(self, entry: Admission) -> None:
        if not entry.is_in_flight:
            return
        entry.is_in_flight = False
        found = self.open[entry.at, entry.n]
        found.remove(entry)
        if not found:
            del self.open[entry.at, entry.n]

    def __repr__(self) -> str:
        return f"<Admissions kept={len(self.entries)} in_flight={len(self.open)} stride={self._stride}>"


def _alone(entries: list[Admission], places: float) -> float:
    """How long a request of one kind takes before a line behind this many places, in seconds; 0: unknown."""
    deaths = sum(entry.has_ended for entry in entries)
    if deaths < _FEW_ENDED or not places:
        return 0.0
    return sum(entry.took / max(entry.n / places, 1.0) for entry in entries) / deaths


def _places(entries: Iterable[Admission]) -> float:
    """The c of a line that makes latencies max(1, n / c) times as long; 0: unknown.

    It is the likeliest one, with exponential times, or the highest that is as good; what is still in flight has lasted
    for at least as long as it has.
    """
    ordered = sorted(entries, key=_by_n)
    deaths = waited = sum(entry.has_ended for entry in ordered)
    if deaths < _FEW_ENDED:
        return 0.0
    # seconds of those with n up to c, and of the others divided by their n; and ln n of the others that have ended
    below = 0.0
    above = sum(entry.took / entry.n for entry in ordered)
    longer = sum(log(entry.n) for entry in ordered if entry.has_ended)
    tried: list[tuple[float, float]] = []
    last = len(ordered) - 1
    for index, entry in enumerate(ordered):
        n = entry.n
        below += entry.took
        above -= entry.took / n
        if entry.has_ended:
            waited -= 1
            longer -= log(n)
        if index < last and ordered[index + 1].n == n:
            continue
        counts = [float(n)]
        if index < last and above > 0.0 and waited < deaths:
            between = waited * below / (above * (deaths - waited))
            if n < between < ordered[index + 1].n:
                counts.append(between)
        for count in counts:
            time = (below + count * max(above, 0.0)) / deaths
            if time > 0.0:
                tried.append((deaths * log(time) + longer - waited * log(count), count))
    least = min(tried, default=(0.0, 0.0))[0]
    return max((count for unlikely, count in tried if unlikely <= least + _DOUBT), default=0.0)


def _alone_together(kinds: list[list[Admission]]) -> tuple[float, bool]:
    """The sum over all of them of how long each takes when nobody waits, in seconds, and whether that was seen.

    What a kind usually takes is drawn towards what all of them do, by the weight of a few requests.
    """
    sums = [(sum(entry.took for entry in entries), sum(entry.has_ended for entry in entries)) for entries in kinds]
    ended = sum(count for _, count in sums)
    overall = sum(time for time, _ in sums) / max(ended, 1)
    if len(kinds) == 1 or not overall:
        return overall * sum(map(len, kinds)), False
    together: list[tuple[int, float, bool]] = []
    usual = 0.0
    for entries, (time, count) in zip(kinds, sums, strict=True):
        mean = (time + _DRAWN * overall) / (count + _DRAWN)
        usual += mean * len(entries)
        together += [(entry.n, entry.took / mean, entry.has_ended) for entry in entries]
    together.sort()
    wanted = max(_FEW, len(together) // _ALONE)
    spent = 0.0
    ended = 0
    for number, (_, share, has_ended) in enumerate(together, 1):
        spent += share
        ended += has_ended
        if number >= wanted and ended >= _FEW_ENDED:
            return usual * spent / ended, True
    return usual, False


def _by_n(entry: Admission) -> int:
    return entry.n
