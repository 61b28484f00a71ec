"""Who serves the next attempt? Four answers; each takes the endpoints that may be asked and gives one of them.

``p2c`` (default): of two drawn at random the one with the lower cost, which is
(in flight + 1) × slowness × penalty ÷ weight (Mitzenmacher 2001; the cost after Finagle's Peak EWMA). An endpoint
that fails fast has a high penalty, so that being free all the time does not make it attractive. One that starts
slowly wins only as often as the part of its weight that is in force.

``least_in_flight``: the least (in flight + 1) ÷ weight of sixteen, which is of all where there are no more, and of the
next sixteen each time where there are (of so many choices one is nearly always among the least; Mitzenmacher 2001);
among equals, in turn.

``round_robin``: in turn, smoothly by weight: each has its turn 1 ÷ weight after the one before (earliest deadline
first, Demers et al. 1989, as in Envoy).

``ring_hash``: the same key goes to the same endpoint while that has less than 1.25 times its part of what is in
flight, else to the next one on the ring (consistent hashing with bounded loads, Mirrokni et al. 2016). What is in
flight is added up again after a part of the endpoints were chosen, one in thirty-two, and counted on in between.

None looks at all of them for one choice. Each is given the same list again while the same endpoints are to be asked,
and another list when they change. Those that are unfit for one attempt, because it was there already or they are full,
are passed over.
"""

from __future__ import annotations

from bisect import bisect_left
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from math import ceil
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from gateway.upstream.settings import Balance

_BOUND: Final = 1.25
_POINTS: Final = 64
"""Points on the ring for an endpoint of weight 1: parts differ by about 1 / √64 = 12 %."""
_MOST_POINTS: Final = 4096
_EVERY: Final = 32
_GOLDEN: Final = (5**0.5 - 1) / 2
"""Multiples of it, without their whole parts, lie evenly between 0 and 1 however many there are."""
_A_HASH: Final = 8
_EIGHT: Final = Struct(">8Q")
_OWNER: Final = 0xFFFF
_MANY: Final = 16
_DRAWS: Final = 8


class Candidate(Protocol):
    """What a choice is made by.

    ``part`` of the weight is in force, in (0, 1]; ``share`` is weight × part; ``cost`` is slowness × penalty ÷ weight.
    """

    url: str
    in_flight: int
    part: float
    share: float
    cost: float


class Balancer(Protocol):
    """Chooses among endpoints, two at least."""

    def pick(self, candidates: Sequence[Candidate], key: str, is_unfit: Callable[[Any], bool] | None = None) -> int:
        """The index of the endpoint for the next attempt, -1 when all are unfit; ``key`` says whose request it is."""


class PowerOfTwo:
    """The better of two drawn at random."""

    __slots__ = ("_random",)

    def __init__(self, rng: Random) -> None:
        self._random = rng.random

    def pick(self, candidates: Sequence[Candidate], key: str, is_unfit: Callable[[Any], bool] | None = None) -> int:
        """The index of the one with the lower cost."""
        if is_unfit is not None:
            return self._pick_fit(candidates, key, is_unfit)
        count = len(candidates)
        first = int(self._random() * count)
        second = int(self._random() * (count - 1))
        if second >= first:
            second += 1
        one, other = candidates[first], candidates[second]
        if (other.in_flight + 1) * other.cost < (one.in_flight + 1) * one.cost:
            first, second, one = second, first, other
        return first if one.part >= 1.0 or self._random() < one.part else second

    def _pick_fit(self, candidates: Sequence[Candidate], key: str, is_unfit: Callable[[Any], bool]) -> int:
        """The same of those that are fit; when some draws have found none, the first fit one from a random place on."""
        count = len(candidates)
        if count > _MANY:
            for _ in range(_DRAWS):
                found = self.pick(candidates, key)
                if not is_unfit(candidates[found]):
                    return found
            begin = int(self._random() * count)
            return _first_fit(candidates, begin, is_unfit)
        fit = [index for index, one in enumerate(candidates) if not is_unfit(one)]
        if len(fit) <= 1:
            return fit[0] if fit else -1
        return fit[self.pick([candidates[index] for index in fit], key)]


class LeastInFlight:
    """The least in flight for its weight, of sixteen in turn."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0

    def pick(self, candidates: Sequence[Candidate], key: str, is_unfit: Callable[[Any], bool] | None = None) -> int:
        """The index of the least loaded one; equals take turns."""
        del key
        count = len(candidates)
        looked_at = min(count, _MANY)
        # the next one first where all are looked at, else the next sixteen
        begin = self._next = (self._next + (1 if looked_at == count else looked_at)) % count
        best = -1
        least = float("inf")
        for step in range(looked_at):
            index = (begin + step) % count
            one = candidates[index]
            load = (one.in_flight + 1) / one.share
            if load < least and (is_unfit is None or not is_unfit(one)):
                least = load
                best = index
        if best < 0 and is_unfit is not None and looked_at < count:
            return _first_fit(candidates, begin, is_unfit)
        return best


class RoundRobin:
    """In turn, by weight."""

    __slots__ = ("_index", "_made_for", "_now", "_turns")

    def __init__(self) -> None:
        self._now = 0.0
        self._made_for: Sequence[Candidate] = ()
        self._index: dict[str, int] = {}
        self._turns: list[tuple[float, int, str]] = []

    def pick(self, candidates: Sequence[Candidate], key: str, is_unfit: Callable[[Any], bool] | None = None) -> int:
        """The index of the one whose turn comes first."""
        del key
        if candidates is not self._made_for or len(candidates) != len(self._index):
            self._make(candidates)
        turns = self._turns
        passed_over: list[tuple[float, int, str]] = []
        found = -1
        while turns:
            turn = heappop(turns)
            at, order, url = turn
            index = self._index[url]
            one = candidates[index]
            if is_unfit is not None and is_unfit(one):
                passed_over.append(turn)
                continue
            self._now = max(self._now, at)
            heappush(turns, (at + 1 / one.share, order, url))
            found = index
            break
        for turn in passed_over:
            heappush(turns, turn)
        return found

    def _make(self, candidates: Sequence[Candidate]) -> None:
        """Take these from now on; who is known keeps its turn, the first turns of others are spread over a round."""
        before = {url: at for at, _, url in self._turns}
        self._made_for = candidates
        self._index = {one.url: index for index, one in enumerate(candidates)}
        self._turns = [
            (before.get(one.url, self._now + (0.5 + _GOLDEN * index) % 1 / one.share), index, one.url)
            for index, one in enumerate(candidates)
        ]
        heapify(self._turns)


class RingHash:
    """The same endpoint for the same key, within its bound."""

    __slots__ = ("_made_for", "_owners", "_picks", "_points", "_total", "_urls", "_weight")

    def __init__(self) -> None:
        self._made_for: Sequence[Candidate] = ()
        self._urls: tuple[str, ...] = ()
        self._points: list[int] = []
        self._owners: list[int] = []
        self._picks = 0
        self._total = 0
        self._weight = 0.0

    def pick(self, candidates: Sequence[Candidate], key: str, is_unfit: Callable[[Any], bool] | None = None) -> int:
        """The index of the key's endpoint, or of the next one that has room."""
        if candidates is not self._made_for or len(candidates) != len(self._urls):
            self._make(candidates)
        elif self._picks <= 0:
            self._add_up(candidates)
        self._picks -= 1
        self._total += 1
        total, weight = self._total, self._weight
        owners = self._owners
        start = bisect_left(self._points, _hash(key))
        full: set[int] = set()
        fallback = -1
        for step in range(len(owners)):
            owner = owners[(start + step) % len(owners)]
            if owner in full:
                continue
            one = candidates[owner]
            if is_unfit is None or not is_unfit(one):
                if one.in_flight < ceil(_BOUND * total * one.share / weight):
                    return owner
                if fallback < 0:
                    fallback = owner
            full.add(owner)
            if len(full) == len(candidates):
                break
        return fallback

    def _add_up(self, candidates: Sequence[Candidate]) -> None:
        self._picks = len(candidates) // _EVERY
        self._total = sum(one.in_flight for one in candidates)
        self._weight = sum(one.share for one in candidates)

    def _make(self, candidates: Sequence[Candidate]) -> None:
        """Lay out the ring; the same endpoints lie at the same places whoever else is there."""
        self._made_for = candidates
        self._add_up(candidates)
        urls = tuple(one.url for one in candidates)
        if urls == self._urls:
            return
        self._urls = urls
        each = max(1, min(_POINTS, _MOST_POINTS // len(urls)))
        # the owner in the lowest bits of its point: numbers are sorted much faster than pairs
        self._points = sorted(point & ~_OWNER | owner for owner, url in enumerate(urls) for point in _points(url, each))
        self._owners = [point & _OWNER for point in self._points]


def _first_fit(candidates: Sequence[Candidate], begin: int, is_unfit: Callable[[Any], bool]) -> int:
    count = len(candidates)
    for step in range(count):
        index = (begin + step) % count
        if not is_unfit(candidates[index]):
            return index
    return -1


def _points(url: str, count: int) -> list[int]:
    """So many points of one endpoint; a hash of 64 bytes gives eight."""
    found: list[int] = []
    for part in range(-(-count // _A_HASH)):
        digest = blake2b(f"{url}#{part}".encode("utf-8", "surrogatepass"), digest_size=_EIGHT.size).digest()
        found += _EIGHT.unpack(digest)
    return found[:count]


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def make_balancer(balance: Balance, rng: Random) -> Balancer:
    """The balancer that the settings name."""
    if balance == "least_in_flight":
        return LeastInFlight()
    if balance == "round_robin":
        return RoundRobin()
    if balance == "ring_hash":
        return RingHash()
    return PowerOfTwo(rng)
