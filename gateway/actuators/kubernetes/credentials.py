"""Where the API server is, and how we show who we are."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from gateway.actuators.actuator import ActuatorFailed

if TYPE_CHECKING:
    from pathlib import Path


class Credentials(Struct, frozen=True):
    """For one API server; ``tls`` is None only for plain HTTP on loopback."""

    server: str
    """Its URL without a path."""
    token: Callable[[], str | None]
    """The bearer token as it is now, because it may rotate; ActuatorFailed when it cannot be read."""
    tls: ssl.SSLContext | None
    server_name: str | None = None
    """The name in the server's certificate when it is not the one in the URL."""


def no_token() -> None:
    """Where a certificate says who we are."""


def token_from(file: Path) -> Callable[[], str | None]:
    """Reads a token anew each time: the kubelet replaces the file well before the old token ends."""

    def read() -> str:
        return read_text(file, "the token").strip()

    return read


def read_text(file: Path, what: str) -> str:
    """A small file's text; ActuatorFailed when it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        detail = f"{what} cannot be read from {file}: {error.strerror if isinstance(error, OSError) else 'not text'}"
        raise ActuatorFailed("no_credentials", detail) from error


def tls_context(ca: str | None) -> ssl.SSLContext:
    """Checks the server by these PEM certificates, or the system's; ActuatorFailed when they are none."""
    try:
        return ssl.create_default_context(cadata=ca)
    except (ssl.SSLError, ValueError) as error:
        raise ActuatorFailed("no_credentials", "the cluster's CA is not a PEM certificate") from error
