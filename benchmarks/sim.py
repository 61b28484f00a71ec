"""Limits beside the best fixed limit, under virtual time: python -m benchmarks.sim [--quick] [--only WORD …].

Every limit lives through the same stories with the same seeds and the same small gate. ``goodput`` is answers
within half a second (2 s for the mix) as a share of what the best fixed limit, found by search, gets
from the same seeds; ``p99`` is the latency of the served from arrival to answer, clients' waiting included;
``limit`` is the range it moved in. Figures are medians over the seeds, and the worst and the best.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.limits.aimd import Aimd
from gateway.admission.limits.fixed import Fixed
from gateway.admission.limits.gradient import Gradient
from gateway.admission.limits.vegas import Vegas
from gateway.simulate.client import Patience
from gateway.simulate.oracle import best_fixed
from gateway.simulate.scenario import Scenario
from gateway.simulate.service import Mix, Sharing, Workers, bimodal, constant, exponential, lognormal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from gateway.admission.limits.limit import Limit
    from gateway.simulate.clock import EventClock
    from gateway.simulate.service import Service, Work
    from gateway.simulate.world import Span

SEEDS = (1, 2, 3, 4, 5)
MEAN = 0.02
CAPACITY = 400.0
STEADY = {"": (5.0, 30.0)}

LIMITS: dict[str, Callable[[], Limit]] = {"adaptive": Adaptive, "aimd": Aimd, "vegas": Vegas, "gradient": Gradient}


def _work(draw: Callable[[Random, float], Work] = exponential, mean: float = MEAN) -> Callable[[Random], Work]:
    return lambda rng: draw(rng, mean)


def _workers(count: int = 8) -> Callable[[EventClock, Work], Service]:
    return lambda clock, work: Workers(clock, work, count)


def _sharing(cores: int, knee: int | None = None) -> Callable[[EventClock, Work], Service]:
    return lambda clock, work: Sharing(clock, work, cores, knee=knee)


def _steady(
    rate: float,
    service: Callable[[EventClock, Work], Service] | None = None,
    *,
    work: Callable[[Random], Work] | None = None,
    spans: dict[str, tuple[float, float]] | None = None,
    patience: Patience | None = None,
    useful: float = 0.5,
) -> Scenario:
    return Scenario(
        work or _work(),
        service or _workers(),
        ((0.0, rate),),
        spans or STEADY,
        patience=patience or Patience(give_up=1.0),
        useful=useful,
    )


def _constant(rng: Random) -> Work:
    del rng
    return constant(MEAN)


def _mix(rng: Random) -> Work:
    return Mix(rng, {"fast": (0.9, exponential(rng, 0.005)), "slow": (0.1, exponential(rng, 0.5))})


def _changing(change: str, *values: float) -> Scenario:
    def to(value: float, service: Service) -> None:
        getattr(service, change)(value)

    return Scenario(
        _work(),
        _workers(),
        ((0.0, 3 * CAPACITY),),
        {"at 400": (5.0, 15.0), "to 150, 5 s": (15.0, 20.0), "to 600, 10 s": (25.0, 35.0), "at 600": (35.0, 45.0)},
        changes=((15.0, partial(to, values[0])), (25.0, partial(to, values[1]))),
    )


SCENARIOS: dict[str, Scenario] = {
    **{f"{times:g}x": _steady(times * CAPACITY) for times in (1.5, 2, 5, 10)},
    "half load": _steady(CAPACITY / 2, spans={"first second": (0.0, 1.0), "": (1.0, 15.0)}),
    "surge": Scenario(
        _work(),
        _workers(),
        ((0.0, CAPACITY / 2), (4.0, 5 * CAPACITY), (16.0, CAPACITY / 2)),
        {"before": (0.0, 4.0), "5x": (4.0, 16.0), "after": (17.0, 24.0)},
    ),
    "workers change": _changing("resize", 3, 12),
    "speed changes": _changing("hurry", 0.375, 1.5),
    "constant": _steady(3 * CAPACITY, work=_constant),
    "lognormal": _steady(3 * CAPACITY, work=_work(lognormal)),
    "bimodal": _steady(3 * CAPACITY, work=_work(bimodal)),
    "mix": _steady(3 * 8 / 0.0545, work=_mix, spans={"": (10.0, 60.0)}, patience=Patience(give_up=4.0), useful=2.0),
    "1 worker": _steady(5 * 10.0, _workers(1), work=_work(mean=0.1), spans={"": (10.0, 60.0)}),
    "2 workers": _steady(3 * 100.0, _workers(2)),
    "64 workers": _steady(3 * 3200.0, _workers(64), spans={"": (3.0, 12.0)}),
    "sharing": _steady(3 * CAPACITY, _sharing(8)),
    "sharing constant": _steady(3 * CAPACITY, _sharing(8), work=_constant),
    "thrash": _steady(3 * 800.0, _sharing(16, knee=16)),
    "retries": _steady(3 * CAPACITY, patience=Patience(give_up=1.0, retries=3)),
}


class Figure(NamedTuple):
    """One span of one scenario with one limit: goodput ÷ the best fixed limit's and the books, by seed."""

    scenario: str
    span: str
    limit: str
    ratios: list[float]
    spans: list[Span]


def live(scenario: str, limit: Limit, seed: int) -> dict[str, Span]:
    """One story with one limit."""
    story = SCENARIOS[scenario]
    world = story.tell(limit, seed)
    return {label: world.span(*span) for label, span in story.spans.items()}


def measure(scenario: str, kinds: Sequence[str], seeds: Sequence[int]) -> list[Figure]:
    """The best fixed limit of each span, and every kind of limit beside it."""
    told: dict[tuple[int, int], dict[str, Span]] = {}

    def fixed(limit: int, seed: int) -> dict[str, Span]:
        if (limit, seed) not in told:
            told[limit, seed] = live(scenario, Fixed(limit), seed)
        return told[limit, seed]

    def goodput(label: str) -> Callable[[int, int], float]:
        return lambda limit, seed: fixed(limit, seed)[label].goodput

    low, high = (40, 150) if scenario == "64 workers" else (1, 40)
    stories = {kind: [live(scenario, LIMITS[kind](), seed) for seed in seeds] for kind in kinds}
    figures = []
    for label in SCENARIOS[scenario].spans:
        best = best_fixed(goodput(label), seeds, low=low, high=high)
        spans = [fixed(best.limit, seed)[label] for seed in seeds]
        figures.append(Figure(scenario, label, f"fixed {best.limit}", [1.0] * len(seeds), spans))
        for kind in kinds:
            spans = [story[label] for story in stories[kind]]
            ratios = [span.goodput / most for span, most in zip(spans, best.goodputs, strict=True)]
            figures.append(Figure(scenario, label, kind, ratios, spans))
    return figures


def _range(values: Sequence[float], form: str) -> str:
    return f"{format(median(values), form)} ({format(min(values), form)}–{format(max(values), form)})"


def print_figures(figures: Sequence[Figure]) -> None:
    """Print one table."""
    table = Table(title="limits beside the best fixed one: median over seeds (worst–best)")
    table.add_column("scenario")
    table.add_column("limit")
    for name in ("goodput, % of best", "goodput, /s", "p99, ms", "limit", "shed, %"):
        table.add_column(name, justify="right")
    before = ""
    for figure in figures:
        name = f"{figure.scenario} {figure.span}".strip()
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
        )
        before = name
    Console(width=150).print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two seeds instead of five, and adaptive alone")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="scenarios whose name has one of these words")
    arguments = parser.parse_args()
    names = [name for name in SCENARIOS if not arguments.only or any(word in name for word in arguments.only)]
    seeds, kinds = (SEEDS[:2], ["adaptive"]) if arguments.quick else (SEEDS, list(LIMITS))
    figures: list[Figure] = []
    with ProcessPoolExecutor() as pool:
        for found in pool.map(partial(measure, kinds=kinds, seeds=seeds), names):
            figures.extend(found)
    print_figures(figures)


if __name__ == "__main__":
    main()
