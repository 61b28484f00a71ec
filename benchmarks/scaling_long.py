"""Scaling decisions where services take seconds: python -m benchmarks.scaling_long [--quick] [--traces DIR].

Requests are simulated one by one (gateway.simulate.scaling.requests). ``cost`` is replica time paid for, as a multiple
of what the oracle pays: a plan by who knows every request ahead, carried out in the same pool, with its starts and its
drains, in which nobody waits too long. A wait is a violation from half a service time on, and after two of them the
request is shed. Language-model traces are taken as they are, request by request, with as many slots for each replica as
make some tens of replicas; made-up slices are scaled so that their highest minute needs 8 or 20 replicas of 8 slots. A
lead-in of a quarter of an hour is not measured. Where ours misses 2 % at 1.5, the last column says what a policy has
that sees in each second how many replicas this very second needs, orders just that and keeps it for the time that is
best in hindsight: nobody can ask for more who does not know what comes.

What was chosen, was chosen on both traces and on made-up slices but crowd, with seeds 1, 3 and 4. What is reported
are other seeds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from gateway.simulate.scaling.measures import measure
from gateway.simulate.scaling.oracle import least_replicas
from gateway.simulate.scaling.profiles import PROFILES
from gateway.simulate.scaling.reader import read_trace
from gateway.simulate.scaling.requests import Requests
from gateway.simulate.scaling.story import Story
from gateway.simulate.scaling.traces import Trace
from gateway.simulate.scaling.work import Work
from gateway.simulate.scaling.world import Site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.simulate.scaling.world import World

SEEDS: Final = (11, 12, 13)
CASES: Final = ((1, 30), (2, 30), (6, 30), (20, 60), (60, 60), (60, 300))
"""Service time and cold start, in seconds."""
POLICIES: Final = ("oracle", "ours", "hpa", "hpa+signal", "kpa")
VIOLATIONS: Final = 2.0
COST: Final = 1.5
LEAD_IN: Final = 900
_MADE_UP: Final = {
    "steps": ("steps", 0, 5400),
    "surge": ("surge", 0, 3600),
    "ramp": ("ramp", 0, 5400),
    "evening": ("match_day", 17 * 3600, 19 * 3600),
    "noisy": ("noisy_diurnal", 8 * 3600, 10 * 3600),
    "crowd": ("flash_crowd", 6 * 3600, 7 * 3600),
}
_TRACES: Final = ("azure_llm_2023", "mooncake")
SLICES: Final = (*_TRACES, *_MADE_UP)
_SLOTS: Final = {1: 1, 2: 1, 6: 1, 20: 4, 60: 8}
"""Of a replica in a trace, by the service time."""
_HOLDS: Final = (0, 60, 120, 300, 600, 100_000)
_EXTRA: Final = (0.0, 0.2, 0.5)


class Task(NamedTuple):
    """One slice with one service time, one cold start and one seed."""

    slice_name: str
    service: int
    cold_start: int
    seed: int
    traces: Path | None


class Figures(Struct):
    """Violations in per cent and cost as a multiple of the oracle's, by policy, and those of who sees the present."""

    found: dict[str, tuple[float, float]]
    present: tuple[float, float] | None = None


class Present:
    """Sees what this second needs, orders so many and a share more, and keeps them for some seconds."""

    period = 1.0

    def __init__(self, needs: Sequence[int], hold: int, extra: float) -> None:
        self._needs = needs
        self._hold = hold
        self._extra = extra

    def desired(self, world: World) -> int:
        """The most that was needed within the hold."""
        most = max(self._needs[max(world.now - self._hold, 0) : world.now + 1])
        return round(most * (1 + self._extra) + 0.499)


def site_of(task: Task) -> Site:
    """Services as variable as those of language models; who waits for half of one has waited too long."""
    service = float(task.service)
    return Site(
        slots=_SLOTS[task.service] if task.slice_name in _TRACES else 8,
        work=Work("long", service, 2.5),
        cold_start=float(task.cold_start),
        wait=service / 2,
        max_wait=2 * service,
    )


def trace_of(task: Task) -> Trace:
    """The requests of a trace as they came, or a made-up slice whose highest minute needs 8 or 20 replicas."""
    if task.slice_name in _TRACES:
        assert task.traces is not None
        if task.slice_name == "mooncake":
            return _mooncake(task.traces / "mooncake/conversation_trace.jsonl.gz")
        return read_trace(task.traces / "azure_llm_2023/AzureLLMInferenceTrace_code.csv")
    profile, begin, end = _MADE_UP[task.slice_name]
    part = PROFILES[profile](task.seed).cut(begin, end)
    return part.scaled((8 if task.service < 6 else 20) * site_of(task).rate)


def _mooncake(path: Path) -> Trace:
    counts: dict[int, int] = {}
    with gzip.open(path, "rt") as lines:
        for line in lines:
            second = int(json.loads(line)["timestamp"] // 1000)
            counts[second] = counts.get(second, 0) + 1
    return Trace("mooncake", 1.0, [float(counts.get(second, 0)) for second in range(max(counts) + 1)], is_exact=True)


def live(task: Task) -> tuple[Task, Figures]:
    """Live through one slice under every policy."""
    story = Story(trace_of(task).led_in(LEAD_IN), site_of(task), task.seed, None, since=LEAD_IN)
    figures = Figures({})
    for name in POLICIES:
        ending = story.tell(name).measures
        figures.found[name] = ending.violations, ending.cost
    if not is_met(*figures.found["ours"]):
        figures.present = best_of_present(story)
    return task, figures


def is_met(violations: float, cost: float) -> bool:
    """Whether both bounds are kept."""
    return violations <= VIOLATIONS and cost <= COST


def best_of_present(story: Story) -> tuple[float, float]:
    """The cheapest with few enough violations; where there is none, the fewest violations at the bound of the cost."""
    assert isinstance(story.load, Requests)
    needs = least_replicas(story.load, story.site, 0.0, most=story.site.most)
    found = []
    for hold in _HOLDS:
        for extra in _EXTRA:
            world = story.world()
            world.live(Present(needs, hold, extra))
            ending = measure(world, story.best, story.bill, story.since)
            found.append((ending.violations, ending.cost))
    good = [each for each in found if each[0] <= VIOLATIONS]
    if good and min(cost for _, cost in good) <= COST:
        return min(good, key=lambda each: each[1])
    return min((each for each in found if each[1] <= COST), default=min(found))


def main() -> None:
    """Live through the slices and print."""
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling_long", description=summary, epilog=rest)
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--only", nargs="+", default=list(SLICES), choices=SLICES, metavar="SLICE")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), metavar="N")
    parser.add_argument(
        "--traces",
        type=Path,
        default=os.environ.get("GATEWAY_TRACES"),
        metavar="DIR",
        help="holds azure_llm_2023/ and mooncake/; also $GATEWAY_TRACES; none = made-up slices alone",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at a time")
    arguments = parser.parse_args()
    traces = Path(arguments.traces) if arguments.traces else None
    slices = [name for name in arguments.only if traces is not None or name not in _TRACES]
    seeds = arguments.seeds[:1] if arguments.quick else arguments.seeds
    tasks = [Task(name, *case, seed, traces) for name in slices for case in CASES for seed in seeds]
    found: dict[tuple[str, int, int], list[Figures]] = {}
    with ProcessPoolExecutor(arguments.jobs) as jobs:
        for task, figures in jobs.map(live, tasks):
            found.setdefault((task.slice_name, task.service, task.cold_start), []).append(figures)
            ours = "{:.2f} at {:.2f}".format(*figures.found["ours"])
            print(
                f"{task.slice_name}, S {task.service} s, cold {task.cold_start} s, seed {task.seed}: {ours}", flush=True
            )
    show(found)


def show(found: dict[tuple[str, int, int], list[Figures]]) -> None:
    """Print a row for each slice and case: medians over the seeds."""
    table = Table(title="services of seconds: violations in % at cost ÷ oracle, medians over seeds")
    for name in ("slice", "S", "cold start", *POLICIES, f"≤ {VIOLATIONS:g} % at {COST:g}?", "who sees the present"):
        table.add_column(name, justify="left" if name == "slice" else "right")
    last = ""
    for (name, service, cold), endings in found.items():
        if last and name != last:
            table.add_section()
        last = name
        cells = [_middle([each.found[policy] for each in endings]) for policy in POLICIES]
        ours = [median(each) for each in zip(*(each.found["ours"] for each in endings), strict=True)]
        present = [each.present for each in endings if each.present is not None]
        table.add_row(
            name,
            f"{service} s",
            f"{cold} s",
            *cells,
            "yes" if is_met(*ours) else "NO",
            _middle(present) if present else "",
        )
    Console(width=170).print(table)


def _middle(pairs: Sequence[tuple[float, float]]) -> str:
    violations, cost = (median(each) for each in zip(*pairs, strict=True))
    return f"{violations:.2f} at {cost:.2f}"


if __name__ == "__main__":
    main()
