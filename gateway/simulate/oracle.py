"""What could have been: the best fixed limit, and fair shares. The bounds that policies are measured against.

No limit that is told nothing can know the best one, so it is found by trying: every candidate lives through
the same story with the same seeds.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIE: Final = 0.003
"""Goodput that differs by less than this share is called equal; then the smaller limit is better (latency)."""
# Limits nearer to each other than this share cannot be told apart in the stories that are told here.
_STEP: Final = 0.03


class Best(NamedTuple):
    """The best fixed limit and its goodput per seed."""

    limit: int
    goodputs: list[float]


def best_fixed(run: Callable[[int, int], float], seeds: Sequence[int], *, low: int = 1, high: int = 200) -> Best:
    """Search the limit in [low, high] with the highest median goodput; ``run(limit, seed)`` lives a story.

    Goodput has one peak or plateau: it grows up to the knee, stays, and falls when answers come too late. So each
    comparison of two limits leaves two thirds of the range (ties leave the lower ones), until three are left; then
    the least limit that is as good as the best one seen is found by bisection.
    """
    limits = [low]
    while limits[-1] < high:
        limits.append(min(high, max(limits[-1] + 1, round(limits[-1] * (1 + _STEP)))))
    known: dict[int, list[float]] = {}

    def score(place: int) -> float:
        limit = limits[place]
        if limit not in known:
            known[limit] = [run(limit, seed) for seed in seeds]
        return median(known[limit])

    left, right = 0, len(limits) - 1
    while right - left > 2:  # noqa: PLR2004 - three are left
        third = (right - left + 1) // 3
        one, other = left + third, right - third
        if score(other) > score(one) * (1 + TIE):
            left = one
        else:
            right = other
    for place in range(left, right + 1):
        score(place)
    enough = max(median(goodputs) for goodputs in known.values()) * (1 - TIE)
    top = min(place for place, limit in enumerate(limits) if limit in known and score(place) >= enough)
    below = -1
    while top - below > 1:
        middle = (below + top) // 2
        if score(middle) >= enough:
            top = middle
        else:
            below = middle
    return Best(limits[top], known[limits[top]])


def max_min(demands: Sequence[float], capacity: float) -> list[float]:
    """The max-min fair division of a capacity: nobody gets more while somebody who wants it has less.

    By filling: the least demand first, each gets what it asks for or an equal part of what is left.
    """
    shares = [0.0] * len(demands)
    order = sorted(range(len(demands)), key=demands.__getitem__)
    for place, index in enumerate(order):
        shares[index] = min(demands[index], capacity / (len(order) - place))
        capacity -= shares[index]
    return shares
