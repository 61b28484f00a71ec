"""What the operator may say about the servers behind a route."""

from __future__ import annotations

from msgspec import Struct

from gateway.core.units import Seconds, Size


class EndpointSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One address: ``http://host:port``, ``https://host:port`` or ``unix:/path``; weight is its share, above 0."""

    url: str
    weight: float = 1.0


class UpstreamTimeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """How long an endpoint may take: to accept a connection, to begin its answer, between two pieces of it."""

    connect: Seconds = Seconds(1)
    head: Seconds = Seconds(30)
    idle: Seconds = Seconds(30)


class Connections(Struct, frozen=True, forbid_unknown_fields=True):
    """Kept-alive connections to one endpoint from one worker: how many idle ones, and for how long."""

    max_idle: int = 128
    idle_timeout: Seconds = Seconds(50)
    head: Size = Size(64 * 1024)
