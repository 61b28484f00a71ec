"""The overload benchmark: how much useful work is left when the world asks for more than the service can do.

    python -m benchmarks.overload [--quick] [--only steady,half,…] [--peers haproxy,envoy,…] [--rounds N]
                                  [--json FILE] [--plot FILE.svg]

Every trial has a service, a proxy and a load of its own, started for it. A round runs every proxy once on the same
arrivals; the median of the rounds is reported.
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from rich.console import Console

from benchmarks import overload_trial
from benchmarks.overload_figures import complaint, count, timeline
from benchmarks.overload_peers import NAMES, NOTHING, configure, not_acted_on
from benchmarks.overload_plot import draw
from benchmarks.overload_scenarios import Scenario, scenarios
from benchmarks.peers import OURS
from benchmarks.processes import CORES, LOAD_CORE, ORIGIN_CORE, PROXY_CORE, StartError
from benchmarks.table import Row, print_rows, to_data

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.overload_trial import Trial

_START_AND_STOP = 2.0
_STEP = 0.5
_console = Console(stderr=True, width=160, highlight=False)
_say: Callable[[str], None] = _console.print


class Story(NamedTuple):
    """One scenario with all its trials, and what must be said about them."""

    scenario: Scenario
    rows: list[Row]
    trials: list[Trial]
    remarks: list[str]


def main() -> None:
    """Run what was asked for, print the tables, write the files."""
    arguments = _arguments()
    # whoever ends this early ends what it started, too
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    known = scenarios(quick=arguments.quick)
    chosen = [known[name] for name in _chosen(arguments.only, tuple(known))]
    names = _installed(_chosen(arguments.peers, NAMES))
    rounds = 1 if arguments.quick else arguments.rounds
    if len(CORES) < 2:
        _say("ONE CORE ONLY: proxy, service and load fight for it; the figures mean little")
    seconds = sum(each.seconds + _START_AND_STOP for each in chosen) * len(names) * rounds
    _say(
        f"proxy on core {PROXY_CORE}, service on core {ORIGIN_CORE}, load on core {LOAD_CORE}; "
        f"{len(chosen)} scenarios, {len(names)} proxies, {rounds} rounds: about {seconds / 60:.0f} minutes"
    )
    stories = []
    with tempfile.TemporaryDirectory(prefix="overload-") as scratch:
        # nginx started by root works as nobody
        Path(scratch).chmod(0o755)
        for scenario in chosen:
            story = _tell(scenario, names, rounds, Path(scratch))
            print_rows(story.rows, names, title=f"{scenario.name}: {scenario.title} (median of {rounds})")
            for remark in story.remarks:
                print(remark)
            stories.append(story)
            # after each, so that a run that is broken off has something to show
            _write(arguments, stories, names, rounds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overload", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="one round, in a third of the time; for orientation only")
    parser.add_argument("--only", default="", help=f"some of {','.join(scenarios(quick=True))}, or how they begin")
    parser.add_argument("--peers", default="", help=f"some of {','.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds to take the median of (5)")
    parser.add_argument("--json", default="", metavar="FILE", help="write every round and the timelines to this file")
    parser.add_argument("--plot", default="", metavar="FILE", help="draw goodput and p99 over time as SVG")
    return parser.parse_args()


def _chosen(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    for name in wanted:
        if not any(each.startswith(name) for each in known):
            sys.exit(f"{name!r} is unknown; known: {', '.join(known)}")
    exact = {name for name in wanted if name in known}
    begun = tuple(name for name in wanted if name not in known)
    return tuple(each for each in known if each in exact or (begun and each.startswith(begun))) if wanted else known


def _installed(names: tuple[str, ...]) -> list[str]:
    scenario = next(iter(scenarios(quick=True).values()))
    found = []
    for name in names:
        peer = None if name == NOTHING else configure(name, scenario.told, scenario.wishes)
        if peer is not None and peer.find() is None:
            _say(f"{name}: skipped, not installed; get it with: {peer.install}")
        else:
            found.append(name)
    return found


def _tell(scenario: Scenario, names: Sequence[str], rounds: int, scratch: Path) -> Story:
    """Run all trials of one scenario."""
    story = Story(scenario, [Row(m.name, {}, m.targets, m.digits) for m in scenario.measures], [], [])
    names = list(names)
    if OURS in names and any(scenario.wishes):
        missing = not_acted_on(configure(OURS, scenario.told, scenario.wishes), scratch)
        if missing:
            names.remove(OURS)
            story.remarks.append(f"{OURS.upper()} WAS LEFT OUT of {scenario.name}: not acted on: {', '.join(missing)}")
            _say(story.remarks[-1])
    for number in range(rounds):
        # Every other round goes backwards, so that nobody always follows the same neighbour.
        for name in names if number % 2 == 0 else reversed(names):
            peer = None if name == NOTHING else configure(name, scenario.told, scenario.wishes)
            clients = msgspec.structs.replace(scenario.clients, seed=number + 1)
            service = msgspec.structs.replace(scenario.service, seed=number + 1)
            try:
                trial = overload_trial.run(
                    name, peer, service=service, clients=clients, changes=scenario.changes, directory=scratch
                )
            except StartError as error:
                story.remarks.append(f"{name.upper()} IS LEFT OUT of round {number + 1}: {error}")
                _say(story.remarks[-1])
                continue
            _take(story, trial)
            _say(f"{scenario.name}, round {number + 1} of {rounds}: {name}: {_sentence(trial, scenario)}")
    return story


def _take(story: Story, trial: Trial) -> None:
    story.trials.append(trial)
    for row, measure in zip(story.rows, story.scenario.measures, strict=True):
        value = measure.read(trial)
        if value is not None:
            row.figures.setdefault(trial.peer, []).append(value)
    doubt = complaint(trial, story.scenario.busy)
    if doubt:
        story.remarks.append(f"THE MACHINE MAY BE THE LIMIT: {trial.peer}, round {trial.seed}: {doubt}")


def _sentence(trial: Trial, scenario: Scenario) -> str:
    counts = count(trial.seen, scenario.busy)
    p99 = counts.quantile(0.99)
    refusals = ", ".join(f"{number} × {word}" for word, number in sorted(trial.seen.refusals.items()))
    served = f"p99 {p99 * 1000:.0f} ms" if p99 is not None else "nobody served"
    return f"{counts.goodput:.0f} good/s, {served}; {refusals or 'nothing refused'}"


def _write(arguments: argparse.Namespace, stories: Sequence[Story], names: Sequence[str], rounds: int) -> None:
    if arguments.json:
        machine = {"platform": platform.platform(), "cores": len(CORES), "python": platform.python_version()}
        data = {"machine": machine, "rounds": rounds, "scenarios": [_to_data(story) for story in stories]}
        Path(arguments.json).write_text(json.dumps(data, indent=1) + "\n")
    if arguments.plot:
        Path(arguments.plot).write_text(draw([(story.scenario, story.trials) for story in stories], names))


def _to_data(story: Story) -> dict[str, Any]:
    scenario = story.scenario
    return {
        "name": scenario.name,
        "title": scenario.title,
        "clients": msgspec.to_builtins(scenario.clients),
        "service": msgspec.to_builtins(scenario.service),
        "changes": [change._asdict() for change in scenario.changes],
        "rows": to_data(story.rows),
        "remarks": story.remarks,
        "trials": [
            {
                "proxy": trial.peer,
                "seed": trial.seed,
                "refusals": trial.seen.refusals,
                "service": trial.counts,
                "seconds": [second._asdict() for second in trial.seconds],
                "timeline": [
                    {"offered": each.offered, "good": each.good, "refused": each.refused, "p99": each.quantile(0.99)}
                    for each in timeline(trial.seen, _STEP, scenario.seconds)
                ],
            }
            for trial in story.trials
        ],
    }


if __name__ == "__main__":
    main()
