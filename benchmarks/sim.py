"""The gate in virtual time: python -m benchmarks.sim [--quick] [--only WORD …] [--seeds N …] [--json FILE].

The first table has the limits beside the best fixed one. Every limit lives through the same stories with the same
seeds, in the gate and queue of the gateway. ``goodput`` is answers within half a second (2 s for the mix) as a
share of what the best fixed limit, found by search, gets from the same seeds; ``p99`` is the latency of the served
from arrival to answer, the wait in the queue included; ``limit`` is the range it moved in.

The second table has groups of callers under the default limit: what they lost, and what they got of what is
fair: strict bands, and in a band max-min shares of all that was served. Figures are medians over the
seeds, and the worst and the best; targets are compared with medians.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from math import isnan
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.sim_scenarios import GROUP_STORIES, STORIES
from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.limits.aimd import Aimd
from gateway.admission.limits.fixed import Fixed
from gateway.admission.limits.gradient import Gradient
from gateway.admission.limits.vegas import Vegas
from gateway.simulate.oracle import best_fixed, max_min

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.sim_scenarios import GroupTarget, Target
    from gateway.admission.limits.limit import Limit
    from gateway.simulate.book import Span
    from gateway.simulate.crowd import Caller

SEEDS = (1, 2, 3, 4, 5)
# The best fixed limit is sought with fewer: its neighbours differ by less than what more of them could tell.
SOUGHT_WITH = 3
OURS = "adaptive"
LIMITS: dict[str, Callable[[], Limit]] = {OURS: Adaptive, "aimd": Aimd, "vegas": Vegas, "gradient": Gradient}


class Verdict(NamedTuple):
    """One target: what was wanted, and whether it was met."""

    wanted: str
    is_met: bool


class Figure(NamedTuple):
    """One span of one scenario with one limit: goodput ÷ the best fixed limit's and the books, by seed."""

    scenario: str
    span: str
    limit: str
    ratios: list[float]
    spans: list[Span]
    verdicts: list[Verdict]


class GroupFigure(NamedTuple):
    """One group of callers in one scenario: shares of what it asked for, and of what is fair, by seed."""

    scenario: str
    group: str
    lost: list[float]
    fair: list[float]
    spans: list[Span]
    verdicts: list[Verdict]


def measure(scenario: str, kinds: Sequence[str], seeds: Sequence[int]) -> list[Figure]:
    """The best fixed limit of each span, and every kind of limit beside it."""
    story = STORIES[scenario]
    told: dict[tuple[int, int], dict[str, Span]] = {}

    def live(limit: Limit, seed: int) -> dict[str, Span]:
        book = story.scenario.tell(limit, seed).book
        return {label: book.span(*span) for label, span in story.scenario.spans.items()}

    def fixed(limit: int, seed: int) -> dict[str, Span]:
        if (limit, seed) not in told:
            told[limit, seed] = live(Fixed(limit), seed)
        return told[limit, seed]

    def goodput(label: str) -> Callable[[int, int], float]:
        return lambda limit, seed: fixed(limit, seed)[label].goodput

    chosen = [kind for kind in kinds if kind == OURS or story.has_peers]
    stories = {kind: [live(LIMITS[kind](), seed) for seed in seeds] for kind in chosen}
    figures = []
    for label in story.scenario.spans:
        low, high = story.limits
        best = best_fixed(goodput(label), seeds[:SOUGHT_WITH], low=low, high=high).limit
        bests = [fixed(best, seed)[label] for seed in seeds]
        figures.append(Figure(scenario, label, f"fixed {best}", [1.0] * len(seeds), bests, []))
        for kind in chosen:
            spans = [story[label] for story in stories[kind]]
            ratios = [span.goodput / most.goodput for span, most in zip(spans, bests, strict=True)]
            verdicts = judge(story.targets.get(label), ratios, spans) if kind == OURS else []
            figures.append(Figure(scenario, label, kind, ratios, spans, verdicts))
    return figures


def judge(target: Target | None, ratios: Sequence[float], spans: Sequence[Span]) -> list[Verdict]:
    """What was wanted in a span, and whether the medians meet it."""
    verdicts = []
    if target is None:
        return []
    if target.goodput is not None:
        verdicts.append(Verdict(f"goodput ≥ {100 * target.goodput:g} %", median(ratios) >= target.goodput))
    if target.p99 is not None:
        is_met = median(span.p99 for span in spans) <= target.p99
        verdicts.append(Verdict(f"p99 ≤ {1000 * target.p99:g} ms", is_met))
    if target.shed is not None:
        # a bound of none must hold for every seed
        is_met = max(span.shed / span.arrived for span in spans) <= target.shed
        verdicts.append(Verdict(f"shed ≤ {100 * target.shed:g} %", is_met))
    return verdicts


def measure_groups(scenario: str, seeds: Sequence[int]) -> list[GroupFigure]:
    """What each group of callers got."""
    story = GROUP_STORIES[scenario]
    [(begin, end)] = story.scenario.spans.values()
    books = [story.scenario.tell(Adaptive(), seed).book for seed in seeds]
    figures = []
    for group, is_member in story.groups.items():
        spans = [book.span(begin, end, is_member) for book in books]
        lost = [span.lost / span.arrived for span in spans]
        fair = []
        for book in books:
            served = book.served(begin, end)
            due = fair_shares(book.asked(begin, end), sum(served.values()))
            got = sum(count for caller, count in served.items() if is_member(caller))
            fair.append(got / (sum(share for caller, share in due.items() if is_member(caller)) or 1.0))
        figures.append(
            GroupFigure(scenario, group, lost, fair, spans, judge_group(story.targets.get(group), lost, fair))
        )
    return figures


def fair_shares(asked: dict[Caller, int], served: float) -> dict[Caller, float]:
    """What each caller would get of all that was served: by strict bands, and in a band max-min fair."""
    due: dict[Caller, float] = {}
    for band in sorted({caller.traffic_class.band for caller in asked}):
        callers = [caller for caller in asked if caller.traffic_class.band == band]
        shares = max_min([asked[caller] for caller in callers], served)
        due.update(zip(callers, shares, strict=True))
        served -= sum(shares)
    return due


def judge_group(target: GroupTarget | None, lost: Sequence[float], fair: Sequence[float]) -> list[Verdict]:
    """What a group was to get, and whether the medians meet it."""
    verdicts = []
    if target is None:
        return []
    if target.lost is not None:
        verdicts.append(Verdict(f"lost < {100 * target.lost:g} %", median(lost) < target.lost))
    if target.fair is not None:
        verdicts.append(Verdict(f"fair share ≥ {100 * target.fair:g} %", median(fair) >= target.fair))
    return verdicts


def _range(values: Sequence[float], form: str) -> str:
    return f"{format(median(values), form)} ({format(min(values), form)}–{format(max(values), form)})"


def _cells(verdicts: Sequence[Verdict]) -> tuple[str, str]:
    wanted = "\n".join(verdict.wanted for verdict in verdicts)
    return wanted, "\n".join("yes" if verdict.is_met else "NO" for verdict in verdicts)


def print_figures(figures: Sequence[Figure], console: Console) -> None:
    """Print the limits beside the best fixed one."""
    table = Table(title="limits beside the best fixed one: median over seeds (worst–best)")
    for name in ("scenario", "limit"):
        table.add_column(name)
    for name in ("goodput, % of best", "goodput, /s", "p99, ms", "limit", "shed, %"):
        table.add_column(name, justify="right")
    for name in ("target", "met?"):
        table.add_column(name)
    before = ""
    for figure in figures:
        name = f"{figure.scenario}, {figure.span}".strip(", ")
        if name != before:
            table.add_section()
        spans = figure.spans
        table.add_row(
            "" if name == before else name,
            figure.limit,
            _range([100 * ratio for ratio in figure.ratios], ".1f"),
            f"{median(span.goodput for span in spans):.0f}",
            _range([1000 * span.p99 for span in spans], ".0f"),
            f"{min(span.limit_low for span in spans)}–{max(span.limit_high for span in spans)},"
            f" mostly {median(span.limit_middle for span in spans):g}",
            f"{median(100 * span.shed / span.arrived for span in spans):.1f}",
            *_cells(figure.verdicts),
        )
        before = name
    console.print(table)


def print_groups(figures: Sequence[GroupFigure], console: Console) -> None:
    """Print who got what."""
    table = Table(title="groups of callers, adaptive limit: median over seeds (worst–best)")
    for name in ("scenario", "group"):
        table.add_column(name)
    for name in ("asked, /s", "goodput, /s", "p99, ms", "lost, %", "% of the fair share"):
        table.add_column(name, justify="right")
    for name in ("target", "met?"):
        table.add_column(name)
    before = ""
    for figure in figures:
        if figure.scenario != before:
            table.add_section()
        table.add_row(
            "" if figure.scenario == before else figure.scenario,
            figure.group,
            f"{median(span.arrived for span in figure.spans):.1f}",
            f"{median(span.goodput for span in figure.spans):.1f}",
            _range([1000 * span.p99 for span in figure.spans], ".0f"),
            _range([100 * lost for lost in figure.lost], ".2f"),
            _range([100 * fair for fair in figure.fair], ".1f"),
            *_cells(figure.verdicts),
        )
        before = figure.scenario
    console.print(table)


def write(path: Path, seeds: Sequence[int], figures: Sequence[Figure], groups: Sequence[GroupFigure]) -> None:
    """Write everything that was measured, by seed."""
    data = {
        "seeds": list(seeds),
        "limits": [_to_data(figure) for figure in figures],
        "groups": [_to_data(figure) for figure in groups],
    }
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _to_data(figure: Figure | GroupFigure) -> dict[str, object]:
    data = figure._asdict()
    # JSON has no word for a latency that nobody had
    data["spans"] = [
        {key: None if isnan(value) else value for key, value in span._asdict().items()} for span in figure.spans
    ]
    data["verdicts"] = [verdict._asdict() for verdict in figure.verdicts]
    return data


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two seeds instead of five, and adaptive alone")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="scenarios whose name has one of these words")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="these instead of 1 to 5")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N", help="processes at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures, by seed")
    arguments = parser.parse_args()

    def is_asked(name: str) -> bool:
        return not arguments.only or any(word in name for word in arguments.only)

    seeds, kinds = (SEEDS[:2], [OURS]) if arguments.quick else (arguments.seeds or SEEDS, list(LIMITS))
    names = [name for name in STORIES if is_asked(name)]
    group_names = [name for name in GROUP_STORIES if is_asked(name)]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        found = pool.map(partial(measure, kinds=kinds, seeds=seeds), names)
        found_groups = pool.map(partial(measure_groups, seeds=seeds), group_names)
        figures = [figure for each in found for figure in each]
        groups = [figure for each in found_groups for figure in each]
    console = Console(width=175)
    if figures:
        print_figures(figures, console)
    if groups:
        print_groups(groups, console)
    if arguments.json:
        write(arguments.json, seeds, figures, groups)


if __name__ == "__main__":
    main()
