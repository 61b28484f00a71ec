"""What happens to the endpoints, and what must be read off each trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks import faults_figures as figures
from benchmarks.faults_load import Clients
from benchmarks.faults_peers import ALL, HEDGERS, NO_CHECKS, UNHEDGED
from benchmarks.faults_service import Work
from benchmarks.faults_trial import Case, Step
from benchmarks.peers import OURS
from benchmarks.rounds import Measure
from benchmarks.table import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.faults_trial import Trial

_PERCENT: Final = 100
_MILLI: Final = 1000
_GRACE: Final = 3.0
"""So long after its beginning a fault may show."""
_MIN_CALLS: Final = 20
"""Fewer calls never trip a breaker of ours by default."""
_TOLD: Final = 4.5


class Scenario(NamedTuple):
    """One story; ``is_apart`` when its trials must not run side by side."""

    name: str
    title: str
    case: Case
    measures: tuple[Measure[Trial], ...]
    proxies: tuple[str, ...] = ALL
    is_apart: bool = False

    @property
    def seconds(self) -> float:
        """How long one trial takes, without starting and stopping."""
        return self.case.clients.seconds


def _most(bound: float, peer: str | None = None) -> tuple[Target, ...]:
    return (Target(peer, bound, is_ceiling=True),)


_TWICE: Final[Measure[Trial]] = Measure(
    "POSTs that came to endpoints twice", lambda trial: figures.repeated(trial.records, "p"), _most(0)
)
_LATE: Final[Measure[Trial]] = Measure("load: p99 of lateness, ms", lambda trial: trial.seen.late * _MILLI, digits=1)


def scenarios(*, quick: bool) -> dict[str, Scenario]:
    """All of them by name; the quick ones take about half the time."""
    return {scenario.name: scenario for scenario in _all(quick=quick)}


def _all(*, quick: bool) -> Iterator[Scenario]:
    begin, healed, end = (3.0, 9.0, 21.0) if quick else (4.0, 16.0, 30.0)
    for name, title, begins, ends, has_wire in (
        ("refuse", "1 of 4 endpoints refuses connections", "refuse", "none", True),
        ("reset", "1 of 4 endpoints resets in the middle of the body", "reset", "none", True),
        ("hang", "1 of 4 endpoints accepts and never answers", "hang", "none", True),
        ("error", "1 of 4 endpoints answers 500 at once", "errors 1", "errors 0", False),
        ("slow", "1 of 4 endpoints takes 20 times as long", "slower 20", "slower 1", False),
        ("drip", "1 of 4 endpoints drips its body", "drip", "none", True),
    ):
        steps = Step(begin, begins), Step(healed, ends)
        case = Case(4, has_wire, Clients(end), steps, Work())
        yield Scenario(name, title, case, _of_one(begin, healed, end))
    yield _only("only-kill", "the only endpoint is killed and comes back after 6 s", "kill", "start", quick=quick)
    yield _only("only-stop", "the only endpoint is stopped and goes on after 6 s", "stop", "cont", quick=quick)
    yield _errors(*((10.0, 10.0) if quick else (30.0, 20.0)))
    yield _hedge(8.0 if quick else 26.0)


def _of_one(begin: float, healed: float, end: float) -> tuple[Measure[Trial], ...]:
    late = begin + _GRACE
    return (
        Measure("GETs that failed, %", lambda t: _PERCENT * figures.failed_share(t.seen, "GET"), _most(0.5), 2),
        Measure("GETs that failed in the first 3 s", lambda t: figures.failed(t.seen, "GET", begin, late)),
        Measure("GETs that failed after 3 s", lambda t: figures.failed(t.seen, "GET", late), _most(0)),
        Measure("GET p99 while faulty, ms", _milli(0.99, "GET", begin, healed)),
        Measure("asked, % of requests while faulty", lambda t: _percent(figures.share(t.records, late, healed)), (), 1),
        Measure(
            "s until 15 % of the requests again (99: never)",
            lambda t: figures.fair_after(t.records, healed, end),
            _most(10),
            1,
        ),
        Measure("asked, % in the first second back", lambda t: _first_second(t, healed), (), 1),
        Measure("POSTs that failed, %", lambda t: _PERCENT * figures.failed_share(t.seen, "POST"), (), 2),
        _TWICE,
        _LATE,
    )


def _milli(part: float, method: str, begin: float, end: float) -> Callable[[Trial], float | None]:
    def read(trial: Trial) -> float | None:
        found = figures.quantile(trial.seen, part, method, begin, end)
        return None if found is None else found * _MILLI

    return read


def _percent(part: float | None) -> float | None:
    return None if part is None else part * _PERCENT


def _first_second(trial: Trial, healed: float) -> float | None:
    waited = figures.first_after(trial.records[0], healed)
    if waited is None:
        return None
    return _percent(figures.share(trial.records, healed + waited, healed + waited + 1))


def _only(name: str, title: str, ends: str, begins: str, *, quick: bool) -> Scenario:
    gone = 3.0 if quick else 4.0
    back, end = gone + 6, gone + (12 if quick else 14)
    clients = Clients(end, told=_TOLD)
    steps = Step(gone, ends), Step(back, begins)

    def opened(trial: Trial) -> float | None:
        failed = figures.nth_failure(trial.seen, gone, _MIN_CALLS)
        refused = figures.refused_from(trial.seen, gone, "breaker_open")
        return None if failed is None or refused is None else max(0.0, refused - failed)

    def opened_at(trial: Trial) -> float | None:
        refused = figures.refused_from(trial.seen, gone, "breaker_open")
        return None if refused is None else refused - gone

    def probes(trial: Trial) -> float | None:
        if trial.proxy not in {OURS, NO_CHECKS}:
            return None
        # nothing begins while it is away, and a new process may answer before it is seen to be there
        away = trial.steps[ends]
        until = figures.proven(trial.records[0], away)
        return None if until is None else figures.most_at_once(trial.records[0], away, until)

    return Scenario(
        name,
        title,
        Case(1, has_wire=False, clients=clients, steps=steps, work=Work()),
        (
            Measure("clients that gave up after 5 s", lambda t: figures.gave_up(t.seen), _most(0)),
            Measure("s from there to the open breaker", opened_at, (), 2),
            Measure(
                f"s from {_MIN_CALLS} failed calls to the open breaker",
                opened,
                _most(1) if ends == "kill" else (),
                2,
            ),
            Measure("s until served again", lambda t: figures.served_after(t.seen, t.steps[begins]), _most(2), 2),
            Measure("s until the last failure", lambda t: figures.last_failure_after(t.seen, t.steps[begins]), (), 2),
            Measure("requests at once before 3 were answered", probes, _most(3)),
            Measure("GETs that failed, %", lambda t: _PERCENT * figures.failed_share(t.seen, "GET"), (), 1),
            _TWICE,
            _LATE,
        ),
    )


def _errors(busy: float, after: float) -> Scenario:
    begin = 3.0
    end = begin + busy
    clients = Clients(end + after, retries=1)
    return Scenario(
        "errors-60",
        "all 4 endpoints answer 60 % errors, and clients ask again once",
        Case(
            4,
            has_wire=False,
            clients=clients,
            steps=(Step(begin, "all errors 0.6"), Step(end, "all errors 0")),
            work=Work(),
        ),
        (
            Measure(
                "requests at endpoints ÷ of clients", lambda t: figures.amplification(t, begin, end), _most(1.25), 2
            ),
            Measure(
                "requests that failed, %", lambda t: _PERCENT * figures.failed_share(t.seen, "", begin, end), (), 1
            ),
            Measure("requests served /s", lambda t: _served(t, begin, end)),
            Measure("s until the last failure", lambda t: figures.last_failure_after(t.seen, end), (), 1),
            _TWICE,
            _LATE,
        ),
    )


def _served(trial: Trial, begin: float, end: float) -> float:
    seen = trial.seen
    return sum(begin <= due < end and status == 200 for due, status in zip(seen.due, seen.status, strict=True)) / (
        end - begin
    )


def _hedge(seconds: float) -> Scenario:
    # the first second teaches what is usual
    begin = 1.0
    return Scenario(
        "hedge",
        "1 % of answers take 50 times as long, and a second attempt is made",
        Case(
            4,
            has_wire=False,
            clients=Clients(seconds, gets=400),
            steps=(),
            work=Work(long_share=0.01),
            hedges=True,
        ),
        (
            Measure("GET p50, ms", _milli(0.5, "GET", begin, seconds), (), 1),
            Measure("GET p99, ms", _milli(0.99, "GET", begin, seconds), (), 1),
            Measure("GET p99.9, ms", _milli(0.999, "GET", begin, seconds), _most(0.2, UNHEDGED), 1),
            Measure(
                "requests at endpoints ÷ of clients",
                lambda t: figures.amplification(t, begin, seconds),
                _most(1.05),
                3,
            ),
            Measure("requests that failed", lambda t: figures.failed(t.seen), _most(0)),
            _TWICE,
            _LATE,
        ),
        HEDGERS,
        is_apart=True,
    )


def totals(trials: Sequence[Trial]) -> tuple[int, int]:
    """POSTs that clients sent and those that came to endpoints twice."""
    sent = sum(trial.seen.method.count("POST") for trial in trials)
    return sent, sum(figures.repeated(trial.records, "p") for trial in trials)
