"""The command line as a whole."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway import __version__
from gateway.cli import streams
from gateway.cli.check import check
from gateway.cli.drill import drill
from gateway.cli.explain import explain
from gateway.cli.run import run
from gateway.cli.schema import schema
from gateway.cli.simulate import simulate

app = typer.Typer(
    name="gateway",
    help="An admission-control reverse proxy for Python services.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,  # its tracebacks show local variables, which may be secrets
)
app.command()(run)
app.command()(check)
app.command()(explain)
app.command()(schema)
app.command()(simulate)
app.command()(drill)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"gateway {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and end.",
            callback=lambda wanted: _print_version(wanted=wanted),
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Protect a service from more than it can serve."""


def main() -> None:
    """Run the command that was typed."""
    streams.open_missing()
    streams.run(app)
