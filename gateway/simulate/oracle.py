"""What the best fixed limit would have done: the bound that an adaptive one is measured against.

No limit that is told nothing can know it, so it is found by trying: every candidate lives through the
same story with the same seeds.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TIE: Final = 0.003
"""Goodput that differs by less than this share is called equal; then the smaller limit is better (latency)."""


class Best(NamedTuple):
    """The best fixed limit and its goodput per seed."""

    limit: int
    goodputs: list[float]


def best_fixed(run: Callable[[int, int], float], seeds: Sequence[int], *, low: int = 1, high: int = 200) -> Best:
    """Search the limit in [low, high] with the highest median goodput; ``run(limit, seed)`` lives a story.

    First the neighbours at steps of 1.4, then everything between the two that enclose the best one (in
    steps of at least 3 %, because nobody could tell finer ones apart).
    """
    known: dict[int, list[float]] = {}

    def score(limit: int) -> float:
        if limit not in known:
            known[limit] = [run(limit, seed) for seed in seeds]
        return median(known[limit])

    coarse = [low]
    while coarse[-1] < high:
        coarse.append(min(high, max(coarse[-1] + 1, round(coarse[-1] * 1.4))))
    top = max(coarse, key=score)
    at = coarse.index(top)
    below, above = coarse[max(0, at - 1)], coarse[min(len(coarse) - 1, at + 1)]
    for limit in range(below, above + 1, max(1, round(top * 0.03))):
        score(limit)
    best = max(score(limit) for limit in known)
    limit = min(limit for limit in known if score(limit) >= best * (1 - TIE))
    return Best(limit, known[limit])
