"""The two laws: do no harm below capacity, do good above."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.zoo.cells import Cell
    from benchmarks.zoo.story import Told

LOST: Final = 0.001
"""Wrongly lost, as a share of all, that counts as nothing."""
SLOWER: Final = 1.1
SLOWER_BY: Final = 0.002
EARLY: Final = 0.85
LATE: Final = 0.97


class Verdict(NamedTuple):
    """How a cell went; shares of 1. ``broken`` are the laws that it broke."""

    lost: float
    p99: float
    p99_without: float
    early: float
    late: float
    below: int
    broken: tuple[str, ...]


def judge(cell: Cell, ours: Sequence[Told], without: Sequence[Told], best: Sequence[Told] | None) -> Verdict:
    """Compare seed by seed; ``best`` is the best fixed limit's, where the second law holds."""
    arrived = sum(told.arrived for told in ours)
    lost = sum(max(0, one.lost - other.lost) for one, other in zip(ours, without, strict=True)) / max(arrived, 1)
    p99 = sum(told.p99 for told in ours) / len(ours)
    p99_without = sum(told.p99 for told in without) / len(without)
    below = sum(_below(one.windows, other.windows) for one, other in zip(ours, without, strict=True))
    early = late = 1.0
    broken = []
    if cell.law == "harm":
        if lost > LOST:
            broken.append("lost")
        if p99 > max(SLOWER * p99_without, p99_without + SLOWER_BY):
            broken.append("p99")
    elif best is not None:
        early = _ratio([told.early for told in ours], [told.early for told in best])
        late = _ratio([told.late for told in ours], [told.late for told in best])
        if early < EARLY:
            broken.append("early")
        if late < LATE:
            broken.append("late")
    if below:
        broken.append("below")
    return Verdict(lost, p99, p99_without, early, late, below, tuple(broken))


def _below(ours: Sequence[int], without: Sequence[int]) -> int:
    """Windows in which less got done than with nothing in front, and more than chance explains."""
    return sum(one < 0.9 * other - 3 * sqrt(other) for one, other in zip(ours, without, strict=True))


def _ratio(ours: Sequence[float], best: Sequence[float]) -> float:
    return sum(ours) / sum(best) if sum(best) else 1.0
