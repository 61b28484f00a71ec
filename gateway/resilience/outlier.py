"""Which endpoints do so much worse than their peers that they are left out for a while.

Passive, from the calls themselves (Envoy's outlier detection is the precedent), and always relative: when all
endpoints are bad none is an outlier, and leaving some out would only crowd the others. Four reasons:

``consecutive``  five failures in a row, or more where peers fail too: as many as peers would hardly ever show;
``failures``     a share of failures that surely is a fifth above that of the peers together;
``latency``      geometric mean latency at least five times the median of the peers';
``stuck``, ``abandoned``  calls that stay without a complete answer twenty times longer than the peers' usually take, or
                 whose clients lost patience: an endpoint that drips bytes never fails and never answers late. The judge
                 is given only calls of pages that are known to end, so event streams convict nobody.

The work is linear in the endpoints: what each is compared with, all but itself, is added up and sorted once.

An attempt that fails before the client has seen anything can be made again elsewhere. One that breaks off in the
middle of an answer, or never ends, costs a client; so whoever was left out for that comes back by a trial: a copy of a
request that somebody else answers (:mod:`gateway.proxy.trial`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.resilience.standing import LEFT_LATE, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.resilience.settings import OutlierSettings
    from gateway.resilience.window import Window

__all__ = ["Ejection", "Outliers", "Standing"]

_IN_A_ROW: Final = 5
_BY_CHANCE: Final = 1e-4
_LEAST_CALLS: Final = 20
_LEAST_EXCESS: Final = 0.2
_SIGMAS: Final = 3.0
_SLOWER: Final = 5.0
_LEAST_SAMPLES: Final = 10
_NOTICEABLE: Final = 0.025
"""Seconds; nobody gains when an endpoint is left out for being slower by less."""
_LONGER: Final = 20.0
_LEAST_STUCK: Final = 3
_STUCK_SHARE: Final = 0.3
_SILENT: Final = frozenset({"stuck", "abandoned"})
_PARDON: Final = 2.0
"""One ejection is forgotten for each two first sentences of good behaviour."""


@dataclass(frozen=True, slots=True)
class Ejection:
    """The endpoint at ``index`` is left out for ``seconds``; in shadow it only would be."""

    index: int
    seconds: float
    reason: str
    is_shadow: bool = False


class Suspicion(NamedTuple):
    """How bad an endpoint looks, for choosing among several, and why."""

    badness: float
    reason: str


class Outliers:
    """Judges the endpoints of one upstream, a few times a second."""

    __slots__ = ("_first", "_longest", "_mode", "_share")

    def __init__(self, settings: OutlierSettings) -> None:
        self._mode = settings.mode
        self._first = float(settings.ejected_for)
        self._longest = float(settings.max_ejected_for)
        self._share = settings.max_ejected

    def judge(self, standings: Sequence[Standing], now: float) -> list[Ejection]:
        """Who is left out from now on, worst first, and for how long; their standings know it already.

        Never more than ``max_ejected`` of them at once, rounded down, and never the last one.
        """
        known = [standing.latency for standing in standings if standing.usual_latency]
        usual = median(known) if known else 0.0
        for standing in standings:
            standing.settle(now, usual, _PARDON * self._first)
        if self._mode == "off":
            return []
        convicted = [self._eject(index, one, "stuck", now) for index, one in enumerate(standings) if one.is_convicted]
        staying = [index for index, standing in enumerate(standings) if not standing.is_sentenced(now)]
        allowed = min(int(len(standings) * self._share + 1e-9), len(standings) - 1) - (len(standings) - len(staying))
        if allowed <= 0:
            return convicted
        peers = Peers([standings[index] for index in staying])
        suspects = []
        for place, index in enumerate(staying):
            suspicion = self._suspect(standings[index], place, peers, now)
            if suspicion is not None:
                suspects.append((suspicion, index))
        suspects.sort(key=lambda suspect: (-suspect[0].badness, suspect[1]))
        return convicted + [self._eject(index, standings[index], why.reason, now) for why, index in suspects[:allowed]]

    def _eject(self, index: int, standing: Standing, reason: str, now: float) -> Ejection:
        seconds = min(self._longest, self._first * (standing.times + 1))
        is_shadow = self._mode == "shadow"
        is_costly = reason in _SILENT or standing.is_breaking
        standing.eject(now + seconds, is_shadow=is_shadow, needs_trial=is_costly)
        return Ejection(index, seconds, reason, is_shadow)

    def _suspect(self, one: Standing, place: int, peers: Peers, now: float) -> Suspicion | None:
        if peers.count < 2:  # noqa: PLR2004 - one has no peers
            return None
        return self._fails(one, peers, now) or self._drips(one, place, peers, now) or self._is_slow(one, place, peers)

    def _fails(self, one: Standing, peers: Peers, now: float) -> Suspicion | None:
        window = one.window
        if not window.failures and not one.consecutive:
            return None
        calls = peers.calls - window.calls
        usual = (peers.failures - window.failures) / calls if calls else 0.0
        in_a_row = one.consecutive
        # who has just come back has no credit
        enough = 1 if one.weight(now) < 1 else _IN_A_ROW
        if in_a_row >= enough and usual**in_a_row <= _BY_CHANCE:
            return Suspicion(1.0 + in_a_row, "consecutive")
        if window.calls >= _LEAST_CALLS and calls:
            share = window.failures / window.calls
            surely = share - usual - _SIGMAS * sqrt(_variance(window) + usual * (1 - usual) / calls)
            if surely >= _LEAST_EXCESS:
                return Suspicion(1.0 + surely, "failures")
        return None

    def _drips(self, one: Standing, place: int, peers: Peers, now: float) -> Suspicion | None:
        if not one.in_progress and not one.abandoned:
            return None
        count = peers.totals.count_without(place)
        if not count:
            return None
        age = max(LEFT_LATE, _LONGER * peers.totals.median_without(place))
        stuck = one.stuck(age)
        unanswered = stuck + one.abandoned
        # calls that ended before the oldest of them began say nothing about what became of it (a bucket is a second)
        since = max(max(one.in_progress) - 1.0, 0.0) if stuck else one.window.seconds
        if unanswered < _STUCK_SHARE * (one.window.recent(since, now) + unanswered):
            return None
        own = unanswered if peers.totals.has(place) else 0
        expected = (peers.unanswered(age) - own) / count
        enough = 1 if one.weight(now) < 1 else _LEAST_STUCK
        if unanswered < enough + expected + _SIGMAS * sqrt(expected):
            return None
        return Suspicion(1.0 + unanswered, "stuck" if stuck >= one.abandoned else "abandoned")

    def _is_slow(self, one: Standing, place: int, peers: Peers) -> Suspicion | None:
        if _answers(one) < _LEAST_CALLS or not peers.latencies.count_without(place):
            return None
        usual = peers.latencies.median_without(place)
        latency = one.usual_latency
        if latency >= _SLOWER * usual and latency - usual >= _NOTICEABLE:
            return Suspicion(latency / usual / 1000, "latency")
        return None


class Others:
    """The median of some members' figures without any one of them, at once for all members: sorted a single time."""

    __slots__ = ("_places", "_sorted")

    def __init__(self, figures: Iterable[tuple[int, float]]) -> None:
        ranked = sorted((figure, place) for place, figure in figures)
        self._sorted = [figure for figure, _ in ranked]
        self._places = {place: rank for rank, (_, place) in enumerate(ranked)}

    def has(self, place: int) -> bool:
        """Whether this member has a figure."""
        return place in self._places

    def count_without(self, place: int) -> int:
        """How many figures the others have."""
        return len(self._sorted) - (place in self._places)

    def median_without(self, place: int) -> float:
        """The median of the others' figures, of which there is one at least."""
        rank = self._places.get(place, len(self._sorted))
        count = self.count_without(place)
        middle = count // 2
        upper = self._at(middle, rank)
        return upper if count % 2 else (upper + self._at(middle - 1, rank)) / 2

    def _at(self, index: int, left_out: int) -> float:
        return self._sorted[index if index < left_out else index + 1]


class Peers:
    """What is known of all that are judged together, added up once, so that each is compared with its peers at once."""

    __slots__ = ("_counted", "_finished", "calls", "count", "failures", "latencies", "totals")

    def __init__(self, standings: Sequence[Standing]) -> None:
        self.count = len(standings)
        self.calls = sum(one.window.calls for one in standings)
        self.failures = sum(one.window.failures for one in standings)
        self.latencies = Others(
            (place, one.usual_latency) for place, one in enumerate(standings) if _answers(one) >= _LEAST_SAMPLES
        )
        finished = [(place, one) for place, one in enumerate(standings) if one.window.calls >= _LEAST_SAMPLES]
        self.totals = Others((place, one.usual_total) for place, one in finished)
        self._finished = [one for _, one in finished if one.in_progress or one.abandoned]
        self._counted: dict[float, int] = {}

    def unanswered(self, age: float) -> int:
        """Calls of all that are older than ``age`` seconds, and those whose clients lost patience."""
        found = self._counted.get(age)
        if found is None:  # the medians without one are three numbers at most
            found = self._counted[age] = sum(one.stuck(age) + one.abandoned for one in self._finished)
        return found


def too_long(peers: Sequence[Standing]) -> float:
    """Seconds after which an answer that is not complete says something about its endpoint, beside these peers."""
    return max(LEFT_LATE, _LONGER * median(peer.usual_total for peer in peers)) if peers else LEFT_LATE


def _answers(standing: Standing) -> int:
    return standing.window.calls - standing.window.failures


def _variance(window: Window) -> float:
    """Of a share of failures: as if two more calls had failed and two not (Agresti & Coull 1998), so never 0."""
    calls = window.calls + 4
    share = (window.failures + 2) / calls
    return share * (1 - share) / calls
