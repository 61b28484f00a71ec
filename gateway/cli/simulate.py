"""``gateway simulate FILE``: a scaling policy through a day that was, or might be."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple, NoReturn

import typer
from msgspec import json
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.cli.configuration import load_or_exit
from gateway.cli.simulate_case import Case, Distribution, Service, make_case, same_service
from gateway.cli.simulate_told import print_study
from gateway.core.units import Seconds
from gateway.simulate.scaling.comparison import changed_settings, outcome_in_words, setting_in_words
from gateway.simulate.scaling.policies import NAMES
from gateway.simulate.scaling.profiles import PROFILES
from gateway.simulate.scaling.reader import TraceError, read_trace
from gateway.simulate.scaling.report import study_page
from gateway.simulate.scaling.study import Contender, study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.simulate.scaling.study import Study
    from gateway.simulate.scaling.traces import Trace

LONGEST: Final = 31 * 86400
"""Seconds; a day takes about a second and 10 MB for each policy."""
_HIGHEST: Final = 1e6
_PEAK: Final = 0.75
_WAIT: Final = "queue.max_wait"
_SHORT: Final = {"static": ("static-peak", "static-mean")}


def _policies(text: str) -> tuple[str, ...]:
    found: list[str] = []
    for word in text.replace(",", " ").split():
        names = _SHORT.get(word, (word,))
        if names[0] not in NAMES:
            message = f'there is no policy "{word}"; there are static, {", ".join(NAMES[1:])}'
            raise typer.BadParameter(message, param_hint="--against")
        found += [name for name in names if name not in found and name != "ours"]
    return tuple(found)


def simulate(  # noqa: PLR0913, PLR0917 - a command line
    file: Annotated[Path, typer.Argument(help="The configuration file.")],
    trace: Annotated[
        Path | None, typer.Option(help="A file of counts or requests: CSV, white space, .gz, .bz2, tar.")
    ] = None,
    profile: Annotated[str | None, typer.Option(help=f"A made-up day instead: {', '.join(PROFILES)}.")] = None,
    upstream: Annotated[str | None, typer.Option(help="Which one; needed when there are several.")] = None,
    against: Annotated[
        str, typer.Option(help="Other policies, such as hpa,kpa,ray,static,oracle.", metavar="NAMES")
    ] = "",
    compare: Annotated[
        Path | None, typer.Option(help="Another configuration: say what it would change.", metavar="FILE")
    ] = None,
    service_time: Annotated[str, typer.Option(help="The mean time of a request.", metavar="TIME")] = "100ms",
    distribution: Annotated[Distribution, typer.Option(help="How service times are spread.")] = "lognormal",
    slots: Annotated[
        int | None, typer.Option(help="Requests that a replica serves at once.", min=1, max=100_000)
    ] = None,
    cold_start: Annotated[str, typer.Option(help="From intent to ready.", metavar="TIME")] = "",
    step: Annotated[str, typer.Option(help="The period of a count, if no time says it.", metavar="TIME")] = "",
    since: Annotated[str, typer.Option(help="Begin there: a time as the trace has it.", metavar="TIME")] = "",
    until: Annotated[str, typer.Option(help="End before that.", metavar="TIME")] = "",
    peak: Annotated[
        float | None, typer.Option(help="Scale the trace so that its highest period needs so many replicas.", min=0.01)
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed, the same story.", min=0)] = 1,
    html: Annotated[Path | None, typer.Option(help="Also write a page with curves.", metavar="FILE")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write all figures and curves.", metavar="FILE")
    ] = None,
) -> None:
    """Say what the scaling policy of an upstream would have done with your traffic, and what others would have.

    Nothing is started: minutes of it take milliseconds. Ends with 2 when a file cannot be used.
    """
    if (trace is None) == (profile is None):
        message = "one of --trace FILE and --profile NAME is needed"
        raise typer.BadParameter(message)
    policies = _policies(against)
    mean = _seconds(service_time, "--service-time") or 0.1
    service = Service(float(mean), distribution, slots, _seconds(cold_start, "--cold-start"))
    one = make_case(load_or_exit(file).settings, upstream, service)
    other = None if compare is None else make_case(load_or_exit(compare).settings, upstream or one.name, service)
    load, peak = _load(_Wish(trace, profile, _seconds(step, "--step"), since, until, seed, peak), one)
    found = _lived(file, compare, one, other, load, policies, seed, peak)
    print_study(found, Console(highlight=False) if Console().is_terminal else Console(highlight=False, width=120))
    _write(html, study_page(found).encode())
    _write(json_file, json.format(json.encode(found.plain())) + b"\n")


def _seconds(text: str, option: str) -> Seconds | None:
    """A length of time above 0; None when nothing was said."""
    if not text:
        return None
    try:
        found = Seconds.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    if found <= 0:
        message = f"expected a time above 0; got {text}"
        raise typer.BadParameter(message, param_hint=option)
    return found


class _Wish(NamedTuple):
    """Which load is wanted."""

    trace: Path | None
    profile: str | None
    step: Seconds | None
    since: str
    until: str
    seed: int
    peak: float | None


def _load(wish: _Wish, case: Case) -> tuple[Trace, float | None]:
    """The trace, and how many replicas its peak is to need; a made-up one has no size of its own."""
    if wish.trace is None:
        name = str(wish.profile)
        if name not in PROFILES:
            message = f'there is no profile "{name}"; there are {", ".join(PROFILES)}'
            raise typer.BadParameter(message, param_hint="--profile")
        return PROFILES[name](wish.seed), wish.peak or max(1.0, _PEAK * case.site.most)
    try:
        found = read_trace(
            wish.trace,
            since=wish.since,
            until=wish.until,
            step=wish.step,
        )
        if found.length > LONGEST:
            days = f"{found.length / 86400:.0f} days"
            raise TraceError(f"{wish.trace.name}: is {days} long, more than 31; --since and --until cut it")  # noqa: TRY301, EM102
        if max(found.rates) > _HIGHEST and wish.peak is None:
            raise TraceError(f"{wish.trace.name}: more than a million requests per second; --peak scales it")  # noqa: TRY301, EM102
    except TraceError as error:
        _end(error)
    return found, wish.peak


def _lived(  # noqa: PLR0913, PLR0917 - everything comes together here
    file: Path,
    compare: Path | None,
    one: Case,
    other: Case | None,
    load: Trace,
    against: Sequence[str],
    seed: int,
    peak: float | None,
) -> Study:
    first = "ours" if other is None else f"A: {file.name}"
    contenders = [Contender(first, "ours", one.site, one.settings)]
    notes = list(one.notes)
    if other is not None and compare is not None:
        there = same_service(one, other)
        contenders.append(Contender(f"B: {compare.name}", "ours", there.site, there.settings))
        notes.append("B is tried with the service, the cold start and the objective of A, and with the same requests")
    contenders += [Contender(name, name, one.site, one.settings) for name in against]
    title = f"{one.name} of {file.name} on {load.name}"
    with _progress() as progress:
        total = len(contenders) * int(load.length)
        task = progress.add_task(contenders[0].label, total=total)

        def tell(label: str, seconds: int) -> None:
            done = next(place for place, each in enumerate(contenders) if each.label == label)
            progress.update(task, description=label, completed=done * int(load.length) + seconds)

        found = study(title, load, contenders, seed=seed, peak=peak, notes=notes, on_progress=tell)
    if other is not None:
        found.differences.extend(_differences(one, other, found))
    return found


def _differences(one: Case, other: Case, found: Study) -> list[str]:
    said = outcome_in_words(found.endings[0].measures, found.endings[1].measures)
    settings = [
        *changed_settings(one.settings, other.settings),
        *(each for each in changed_settings(one.upstream.queue, other.upstream.queue, "queue.") if each[0] == _WAIT),
    ]
    if one.upstream.pool is not None and other.upstream.pool is not None:
        pool = changed_settings(one.upstream.pool, other.upstream.pool, "pool.")
        # min and max are in the scaling settings already; how processes are made ready is not simulated
        settings += [each for each in pool if each[0] in {"pool.standby", "pool.starts"}]
    words = [setting_in_words(*each) for each in settings]
    return [*said, *(words or ["no setting that matters here differs"])]


def _progress() -> Progress:
    # on standard error, and only where somebody looks: standard output is for what was asked
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _write(path: Path | None, content: bytes) -> None:
    if path is None:
        return
    try:
        path.write_bytes(content)
    except OSError as error:
        _end(ValueError(f"{path}: cannot be written: {error.strerror}"))


def _end(error: Exception) -> NoReturn:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print("error:", end=" ", style="bold red")
    console.print(str(error), markup=False)
    raise typer.Exit(2) from None
