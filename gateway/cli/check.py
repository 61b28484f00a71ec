"""``gateway check FILE``."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.configuration import FILE_HELP, USUAL_FILE, load_or_exit
from gateway.pool.program import OURS, find_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config.settings import Settings


def check(file: Annotated[Path, typer.Argument(help=FILE_HELP)] = USUAL_FILE) -> None:
    """Say everything that is wrong with a configuration file; end with 2 when it cannot be used."""
    loaded = load_or_exit(file)
    counts = (
        _count(len(loaded.settings.routes), "route"),
        _count(len(loaded.settings.upstreams), "upstream"),
        _count(len(loaded.warnings), "warning"),
    )
    typer.echo(f"{loaded.path}: good; {', '.join(counts)}")
    for line in _programs(loaded.settings):
        typer.echo(line)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _programs(settings: Settings) -> Iterator[str]:
    """Which program each pool runs."""
    for name, upstream in settings.upstreams.items():
        if upstream.pool is None:
            continue
        first = upstream.pool.command[0]
        found = f"upstreams.{name}.pool runs {find_program(first)}"
        if first == OURS:
            found += f", Python {platform.python_version()}, which runs the gateway too"
            other = shutil.which(OURS)
            if other is not None and Path(other).parent.resolve() != Path(sys.executable).parent.resolve():
                found += f"; the one in PATH is {other}"
        yield found
