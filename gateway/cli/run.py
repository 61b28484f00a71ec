"""``gateway run [FILE]``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import Annotated

import typer
from msgspec.structs import replace

from gateway.cli.configuration import FILE_HELP, USUAL_FILE, load_or_exit


def run(
    file: Annotated[Path, typer.Argument(help=FILE_HELP)] = USUAL_FILE,
    forget: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option("--forget", help="Read and keep nothing of what limits learn, whatever state_dir says.")
    ] = False,
) -> None:
    """Serve until told to end; end with 2 when the configuration cannot be used."""
    loaded = load_or_exit(file, tell_warnings=False)  # the log does, in its own format
    if forget:
        gateway = replace(loaded.settings.gateway, state_dir="")
        loaded = loaded._replace(settings=replace(loaded.settings, gateway=gateway))
    # Only this command needs the processes; the others start faster without them.
    from gateway.control.process import run as serve  # noqa: PLC0415

    raise typer.Exit(serve(loaded, file))
