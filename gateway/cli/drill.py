"""``gateway drill [FILE]``: a load that climbs, and whether the service survived it."""

from __future__ import annotations

import asyncio
import signal
import sys
import termios
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from random import Random
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer
from msgspec import json
from rich.console import Console
from rich.live import Live

from gateway.cli.configuration import load_or_exit
from gateway.cli.drill_target import Target, answers, target_of
from gateway.cli.streams import Output
from gateway.config.document import STANDARD_INPUT
from gateway.core.clock import SystemClock
from gateway.drill.drill import Drill
from gateway.drill.gateway_process import CannotStart, started
from gateway.drill.screen import Screen
from gateway.drill.shape import HIGHEST_RATE, LONGEST, Ramp, phases

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from gateway.drill.gateway_process import Started
    from gateway.drill.shape import Phase
    from gateway.drill.verdict import Verdict

_SHORTEST: Final = 5.0
_LOG_EVERY: Final = 1.0
_SIGNALLED: Final = 128
"""What a shell adds to the number of a signal that ended a program."""


class _Wish(NamedTuple):
    load: tuple[Phase, ...]
    path: str
    host: str
    upstream: str
    seed: int
    is_plain: bool
    json_file: Path | None


def drill(  # noqa: PLR0913, PLR0917 - a command line
    file: Annotated[
        Path | None, typer.Argument(help="A configuration; its gateway is started unless it listens already.")
    ] = None,
    url: Annotated[str, typer.Option(help="Where to send, without a file.", metavar="URL")] = "http://127.0.0.1:8080",
    admin: Annotated[
        str, typer.Option(help="Where to ask what the gateway sees, without a file.", metavar="URL")
    ] = "http://127.0.0.1:9090",
    rate: Annotated[
        float, typer.Option(help="Requests per second at the top.", min=0.1, max=HIGHEST_RATE, metavar="R")
    ] = 300.0,
    calm: Annotated[
        float | None, typer.Option(help="Requests per second before and after; a tenth if not said.", min=0.0)
    ] = None,
    ramp: Annotated[Ramp, typer.Option(help="How the load climbs.")] = "linear",
    seconds: Annotated[float, typer.Option(help="How long in all.", min=_SHORTEST, max=LONGEST, metavar="N")] = 60.0,
    path: Annotated[str, typer.Option(help="What is asked for.")] = "/",
    host: Annotated[str, typer.Option(help="The Host field, where routes need one.")] = "",
    upstream: Annotated[str, typer.Option(help="Whose signals to show; the busiest if not said.")] = "",
    seed: Annotated[int, typer.Option(help="The same seed, the same arrivals.", min=0)] = 1,
    plain: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option("--plain", help="A line a second instead of a picture.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write what was seen.", metavar="FILE")] = None,
    yes: Annotated[  # noqa: FBT002 - a flag
        bool,
        typer.Option("--yes-this-is-mine", help="Send to another machine, too. It is overload: only to what is yours."),
    ] = False,
) -> None:
    """Send a climbing load and say whether the service survived: 0 = it did, 1 = it did not, 2 = cannot be tried.

    A signal that ends it early gives 128 and its number, as in shells: 130 for Ctrl-C.

    It survives when nothing fails that no refusal with a reason explains, when it serves under the highest load as
    much as before, and when it serves everybody again afterwards.
    """
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
        message = "expected a path that begins with / and is percent-encoded"
        raise typer.BadParameter(message, param_hint="--path")
    if not host.isascii() or not host.isprintable() or " " in host:
        message = "expected the name of a host"
        raise typer.BadParameter(message, param_hint="--host")
    if file == STANDARD_INPUT:
        message = "expected the name of a file: the gateway that it starts reads it too"
        raise typer.BadParameter(message, param_hint="file")
    if json_file is not None and (json_file.is_dir() or not json_file.absolute().parent.is_dir()):
        message = f"expected the name of a file in a folder that exists; got {json_file}"
        raise typer.BadParameter(message, param_hint="--json")
    target = Target(url, admin) if file is None else target_of(load_or_exit(file, tell_warnings=False).settings)
    target.check(is_mine=yes)
    console = Output(highlight=False)
    wish = _Wish(
        phases(ramp, rate, seconds, calm), path, host, upstream, seed, plain or not console.is_terminal, json_file
    )
    try:
        code = asyncio.run(_run(file, target, wish, console))
    except CannotStart as error:
        Console(stderr=True, highlight=False).print(f"error: {error}", markup=False)
        raise typer.Exit(2) from None
    raise typer.Exit(code)


async def _run(file: Path | None, target: Target, wish: _Wish, console: Console) -> int:
    stop, clock = asyncio.Event(), SystemClock()
    received: list[int] = []

    def end(number: int) -> None:
        received.append(number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    async with AsyncExitStack() as stack:
        if not await answers(target.url):
            if file is None:
                _say(console, f"nothing listens at {target.url}; name a configuration to start one")
                return 2
            _say(console, f"starting a gateway with {file}")
            own = await _unless(stop, stack.enter_async_context(started(file, clock)))
            if own is None:
                return _SIGNALLED + received[0]
            target = Target(own.proxy, own.admin)
        elif file is not None:
            _say(console, f"a gateway runs at {target.url} already, with whatever configuration; that one is drilled")
        one = Drill(
            target.url,
            wish.load,
            admin=target.admin,
            path=wish.path,
            host=wish.host,
            upstream=wish.upstream,
            rng=Random(wish.seed),  # noqa: S311 - arrivals are no secret
            clock=clock,
        )
        await _shown(one, stop, wish, console)
        found = one.verdict()
        _tell(one, found, console)
        if wish.json_file is not None:
            wish.json_file.write_bytes(json.format(json.encode(_plain(one, found))) + b"\n")
        if stop.is_set() and file is not None:
            _say(console, "ending")
    if received:
        return _SIGNALLED + received[0]
    return 0 if found.is_good else 1


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, Started]) -> Started | None:
    """What ``work`` comes to; None when ``stop`` is set before."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working
        return None
    finally:
        stopping.cancel()


@contextmanager
def _without_echo() -> Iterator[None]:
    """Ctrl-C writes no ``^C`` into the picture, which would break its border."""
    try:
        before = termios.tcgetattr(sys.stdin)
    except (OSError, ValueError, termios.error):  # not a terminal, or closed
        yield
        return
    quiet = [*before[:3], before[3] & ~termios.ECHOCTL, *before[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


async def _shown(one: Drill, stop: asyncio.Event, wish: _Wish, console: Console) -> None:
    screen = Screen(one)
    if not wish.is_plain:
        with (
            _without_echo(),
            Live(screen.picture(), console=console, auto_refresh=False, transient=True) as live,
        ):
            await one.run(stop, lambda: live.update(screen.picture(), refresh=True))
        return
    due = 0.0

    def show() -> None:
        nonlocal due
        if one.elapsed >= due:
            due += _LOG_EVERY
            _say(console, screen.line())

    await one.run(stop, show)


def _tell(one: Drill, found: Verdict, console: Console) -> None:
    console.print(found.words[0], style="bold green" if found.is_good else "bold red")
    for words in found.words[1:]:
        _say(console, f"  - {words}")
    if one.replicas:
        most, last = max(one.replicas), one.replicas[-1]
        _say(console, f"  - replicas that served: {one.replicas[0]} at first, at most {most}, {last} in the end")
    for each in reversed(one.decisions):
        fate = f", {each.fate.replace('_', ' ')}" if each.fate else ""
        _say(console, f"  - decision {each.id}: {each.before} -> {each.after}, {each.reason}{fate}")
    if one.problem:
        _say(console, f"  - {one.problem}")


def _plain(one: Drill, found: Verdict) -> dict[str, object]:
    tally = one.tally
    return {
        "schema": 1,
        "survived": found.is_good,
        "words": found.words,
        "sent": tally.sent,
        "outcomes": {outcome: tally.count(outcome) for outcome in tally.words},
        "reasons": {outcome: dict(words) for outcome, words in tally.words.items()},
        "phases": [
            {**phase._asdict(), **_cohort(one, phase)} for phase in one.load if tally.between(phase.begin, phase.end)
        ],
        "replicas": one.replicas,
        "decisions": [each._asdict() for each in one.decisions],
    }


def _cohort(one: Drill, phase: Phase) -> dict[str, object]:
    cohort = one.tally.between(phase.begin, phase.end)
    return {"offered": cohort.offered, "ended": cohort.ended}


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
