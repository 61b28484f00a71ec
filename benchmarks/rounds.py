"""What benchmarks of proxies in rounds share: their options, who takes part, what is read off, what is kept."""

from __future__ import annotations

import argparse
import json
import platform
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from rich.console import Console

from benchmarks.processes import CORES
from benchmarks.table import Row, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from benchmarks.peers import Peer

_Trial = TypeVar("_Trial")
_console = Console(stderr=True, width=160, highlight=False)


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    _console.print(text)


class Measure(NamedTuple, Generic[_Trial]):
    """A row of the table: its name with the unit, how it is read off a trial, and what ours must be."""

    name: str
    read: Callable[[_Trial], float | None]
    targets: tuple[Target, ...] = ()
    digits: int = 0

    def row(self) -> Row:
        """The row, with no figures yet."""
        return Row(self.name, {}, self.targets, self.digits)


def note(rows: Sequence[Row], measures: Sequence[Measure[_Trial]], proxy: str, trial: _Trial) -> None:
    """Read a trial of this proxy into the rows of these measures."""
    for row, measure in zip(rows, measures, strict=True):
        value = measure.read(trial)
        if value is not None:
            row.figures.setdefault(proxy, []).append(value)


class Words(NamedTuple):
    """What ``--help`` says of a benchmark's own: what is quick, what there is to choose from, what a file holds."""

    quick: str
    only: str
    peers: Sequence[str]
    file: str


def options(module: str, about: str | None, words: Words, *, rounds: int) -> argparse.ArgumentParser:
    """The command line that all of them understand; ``about`` is the module's docstring."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=(about or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help=words.quick)
    parser.add_argument("--only", default="", help=words.only)
    parser.add_argument("--peers", default="", help=f"some of {','.join(words.peers)}")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"rounds to take the median of ({rounds})")
    parser.add_argument("--json", default="", metavar="FILE", help=words.file)
    return parser


def chosen(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """The known names that a list with commas means, whole or how they begin; all of them when it is empty."""
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    for name in wanted:
        if not any(each.startswith(name) for each in known):
            sys.exit(f"{name!r} is unknown; known: {', '.join(known)}")
    exact = {name for name in wanted if name in known}
    begun = tuple(name for name in wanted if name not in known)
    return tuple(each for each in known if not wanted or each in exact or (begun and each.startswith(begun)))


def installed(names: Sequence[str], program: Callable[[str], Peer | None]) -> list[str]:
    """Those whose program is here (None: it needs none), and says how to get the others."""
    found = []
    for name in names:
        peer = program(name)
        if peer is not None and peer.find() is None:
            say(f"{name}: skipped, not installed; get it with: {peer.install}")
        else:
            found.append(name)
    return found


@contextmanager
def scratch(prefix: str, directory: str | None = None) -> Iterator[Path]:
    """A directory for a while; whoever ends this program early ends what it started, too."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix=prefix, dir=directory) as name:
        path = Path(name)
        path.chmod(0o755)  # nginx started by root works as nobody
        yield path


def keep(path: str, rounds: int, found: Mapping[str, Any]) -> None:
    """Write what was found to this file, if there is to be one, and on which machine."""
    if path:
        machine = {"platform": platform.platform(), "cores": len(CORES), "python": platform.python_version()}
        data = {"machine": machine, "rounds": rounds, **found}
        Path(path).write_text(json.dumps(data, indent=1) + "\n")
