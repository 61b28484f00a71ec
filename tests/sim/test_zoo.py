"""A small part of the zoo: no harm below capacity, good above it. python -m benchmarks.zoo has all of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from benchmarks.zoo.cells import all_cells
from benchmarks.zoo.laws import judge
from benchmarks.zoo.story import live, nothing
from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.limits.fixed import Fixed

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from gateway.simulate.service import Work

CELLS = all_cells()
SEEDS = (1, 2)
HARMLESS = (
    "unbounded, 20 ms exponential, 100 in use",
    "unbounded, 300 ms heavy, 100 in use",
    "unbounded, 300 ms exponential, 500 in use",
    "unbounded, 3 s exponential, 100 in use",
    "unbounded, 3 s constant, 100 clients",
    "unbounded, 10 s exponential, 100 clients",
    "8 workers, 300 ms exponential, 0.9x",
    "64 workers, 300 ms exponential, 0.5x",
    "64 workers, 300 ms exponential, 0.9x",
    "500 workers, 10 s exponential, 0.5x",
    "64 workers, 20 ms exponential, 10 clients",
    "half event streams, unbounded, 300 ms",
    "half event streams, 8 workers, 300 ms, 0.9x",
    "step x10, unbounded, 300 ms",
    "restart, unbounded, 300 ms",
    "bursts of 90 from idle, unbounded, 300 ms",
)
GOOD = {
    "8 workers, 20 ms exponential, 1.5x": (8, 0.85, 0.87),
    "8 workers, 20 ms exponential, 5x": (8, 0.8, 0.9),
    "8 workers, 300 ms exponential, 1.5x": (8, 0.9, 0.8),
    "64 workers, 300 ms exponential, 1.5x": (64, 0.85, 0.9),
    "restart under 5x, 8 workers, 20 ms": (8, 0.8, 0.9),
    "32 to 8 workers, 2x, 20 ms": (32, 0.85, 0.85),
}
"""The best fixed limit is near the number of workers; goodput as a share of its, before and after the limit must have
found itself: below what these cells reach (0.93 and more later), above what a limit that does not close reaches."""


@pytest.mark.parametrize("name", HARMLESS)
def test_nothing_is_lost_that_would_have_been_answered(name: str) -> None:
    """With the default limit in front or nothing at all: as many answers, and the slowest of them no later."""
    cell = CELLS[name]
    ours = [live(cell, seed)[0] for seed in SEEDS]
    verdict = judge(cell, ours, [live(cell, seed, nothing)[0] for seed in SEEDS], None)
    assert verdict.lost <= 0.001
    assert verdict.p99 <= max(1.15 * verdict.p99_without, verdict.p99_without + 0.002)


@pytest.mark.parametrize("name", GOOD)
def test_overload_is_found(name: str) -> None:
    """Most of what a fixed limit at the number of workers gets done, soon; and never less than nothing in front does."""
    cell = CELLS[name]
    slots, early, late = GOOD[name]
    best = [live(cell, seed, partial(Fixed, slots + 1))[0] for seed in SEEDS]
    without = [live(cell, seed, nothing)[0] for seed in SEEDS]
    verdict = judge(cell, [live(cell, seed)[0] for seed in SEEDS], without, best)
    assert verdict.early >= early
    assert verdict.late >= late
    assert verdict.below == 0


@pytest.mark.parametrize("name", ["8 workers, 20 ms exponential, 5x", "8 workers, 300 ms exponential, 5x"])
@pytest.mark.parametrize("kinds", [4, 16])
def test_overload_is_found_among_many_pages(name: str, kinds: int) -> None:
    """Each of them has a part of the requests, too few to show anything alone; together they show the line."""
    cell = replace(CELLS[name], work=partial(_in_turns, CELLS[name].work, kinds))
    best = [live(cell, seed, partial(Fixed, 9))[0] for seed in SEEDS]
    verdict = judge(
        cell, [live(cell, seed)[0] for seed in SEEDS], [live(cell, seed, nothing)[0] for seed in SEEDS], best
    )
    assert verdict.early >= 0.8
    assert verdict.late >= 0.85
    assert verdict.below == 0


class _Pages:
    """The same work under one of several names, drawn at random."""

    def __init__(self, work: Work, rng: Random, kinds: int) -> None:
        self._work = work
        self._rng = rng
        self._kinds = kinds

    def kind(self) -> str:
        return f"page {self._rng.randrange(self._kinds)}"

    def draw(self, kind: str) -> float:
        del kind
        return self._work.draw(self._work.kind())


def _in_turns(work: Callable[[Random], Work], kinds: int, rng: Random) -> Work:
    return _Pages(work(rng), rng, kinds)


def test_without_the_cut_overload_would_not_be_good() -> None:
    """The same laws see a limit that never closes."""
    cell = CELLS["8 workers, 20 ms exponential, 5x"]
    best = [live(cell, seed, partial(Fixed, 9))[0] for seed in SEEDS]
    open_for_good = [live(cell, seed, partial(Fixed, 1000))[0] for seed in SEEDS]
    assert judge(cell, open_for_good, open_for_good, best).broken == ("early", "late")


def test_without_growth_low_load_would_be_harmed() -> None:
    """The same laws see a limit that stands still."""
    cell = CELLS["unbounded, 300 ms exponential, 500 in use"]
    without = [live(cell, seed, nothing)[0] for seed in SEEDS]
    assert "lost" in judge(cell, [live(cell, seed, partial(Fixed, 100))[0] for seed in SEEDS], without, None).broken


def test_half_of_the_cells_are_kept_for_the_report() -> None:
    """By a hash of their names, so that a cell that is added moves no other."""
    halves = [cell.half for cell in CELLS.values()]
    assert 0.4 < halves.count("tune") / len(halves) < 0.6
    assert CELLS["8 workers, 20 ms exponential, 5x"].half == CELLS["8 workers, 20 ms exponential, 5x"].half


def test_the_same_seed_tells_the_same_story() -> None:
    """With the default limit."""
    cell = CELLS["8 workers, 20 ms exponential, 1.5x"]
    assert live(cell, 3, Adaptive)[0] == live(cell, 3, Adaptive)[0]
