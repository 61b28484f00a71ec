"""Who serves the next attempt? Four answers; each takes the endpoints that may be asked and gives one of them.

``p2c`` (default): of two drawn at random the one with the lower cost, which is
(in flight + 1) × slowness × penalty ÷ weight (Mitzenmacher 2001; the cost after Finagle's Peak EWMA). An endpoint
that fails fast has a high penalty, so that being free all the time does not make it attractive. One that starts
slowly wins only as often as the part of its weight that is in force.

``least_in_flight``: the least (in flight + 1) ÷ weight of all; among equals, in turn.

``round_robin``: in turn, smoothly by weight: who was chosen pays the sum of all weights and earns its own
each time.

``ring_hash``: the same key goes to the same endpoint while that has less than 1.25 times its part of what is in
flight, else to the next one on the ring (consistent hashing with bounded loads, Mirrokni et al. 2016).
"""

from __future__ import annotations

from bisect import bisect_left
from hashlib import blake2b
from math import ceil
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from gateway.upstream.settings import Balance

_BOUND: Final = 1.25
_POINTS: Final = 64
"""Points on the ring for an endpoint of weight 1: parts differ by about 1 / √64 = 12 %."""
_MOST_POINTS: Final = 4096


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

    def pick(self, candidates: Sequence[Candidate], key: str) -> int:
        """The index of the endpoint for the next attempt; ``key`` says whose request it is."""


class PowerOfTwo:
    """The better of two drawn at random."""

    __slots__ = ("_random",)

    def __init__(self, rng: Random) -> None:
        self._random = rng.random

    def pick(self, candidates: Sequence[Candidate], key: str) -> int:
        """The index of the one with the lower cost."""
        del key
        count = len(candidates)
        first = int(self._random() * count)
        second = int(self._random() * (count - 1))
        if second >= first:
            second += 1
        one, other = candidates[first], candidates[second]
        if (other.in_flight + 1) * other.cost < (one.in_flight + 1) * one.cost:
            first, second, one = second, first, other
        return first if one.part >= 1.0 or self._random() < one.part else second


class LeastInFlight:
    """The least in flight for its weight."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0

    def pick(self, candidates: Sequence[Candidate], key: str) -> int:
        """The index of the least loaded one; equals take turns."""
        del key
        count = len(candidates)
        begin = self._next = (self._next + 1) % count
        best = begin
        least = float("inf")
        for step in range(count):
            index = (begin + step) % count
            one = candidates[index]
            load = (one.in_flight + 1) / one.share
            if load < least:
                least = load
                best = index
        return best


class RoundRobin:
    """In turn, by weight."""

    __slots__ = ("_credit",)

    def __init__(self) -> None:
        self._credit: dict[str, float] = {}

    def pick(self, candidates: Sequence[Candidate], key: str) -> int:
        """The index of the one with the most credit."""
        del key
        before = self._credit
        credit = {one.url: before.get(one.url, 0.0) + one.share for one in candidates}
        best = max(range(len(candidates)), key=lambda index: credit[candidates[index].url])
        credit[candidates[best].url] -= sum(one.share for one in candidates)
        self._credit = credit
        return best


class RingHash:
    """The same endpoint for the same key, within its bound."""

    __slots__ = ("_made_for", "_owners", "_points")

    def __init__(self) -> None:
        self._made_for: tuple[str, ...] = ()
        self._points: list[int] = []
        self._owners: list[int] = []

    def pick(self, candidates: Sequence[Candidate], key: str) -> int:
        """The index of the key's endpoint, or of the next one that has room."""
        urls = tuple(one.url for one in candidates)
        if urls != self._made_for:
            self._make(urls)
        total = sum(one.in_flight for one in candidates) + 1
        weight = sum(one.share for one in candidates)
        owners = self._owners
        start = bisect_left(self._points, _hash(key))
        full: set[int] = set()
        for step in range(len(owners)):
            owner = owners[(start + step) % len(owners)]
            if owner in full:
                continue
            one = candidates[owner]
            if one.in_flight < ceil(_BOUND * total * one.share / weight):
                return owner
            full.add(owner)
        return owners[start % len(owners)]

    def _make(self, urls: tuple[str, ...]) -> None:
        """Lay out the ring; the same endpoints lie at the same places whoever else is there."""
        each = max(1, min(_POINTS, _MOST_POINTS // len(urls)))
        ring = sorted((_hash(f"{url}#{point}"), owner) for owner, url in enumerate(urls) for point in range(each))
        self._points = [point for point, _ in ring]
        self._owners = [owner for _, owner in ring]
        self._made_for = urls


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
