"""The zoo: python -m benchmarks.zoo [--half tune|report] [--quick] [--only WORD …] [--baselines FILE].

Each cell is one service under one load in virtual time, lived through with the default limit and queue in front, with
nothing in front, and (above capacity) with the best fixed limit, found by search. Columns: *lost*, what was refused or
given up here and not with nothing in front; *p99* of the answered, beside nothing in front; *early*, *late*, goodput as
a share of the best fixed limit's, before and after max(2 s, 5 S); *below*, windows of max(1 s, 2 S) in which less got
done than with nothing in front. Cells that break a law are printed; a reason stands beside those in which information
forbids both.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.zoo.cells import Cell, all_cells
from benchmarks.zoo.laws import Verdict, judge
from benchmarks.zoo.report import show
from benchmarks.zoo.story import Told, live, nothing
from gateway.admission.limits.fixed import Fixed

if TYPE_CHECKING:
    from collections.abc import Sequence

SEEDS = (1, 2)
QUICK = 2500
"""Requests in one life of a cell of the quick half, at most."""


def candidates(slots: int) -> list[int]:
    """Fixed limits to try: the best one is about what the service serves at once, and somewhat above."""
    return sorted({slots, slots + 1, round(1.15 * slots) + 1, round(1.4 * slots) + 2})


def baseline(cell: Cell, seeds: Sequence[int]) -> dict[str, Any]:
    """Nothing in front, and the best fixed limit early and late."""
    without = [live(cell, seed, nothing)[0] for seed in seeds]
    found: dict[str, Any] = {"without": without, "early": None, "late": None}
    if cell.law == "good":
        tried = [[live(cell, seed, partial(Fixed, limit))[0] for seed in seeds] for limit in _sought(cell)]
        tried.append(without)
        found["early"] = max(sum(told.early for told in each) for each in tried)
        found["late"] = max(sum(told.late for told in each) for each in tried)
    return found


def _sought(cell: Cell) -> list[int]:
    slots = min(cell.slots, 1000)
    counts = candidates(slots)
    return (
        sorted({*counts, *candidates(4 * slots)})
        if "autoscaled" in cell.name
        else (
            sorted({*counts, *candidates(slots // 4)})
            if "to 8 workers" in cell.name or "slow" in cell.name or "cold" in cell.name
            else counts
        )
    )


def measure(
    name: str, seeds: Sequence[int], known: dict[str, Any] | None
) -> tuple[str, Verdict, dict[str, Any], float]:
    """One cell, its baseline known or not."""
    cell = all_cells()[name]
    begun = perf_counter()
    if known is None:
        known = baseline(cell, seeds)
    without = [Told(*told) for told in known["without"]]
    ours = [live(cell, seed)[0] for seed in seeds]
    best = None
    if cell.law == "good":
        best = [Told(0, 0, 0.0, known["early"] / len(seeds), known["late"] / len(seeds), [])] * len(seeds)
    return name, judge(cell, ours, without, best), known, perf_counter() - begun


def chosen(*, half: str | None, quick: bool, only: Sequence[str]) -> list[Cell]:
    """The cells that are asked for."""
    cells = [cell for cell in all_cells().values() if half is None or cell.half == half]
    if quick:
        cells = [cell for cell in cells if cell.requests <= QUICK][::4]
    return [cell for cell in cells if not only or any(word in cell.name for word in only)]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--half", choices=("tune", "report"), help="one half of the cells")
    parser.add_argument("--quick", action="store_true", help="small cells, one seed; under a minute")
    parser.add_argument("--only", nargs="+", metavar="WORD", default=[], help="cells whose name has one of these")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="processes at a time")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="these instead of 1 and 2")
    parser.add_argument("--baselines", type=Path, metavar="FILE", help="keep what does not depend on the limit here")
    parser.add_argument("--list", action="store_true", help="only the names")
    arguments = parser.parse_args()
    seeds = tuple(arguments.seeds or (SEEDS[:1] if arguments.quick else SEEDS))
    cells = chosen(half=arguments.half, quick=arguments.quick, only=arguments.only)
    if arguments.list:
        print("\n".join(f"{cell.half:7}{cell.requests:8.0f}  {cell.name}" for cell in cells))
        return
    path = arguments.baselines
    known: dict[str, Any] = json.loads(path.read_text()) if path is not None and path.exists() else {}
    found: dict[str, Verdict] = {}
    by_name = {cell.name: cell for cell in cells}
    ordered = sorted(cells, key=lambda cell: -cell.requests)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        tasks = [pool.submit(measure, cell.name, seeds, known.get(f"{seeds} {cell.name}")) for cell in ordered]
        for number, task in enumerate(tasks, 1):
            name, found[name], known[f"{seeds} {name}"], took = task.result()
            if sys.stderr.isatty():
                print(f"\r{number}/{len(tasks)} {took:5.1f} s {name:60}", end="", file=sys.stderr)
    if path is not None:
        path.write_text(json.dumps(known))
    print(show((by_name[cell.name], found[cell.name]) for cell in cells))
    print(f"\n{len(cells)} cells, {sum(bool(v.broken) for v in found.values())} break a law")


if __name__ == "__main__":
    main()
