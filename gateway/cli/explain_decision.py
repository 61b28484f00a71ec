"""``gateway explain decision ID``."""

from __future__ import annotations

from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

import typer
from msgspec import MsgspecError, json
from rich.console import Console

from gateway.control.scaling.ledger import read_records
from gateway.control.scaling.record import Record
from gateway.control.scaling.story import from_ledger, story

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE: Final = 5.0


def explain_decision(identity: str, admin: str, ledger: Path | None) -> None:
    """Print who wanted a decision, who tamed it and what became of it; end with 1 when nobody knows it."""
    if ledger is not None and not any(file.is_file() for file in (ledger, ledger.with_name(f"{ledger.name}.1"))):
        message = f"expected the ledger of a gateway (admin.ledger); there is no file {ledger}"
        raise typer.BadParameter(message, param_hint="--ledger")
    try:
        record = _asked(identity, admin) if ledger is None else from_ledger(identity, read_records(ledger))
    except (OSError, HTTPException, MsgspecError, ValueError) as error:
        message = f"{admin} does not answer as a gateway's admin address does: {error}; --ledger FILE reads the file"
        raise typer.BadParameter(message) from None
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if record is None:
        where = f"the newest are in {admin}/v1/decisions" if ledger is None else f"{ledger} does not have it"
        console.print(f"no decision {identity}; {where}")
        raise typer.Exit(1)
    for label, text in story(record):
        console.print(f"{label:<30}", style="bold", end=" ")
        console.print(text)


def _asked(identity: str, admin: str) -> Record | None:
    parts = urlsplit(admin)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = "expected an URL such as http://127.0.0.1:9090"
        raise ValueError(message)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=_PATIENCE)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/v1/decisions/{quote(identity, safe='')}")
        answer = connection.getresponse()
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        return json.decode(answer.read(), type=Record)
    finally:
        connection.close()
