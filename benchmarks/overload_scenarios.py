"""What happens to the service, and what must be read off each trial.

Load is given as multiples of what the service can do: 400 requests a second at first, and 800 where it has a knee.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple, get_args

from benchmarks import overload_figures as figures
from benchmarks.overload_figures import Window, count
from benchmarks.overload_load import Clients, Crowd, Phase
from benchmarks.overload_peers import NOTHING, Told, Wishes
from benchmarks.overload_service import Distribution, Service
from benchmarks.overload_trial import Change
from benchmarks.rounds import Measure
from benchmarks.table import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.overload_trial import Trial

CAPACITY: Final = 400.0
_MILLI = 1000
_PERCENT = 100
_QUICK = 1 / 3
_TENANTS = 1000
_AT_KNEE = 16 / 0.02


class Scenario(NamedTuple):
    """One story; ``busy`` is the window in which it happens."""

    name: str
    title: str
    clients: Clients
    busy: Window
    measures: tuple[Measure[Trial], ...]
    service: Service = Service()
    changes: tuple[Change, ...] = ()
    told: Told = Told()
    wishes: Wishes = Wishes()

    @property
    def seconds(self) -> float:
        """How long one trial takes, without starting and stopping."""
        return sum(phase.seconds for phase in self.clients.phases)


def scenarios(*, quick: bool) -> dict[str, Scenario]:
    """All of them by name; the quick ones take a third of the time."""
    scale = _QUICK if quick else 1.0
    return {scenario.name: scenario for scenario in _all(scale)}


def _all(scale: float) -> Iterator[Scenario]:
    yield _half(scale)
    for times in (1.5, 2, 5, 10):
        yield _surge(f"steady-{times:g}", f"{times:g} times the capacity", times, scale)
    yield _change(scale)
    for kind in get_args(Distribution):
        if kind != "exponential":
            service = Service(distribution=kind)
            title = f"{kind} service times, 3 times the capacity"
            # of the long ones alone, one in five is beyond any target for the others
            p99 = 0 if kind == "bimodal" else 150
            yield _surge(f"times-{kind}", title, 3, scale, p99)._replace(service=service)
    yield _knee(scale)
    yield _retries(scale)
    yield _classes(scale)
    yield _tenants(scale)
    yield _crowded_out(scale)
    yield _flood(scale)
    yield _memory(scale)
    yield _soak(scale)


def _half(scale: float) -> Scenario:
    busy = Window(0, 20 * scale)
    first = Window(0, 1)
    return Scenario(
        "half",
        "half the capacity, from the first second after the start",
        Clients((Phase(busy.end, CAPACITY / 2),)),
        busy,
        (
            Measure("refused in the first second, %", _refused(first), (Target(None, 0, is_ceiling=True),), 2),
            Measure("refused, %", _refused(busy), (Target(None, 0, is_ceiling=True),), 2),
            Measure("p50, ms", _quantile(busy, 0.5), digits=1),
            Measure("p99, ms", _quantile(busy, 0.99), (Target(NOTHING, 1.1, is_ceiling=True),), 1),
            *_machine(busy),
        ),
    )


def _phases(times: float, scale: float) -> tuple[tuple[Phase, ...], Window]:
    calm, surge, after = 4 * scale, 12 * scale, 8 * scale
    phases = Phase(calm, CAPACITY / 2), Phase(surge, CAPACITY * times), Phase(after, CAPACITY / 2)
    return phases, Window(calm, calm + surge)


def _surge(name: str, title: str, times: float, scale: float, p99: float = 150) -> Scenario:
    phases, busy = _phases(times, scale)
    before, after = Window(0, busy.begin), Window(busy.end, busy.end + phases[-1].seconds)
    return Scenario(
        name,
        title,
        Clients(phases),
        busy,
        (
            *_usual(busy, p99),
            Measure("refused at half load before, %", _refused(before), (Target(None, 0, is_ceiling=True),), 2),
            Measure("good at half load after, %", _good(after), digits=1),
            *_comeback(busy),
            *_machine(busy),
        ),
    )


def _usual(busy: Window, p99: float = 150, capacity: float = CAPACITY) -> tuple[Measure[Trial], ...]:
    return (
        Measure("goodput, 1/s", lambda trial: count(trial.seen, busy).goodput),
        Measure("goodput ÷ capacity", lambda t: count(t.seen, busy).goodput / capacity, (Target(None, 0.99),), 3),
        Measure("p50 of the served, ms", _quantile(busy, 0.5)),
        Measure("p99 of the served, ms", _quantile(busy, 0.99), (Target(None, p99, is_ceiling=True),) if p99 else ()),
        Measure("goodput ÷ p99, 1/s²", lambda trial: _merit(trial, busy)),
        Measure("refused, %", _refused(busy), digits=1),
        Measure(
            "given up by the client, %", lambda trial: _percent(count(trial.seen, busy).gave_up, trial, busy), (), 1
        ),
        Measure("broken connections, %", lambda trial: _percent(count(trial.seen, busy).broken, trial, busy), (), 1),
        Measure("done for nobody, % of the service's work", _wasted, (), 1),
    )


def _comeback(busy: Window) -> tuple[Measure[Trial], ...]:
    """How honest Retry-After is: nobody can know how long a surge lasts, so these have no target."""
    return (
        Measure("Retry-After, p50, s", lambda t: _median([each.told for each in figures.returns(t.seen, busy)])),
        Measure(
            "Retry-After less the time until there was room, p50, s",
            lambda t: _median([each.told - each.until_room for each in figures.returns(t.seen, busy)]),
            digits=1,
        ),
        Measure(
            "good answers to who comes back when told, %",
            lambda t: _scaled(_mean([each.good_share for each in figures.returns(t.seen, busy)]), _PERCENT),
            digits=1,
        ),
    )


def _machine(busy: Window) -> tuple[Measure[Trial], ...]:
    return (
        Measure("the proxy's core, %", lambda trial: _scaled(figures.proxy_core(trial, busy), _PERCENT)),
        Measure("the core of service and load, %", lambda trial: figures.load_core(trial, busy) * _PERCENT),
        Measure("sent late, p99, ms", lambda trial: figures.lateness(trial.seen, busy) * _MILLI, digits=2),
        Measure("answered late by the service, p99, ms", lambda trial: trial.counts["late_p99"] * _MILLI, digits=2),
    )


def _knee(scale: float) -> Scenario:
    calm, surge, found = 4 * scale, 25 * scale, 5 * scale
    busy = Window(calm, calm + surge)
    settled = Window(calm + found, busy.end)
    return Scenario(
        "knee",
        "a service that thrashes past 16 at once, 3 times its best",
        Clients((Phase(calm, _AT_KNEE / 2), Phase(surge, 3 * _AT_KNEE))),
        busy,
        (
            *_usual(busy, capacity=_AT_KNEE),
            Measure(
                f"goodput ÷ capacity from {found:g} s on", _goodput_to(settled, _AT_KNEE), (Target(None, 0.95),), 3
            ),
            *_machine(busy),
        ),
        service=Service(workers=256, mean=0.02, knee=16),
        told=Told(at_once=16),
    )


def _change(scale: float) -> Scenario:
    part = 15 * scale
    soon, later, settled = 5 * scale, 10 * scale, part
    less, more = part, 2 * part
    # 3 and 12 workers of 20 ms: 150 and 600 a second
    measures = []
    for begin, capacity in ((less, 150.0), (more, 600.0)):
        for window in (Window(begin + soon, begin + later), Window(begin + later, begin + settled)):
            name = f"goodput ÷ {capacity:.0f}, {window.begin - begin:.0f} to {window.end - begin:.0f} s after"
            measures.append(Measure(name, _goodput_to(window, capacity), (Target(None, 0.95),), 3))
        last = Window(begin + later, begin + settled)
        measures.append(Measure(f"p99 at {capacity:.0f}/s in the end, ms", _quantile(last, 0.99)))
    busy = Window(0, 3 * part)
    return Scenario(
        "change",
        "capacity 400, then 150, then 600 a second under 1,200",
        Clients((Phase(3 * part, 3 * CAPACITY),)),
        busy,
        (
            Measure("goodput ÷ 400 before", _goodput_to(Window(soon, part), CAPACITY), (Target(None, 0.95),), 3),
            *measures,
            *_machine(busy),
        ),
        changes=(Change(less, "workers 3"), Change(more, "workers 12")),
    )


def _retries(scale: float) -> Scenario:
    phases, busy = _phases(3, scale)
    return Scenario(
        "retries",
        "3 times the capacity, and each client asks up to 3 times more, at once",
        Clients(phases, retries=3),
        busy,
        (
            # a latency here is of all attempts of a client together
            *_usual(busy, p99=0),
            Measure("attempts ÷ arrivals", lambda trial: trial.seen.attempts / len(trial.seen.due), digits=2),
            *_machine(busy),
        ),
    )


def _classes(scale: float) -> Scenario:
    phases, busy = _phases(5, scale)
    shares = {"critical": 0.1, "default": 0.6, "batch": 0.3}
    crowds = tuple(Crowd(name, share, path=f"/{name}/work") for name, share in shares.items())
    measures = []
    for number, name in enumerate(shares):
        measures.append(Measure(f"{name}: goodput, 1/s", _goodput_to(busy, 1, number)))
        if number < 2:  # nothing is left for the third
            target = Target(None, 0.99 if number == 0 else 0.95)
            measures.append(Measure(f"{name}: goodput ÷ its due", _goodput_to_due(busy, number), (target,), 3))
        measures.append(Measure(f"{name}: p99, ms", _quantile(busy, 0.99, number)))
    return Scenario(
        "classes",
        "5 times the capacity in three classes: critical 10 %, default 60 %, batch 30 %",
        Clients(phases, crowds),
        busy,
        (*_usual(busy)[:2], *measures, *_machine(busy)),
        wishes=Wishes(classes=tuple(shares)),
    )


def _tenants(scale: float) -> Scenario:
    fair = CAPACITY / _TENANTS
    rates = {"others": 0.9 * fair * (_TENANTS - 1), "greedy": 20 * fair}
    phases, busy, crowds = _crowded(rates, scale)
    return Scenario(
        "tenants",
        "1,000 tenants, each asks for 0.9 of its fair share, one for 20 times its own",
        Clients(phases, crowds),
        busy,
        (
            *_usual(busy)[:1],
            Measure("the others: good, %", _good(busy, 0), (Target(None, 99),), 2),
            Measure("the greedy: good, %", _good(busy, 1), digits=1),
            *_machine(busy),
        ),
        wishes=Wishes(fairness_key="header:x-tenant"),
    )


def _crowded_out(scale: float) -> Scenario:
    fair = CAPACITY / _TENANTS
    each = 1.5 * fair
    rates = {"others": each * (_TENANTS - 1), "greedy": 20 * each}
    phases, busy, crowds = _crowded(rates, scale)
    return Scenario(
        "crowded",
        "1,000 tenants, each asks for 1.5 times its fair share, one for 20 times as much as the others",
        Clients(phases, crowds),
        busy,
        (
            *_usual(busy)[:2],
            Measure("the others: goodput ÷ fair share", _goodput_to(busy, fair * 999, 0), (Target(None, 0.95),), 3),
            Measure("the greedy: goodput ÷ fair share", _goodput_to(busy, fair, 1), digits=2),
            *_machine(busy),
        ),
        wishes=Wishes(fairness_key="header:x-tenant"),
    )


def _flood(scale: float) -> Scenario:
    rates = {"others": 0.9 * CAPACITY, "greedy": 2 * CAPACITY}
    phases, busy, crowds = _crowded(rates, scale)
    return Scenario(
        "flood",
        "999 tenants ask for 0.9 of the capacity together, one alone for twice the capacity",
        Clients(phases, crowds),
        busy,
        (
            *_usual(busy)[:2],
            Measure("the others: good, %", _good(busy, 0), (Target(None, 99),), 1),
            Measure("the others: p99, ms", _quantile(busy, 0.99, 0)),
            Measure("the greedy: good, %", _good(busy, 1), digits=1),
            *_machine(busy),
        ),
        wishes=Wishes(fairness_key="header:x-tenant"),
    )


def _crowded(rates: dict[str, float], scale: float) -> tuple[tuple[Phase, ...], Window, tuple[Crowd, ...]]:
    total = sum(rates.values())
    phases, busy = _phases(total / CAPACITY, scale)
    counts = {"others": _TENANTS - 1, "greedy": 1}
    return phases, busy, tuple(Crowd(name, rate / total, tenants=counts[name]) for name, rate in rates.items())


def _memory(scale: float) -> Scenario:
    calm, surge, patience = 2.0, 15 * scale, 4 * scale
    busy = Window(calm, calm + surge)
    # by then as many give up as come
    full = Window(busy.begin + surge / 2, busy.end)
    return Scenario(
        "memory",
        f"5 times the capacity for {surge:g} s, from clients that wait {patience:.1f} s",
        Clients((Phase(calm, CAPACITY / 2), Phase(surge, 5 * CAPACITY)), patience=patience),
        busy,
        (
            Measure("most clients waiting", lambda trial: float(max(trial.seen.waiting, default=0))),
            Measure(
                "KiB a waiting client", lambda trial: _scaled(figures.memory_per_waiting(trial, busy), 1 / 1024), (), 1
            ),
            Measure(
                "growth once it is full, MiB/s",
                lambda trial: _scaled(figures.memory_slope(trial, full), 1 / 1024**2),
                (Target(None, 0.5, is_ceiling=True),),
                2,
            ),
            *_usual(busy)[:2],
            *_machine(busy),
        ),
    )


def _soak(scale: float) -> Scenario:
    calm, surge = 2.0, 600 * scale
    busy = Window(calm, calm + surge)
    # after the first tenth nothing new comes to be
    later = Window(busy.begin + surge / 10, busy.end)
    return Scenario(
        "soak",
        f"5 times the capacity for {surge:g} s",
        Clients((Phase(calm, CAPACITY / 2), Phase(surge, 5 * CAPACITY))),
        busy,
        (
            Measure(
                "growth after the first tenth, KiB/s",
                lambda trial: _scaled(figures.memory_slope(trial, later), 1 / 1024),
                (Target(None, 8, is_ceiling=True),),
                2,
            ),
            *_usual(busy)[:2],
            *_machine(busy),
        ),
    )


def _refused(window: Window) -> Callable[[Trial], float | None]:
    return lambda trial: _scaled(count(trial.seen, window).refused_share, _PERCENT)


def _good(window: Window, crowd: int | None = None) -> Callable[[Trial], float | None]:
    return lambda trial: _scaled(count(trial.seen, window, crowd).good_share, _PERCENT)


def _quantile(window: Window, part: float, crowd: int | None = None) -> Callable[[Trial], float | None]:
    return lambda trial: _scaled(count(trial.seen, window, crowd).quantile(part), _MILLI)


def _goodput_to(window: Window, capacity: float, crowd: int | None = None) -> Callable[[Trial], float | None]:
    return lambda trial: count(trial.seen, window, crowd).goodput / capacity


def _goodput_to_due(window: Window, crowd: int) -> Callable[[Trial], float | None]:
    """With strict bands a class is due what it asks for, as far as those before it leave any."""

    def read(trial: Trial) -> float | None:
        left = CAPACITY
        for each in range(crowd + 1):
            counts = count(trial.seen, window, each)
            due = min(left, counts.offered / counts.seconds)
            left -= due
        return counts.goodput / due if due else None

    return read


def _merit(trial: Trial, window: Window) -> float | None:
    counts = count(trial.seen, window)
    p99 = counts.quantile(0.99)
    return counts.goodput / p99 if p99 else None


def _percent(part: int, trial: Trial, window: Window) -> float | None:
    offered = count(trial.seen, window).offered
    return part / offered * _PERCENT if offered else None


def _wasted(trial: Trial) -> float | None:
    done = trial.counts["done"]
    return trial.counts["wasted"] / done * _PERCENT if done else None


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
