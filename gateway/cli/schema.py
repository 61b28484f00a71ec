"""``gateway schema``."""

from __future__ import annotations

import json

import typer

from gateway.config import schema as document


def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    typer.echo(json.dumps(document.schema(), indent=2))
