"""Reading a configuration for a command, and saying what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer
from rich.console import Console

from gateway.config.errors import ConfigError
from gateway.config.load import Loaded, load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.config.errors import Problem

USUAL_FILE: Final = Path("gateway.toml")
"""What a command reads when no file is named."""
FILE_HELP: Final = 'The configuration file; "-" is standard input.'
_SMALLEST: Final = """\
there is no gateway.toml here, and no other file is named; the smallest is
  [upstreams.app]
  endpoints = ["http://127.0.0.1:9001"]

  [routes.all]
  upstream = "app"
"""


def load_or_exit(file: Path, *, tell_warnings: bool = True) -> Loaded:
    """Load and print warnings, unless something else does; with problems print them all and end with 2."""
    try:
        loaded = load(file)
    except ConfigError as error:
        _print("error", "bold red", error.problems)
        if file == USUAL_FILE and not file.exists():
            typer.echo(_SMALLEST, err=True, nl=False)
        raise typer.Exit(2) from None
    if tell_warnings:
        _print("warning", "yellow", loaded.warnings)
    return loaded


def _print(word: str, style: str, problems: Iterable[Problem]) -> None:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for problem in problems:
        console.print(f"{word}:", end=" ", style=style)
        console.print(str(problem), markup=False)
