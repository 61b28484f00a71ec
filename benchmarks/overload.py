"""The overload benchmark: how much useful work is left when the world asks for more than the service can do.

    python -m benchmarks.overload [--quick] [--only steady,half,…] [--peers haproxy,envoy,…] [--rounds N]
                                  [--json FILE] [--plot FILE.svg]

Every trial has a service, a proxy and a load of its own, started for it. A round runs every proxy once on the same
arrivals; the median of the rounds is reported.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from benchmarks import overload_trial
from benchmarks.overload_figures import complaint, count, timeline
from benchmarks.overload_peers import NAMES, NOTHING, Told, Wishes, configure, not_acted_on
from benchmarks.overload_plot import draw
from benchmarks.overload_scenarios import Scenario, scenarios
from benchmarks.peers import OURS
from benchmarks.processes import CORES, LOAD_CORE, ORIGIN_CORE, PROXY_CORE, StartError
from benchmarks.rounds import Words, chosen, installed, keep, note, options, say, scratch
from benchmarks.table import Row, print_rows, to_data

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from benchmarks.overload_trial import Trial
    from benchmarks.peers import Peer

_START_AND_STOP = 2.0
_STEP = 0.5


class Story(NamedTuple):
    """One scenario with all its trials, and what must be said about them."""

    scenario: Scenario
    rows: list[Row]
    trials: list[Trial]
    remarks: list[str]


def main() -> None:
    """Run what was asked for, print the tables, write the files."""
    arguments = _arguments()
    known = scenarios(quick=arguments.quick)
    asked = [known[name] for name in chosen(arguments.only, tuple(known))]
    names = installed(chosen(arguments.peers, NAMES), _program)
    rounds = 1 if arguments.quick else arguments.rounds
    if len(CORES) < 2:
        say("ONE CORE ONLY: proxy, service and load fight for it; the figures mean little")
    seconds = sum(each.seconds + _START_AND_STOP for each in asked) * len(names) * rounds
    say(
        f"proxy on core {PROXY_CORE}, service on core {ORIGIN_CORE}, load on core {LOAD_CORE}; "
        f"{len(asked)} scenarios, {len(names)} proxies, {rounds} rounds: about {seconds / 60:.0f} minutes"
    )
    stories = []
    with scratch("overload-") as directory:
        for scenario in asked:
            story = _tell(scenario, names, rounds, directory)
            print_rows(story.rows, names, title=f"{scenario.name}: {scenario.title} (median of {rounds})")
            for remark in story.remarks:
                print(remark)
            stories.append(story)
            # after each, so that a run that is broken off has something to show
            _write(arguments, stories, names, rounds)


def _arguments() -> argparse.Namespace:
    words = Words(
        quick="one round, in a third of the time; for orientation only",
        only=f"some of {','.join(scenarios(quick=True))}, or how they begin",
        peers=NAMES,
        file="write every round and the timelines to this file",
    )
    parser = options("benchmarks.overload", __doc__, words, rounds=5)
    parser.add_argument("--plot", default="", metavar="FILE", help="draw goodput and p99 over time as SVG")
    return parser.parse_args()


def _program(name: str) -> Peer | None:
    return None if name == NOTHING else configure(name, Told(), Wishes())


def _tell(scenario: Scenario, names: Sequence[str], rounds: int, directory: Path) -> Story:
    """Run all trials of one scenario."""
    story = Story(scenario, [measure.row() for measure in scenario.measures], [], [])
    names = list(names)
    if OURS in names and any(scenario.wishes):
        missing = not_acted_on(configure(OURS, scenario.told, scenario.wishes), directory)
        if missing:
            names.remove(OURS)
            story.remarks.append(f"{OURS.upper()} WAS LEFT OUT of {scenario.name}: not acted on: {', '.join(missing)}")
            say(story.remarks[-1])
    for number in range(rounds):
        # Every other round goes backwards, so that nobody always follows the same neighbour.
        for name in names if number % 2 == 0 else reversed(names):
            peer = None if name == NOTHING else configure(name, scenario.told, scenario.wishes)
            clients = msgspec.structs.replace(scenario.clients, seed=number + 1)
            service = msgspec.structs.replace(scenario.service, seed=number + 1)
            try:
                trial = overload_trial.run(
                    name, peer, service=service, clients=clients, changes=scenario.changes, directory=directory
                )
            except StartError as error:
                story.remarks.append(f"{name.upper()} IS LEFT OUT of round {number + 1}: {error}")
                say(story.remarks[-1])
                continue
            _take(story, trial)
            say(f"{scenario.name}, round {number + 1} of {rounds}: {name}: {_sentence(trial, scenario)}")
    return story


def _take(story: Story, trial: Trial) -> None:
    story.trials.append(trial)
    note(story.rows, story.scenario.measures, trial.peer, trial)
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
    keep(arguments.json, rounds, {"scenarios": [_to_data(story) for story in stories]})
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
