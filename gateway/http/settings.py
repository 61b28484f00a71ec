"""What the operator may say about talking HTTP with clients."""

from __future__ import annotations

from msgspec import Struct

from gateway.core.units import Seconds, Size


class ClientIp(Struct, frozen=True, forbid_unknown_fields=True):
    """Who the client is: ``trusted_proxies`` are networks whose forwarding fields are believed."""

    trusted_proxies: tuple[str, ...] = ()
    ipv6_prefix: int = 64


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """The largest things taken from a client.

    ``connections`` counts for the whole gateway, ``connections_per_client`` for one address (an IPv6
    client is its prefix; 0 = no limit); ``head`` is the request line and all fields.
    """

    connections: int = 10000
    connections_per_client: int = 0
    head: Size = Size(32 * 1024)
    headers: int = 100
    target: Size = Size(8 * 1024)
    body: Size = Size(64 * 1024 * 1024)


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """How long a client may take: ``head`` for a whole request head, ``body_idle`` between two pieces
    of a body in either direction, ``keepalive`` between two requests."""

    head: Seconds = Seconds(10)
    body_idle: Seconds = Seconds(30)
    keepalive: Seconds = Seconds(75)


class Tls(Struct, frozen=True, forbid_unknown_fields=True):
    """PEM files to serve TLS with."""

    certificate: str
    key: str
