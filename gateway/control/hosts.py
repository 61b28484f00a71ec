"""By which names the admin address may be asked (pure).

A browser asks under the name that the page's author chose, whatever that name resolves to. An address cannot be chosen
like that, nor a name that the public DNS does not have: one without a dot, ``localhost`` (RFC 6761 §6.3), ``internal``,
and what Kubernetes calls its services. Everything else has to be configured.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from gateway.config.addresses import parse_listen

if TYPE_CHECKING:
    from collections.abc import Iterable

_PRIVATE: Final = (".localhost", ".internal", ".svc", ".cluster.local")


class Hosts:
    """Judges Host fields; ``names`` are configured, ``listen`` is the address itself as configured."""

    def __init__(self, names: Iterable[str], listen: str) -> None:
        self._names = {_plain(name) for name in names}
        address = parse_listen(listen)
        # a unix socket is out of a browser's reach
        self._is_private = address.port < 0
        self._names.add(_plain(address.host))

    def allow(self, field: str) -> bool:
        """Whether a Host field, with or without a port, is one of ours; an empty one (HTTP/1.0) is."""
        if self._is_private or not field:
            return True
        name = _name(field)
        return name in self._names or "." not in name or name.endswith(_PRIVATE) or _is_address(name)

    def __repr__(self) -> str:
        return f"<Hosts {' '.join(sorted(self._names))}>"


def _name(field: str) -> str:
    if field.startswith("["):
        return field[1:].partition("]")[0]
    return _plain(field.partition(":")[0] if field.count(":") == 1 else field)


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
