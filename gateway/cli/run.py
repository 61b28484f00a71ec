"""``gateway run FILE``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import Annotated

import typer

from gateway.cli.configuration import load_or_exit


def run(file: Annotated[Path, typer.Argument(help="The configuration file.")]) -> None:
    """Serve until told to end; end with 2 when the configuration cannot be used."""
    loaded = load_or_exit(file, tell_warnings=False)  # the log does, in its own format
    # Only this command needs the processes; the others start faster without them.
    from gateway.control.process import run as serve  # noqa: PLC0415

    raise typer.Exit(serve(loaded, file))
