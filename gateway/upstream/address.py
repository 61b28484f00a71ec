"""Where an endpoint listens: one URL, taken apart."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit

_LOOPBACK: Final = ("127.0.0.1", "::1")


class Address(NamedTuple):
    """A TCP or unix-socket address; ``path`` is set for unix sockets only."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """What a Host field says when the client sent none."""
        if self.path:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What to connect to, in turn: ``localhost`` is both families whatever files say (RFC 6761 §6.3)."""
        return _LOOPBACK if is_loopback_name(self.host) else (self.host,)


def is_loopback_name(host: str) -> bool:
    """Whether it is ``localhost`` or a name below it."""
    name = host.removesuffix(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def parse_address(url: str) -> Address:
    """Take apart ``http://host[:port]``, ``https://host[:port]`` or ``unix:/path``; ValueError otherwise.

    A ``#name`` behind it, which tells two names of one address apart, says nothing of where it is.
    """
    if url.startswith("unix:"):
        path = url.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            message = "a unix socket needs an absolute path, such as unix:/run/app.sock"
            raise ValueError(message)
        return Address("http", "", 0, path)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        message = "an endpoint begins with http://, https:// or unix:"
        raise ValueError(message)
    if not parts.hostname or parts.username is not None or parts.path not in ("", "/") or parts.query:
        message = "an endpoint is a scheme, a host and a port, such as http://127.0.0.1:9001"
        raise ValueError(message)
    return Address(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
