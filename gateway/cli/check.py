"""``gateway check FILE``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import Annotated

import typer

from gateway.cli.configuration import load_or_exit


def check(file: Annotated[Path, typer.Argument(help="The configuration file.")]) -> None:
    """Say everything that is wrong with a configuration file; end with 2 when it cannot be used."""
    loaded = load_or_exit(file)
    counts = (
        _count(len(loaded.settings.routes), "route"),
        _count(len(loaded.settings.upstreams), "upstream"),
        _count(len(loaded.warnings), "warning"),
    )
    typer.echo(f"{file}: good; {', '.join(counts)}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
