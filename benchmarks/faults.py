"""The faults benchmark: what clients see of endpoints that fail, hang, slow down and die.

    python -m benchmarks.faults [--quick] [--only refuse,hang,…] [--peers gateway,haproxy,…] [--rounds N] [--json FILE]

Every trial has endpoints, a proxy and a load of its own, started for it. The proxies of a round run side by side, on
the same arrivals and the same noise of the machine, where latency is not what is asked; the median of the rounds
is reported.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import faults_figures as figures
from benchmarks import faults_trial
from benchmarks.faults_peers import NAMES, program
from benchmarks.faults_scenarios import Scenario, scenarios, totals
from benchmarks.processes import StartError
from benchmarks.rounds import Words, chosen, installed, keep, note, options, say, scratch
from benchmarks.table import Row, Target, print_rows, to_data

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.faults_trial import Trial

_START_AND_STOP = 8.0
# as many as a small machine carries without being the limit itself
_SIDE_BY_SIDE = 5
# requests that leave later than this, in seconds, say more about the machine than about a proxy
_LATE = 0.05


class Story(NamedTuple):
    """One scenario with all its trials, and what must be said about them."""

    scenario: Scenario
    names: list[str]
    rows: list[Row]
    trials: list[Trial]
    remarks: list[str]


def main() -> None:
    """Run what was asked for, print the tables, write the file."""
    arguments = _arguments()
    known = scenarios(quick=arguments.quick)
    asked = [known[name] for name in chosen(arguments.only, tuple(known))]
    names = installed(chosen(arguments.peers, NAMES), program)
    rounds = 1 if arguments.quick else arguments.rounds
    say(
        f"{len(asked)} scenarios, {', '.join(names)}, {rounds} rounds: "
        f"about {rounds * sum(_duration(each, names) for each in asked) / 60:.0f} minutes"
    )
    stories: list[Story] = []
    with scratch("faults-") as directory:
        for scenario in asked:
            taking_part = [name for name in scenario.proxies if name in names]
            if not taking_part:
                continue
            story = _tell(scenario, taking_part, rounds, directory)
            stories.append(story)
            print_rows(story.rows, taking_part, title=f"{scenario.name}: {scenario.title} (median of {rounds})")
            for remark in story.remarks:
                print(remark)
            # after each, so that a run that is broken off has something to show
            keep(arguments.json, rounds, {"scenarios": [_to_data(story) for story in stories]})
    print_rows([_posts(stories)], names, title="post: all of the above together")


def _arguments() -> argparse.Namespace:
    words = Words(
        quick="one round, in half the time; for orientation only",
        only=f"some of {','.join(scenarios(quick=True))}, or how they begin",
        peers=NAMES,
        file="write every round to this file",
    )
    return options("benchmarks.faults", __doc__, words, rounds=3).parse_args()


def _duration(scenario: Scenario, names: Sequence[str]) -> float:
    count = sum(name in names for name in scenario.proxies)
    turns = count if scenario.is_apart else -(-count // _SIDE_BY_SIDE)
    return turns * (scenario.seconds + _START_AND_STOP)


def _tell(scenario: Scenario, names: list[str], rounds: int, directory: Path) -> Story:
    """Run all trials of one scenario."""
    rows = [measure.row() for measure in scenario.measures]
    story = Story(scenario, names, rows, [], [])
    for number in range(1, rounds + 1):

        def run(name: str, number: int = number) -> Trial | StartError:
            try:
                own = directory / f"{scenario.name}-{name}-{number}"
                return faults_trial.run(name, scenario.case, seed=number, directory=own)
            except StartError as error:
                return error

        with ThreadPoolExecutor(1 if scenario.is_apart else _SIDE_BY_SIDE) as pool:
            for name, trial in zip(names, pool.map(run, names), strict=True):
                if isinstance(trial, StartError):
                    story.remarks.append(f"{name.upper()} IS LEFT OUT of round {number}: {trial}")
                    say(story.remarks[-1])
                    continue
                _take(story, trial)
                say(f"{scenario.name}, round {number} of {rounds}: {name}: {_sentence(trial)}")
    return story


def _take(story: Story, trial: Trial) -> None:
    story.trials.append(trial)
    note(story.rows, story.scenario.measures, trial.proxy, trial)
    if trial.seen.late > _LATE:
        late = f"one request in a hundred left {trial.seen.late * 1000:.0f} ms late or more"
        story.remarks.append(f"THE MACHINE MAY BE THE LIMIT: {trial.proxy}, round {trial.seed}: {late}")


def _sentence(trial: Trial) -> str:
    gets, posts = (
        ", ".join(f"{count} × {word}" for word, count in figures.words(trial.seen, method).most_common()) or "none"
        for method in ("GET", "POST")
    )
    return f"failed GETs: {gets}; POSTs: {posts}"


def _posts(stories: Sequence[Story]) -> Row:
    row = Row("POSTs that came to endpoints twice", {}, (Target(None, 0, is_ceiling=True),))
    sent = []
    for name in NAMES:
        trials = [trial for story in stories for trial in story.trials if trial.proxy == name]
        if trials:
            count, twice = totals(trials)
            row.figures[name] = [float(twice)]
            sent.append(f"{name} {count:,}")
    return row._replace(note="of " + ", ".join(sent))


def _to_data(story: Story) -> dict[str, Any]:
    return {
        "name": story.scenario.name,
        "title": story.scenario.title,
        "rows": to_data(story.rows),
        "remarks": story.remarks,
        "trials": [
            {
                "proxy": trial.proxy,
                "seed": trial.seed,
                "failed": {method: figures.words(trial.seen, method) for method in ("GET", "POST")},
                "steps": trial.steps,
                "counters": trial.told,
                "seconds": _seconds(trial, story.scenario.seconds),
            }
            for trial in story.trials
        ],
    }


def _seconds(trial: Trial, seconds: float) -> list[dict[str, float | None]]:
    """One second after the other: how many failed, and which part the first endpoint got."""
    return [
        {"failed": figures.failed(trial.seen, "", at, at + 1), "share": figures.share(trial.records, at, at + 1)}
        for at in map(float, range(int(seconds)))
    ]


if __name__ == "__main__":
    main()
