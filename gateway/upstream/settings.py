"""What the operator may say about the servers behind a route."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.core.units import Seconds, Size

Balance = Literal["p2c", "least_in_flight", "round_robin", "ring_hash"]


class EndpointSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One address: ``http://host:port``, ``https://host:port`` or ``unix:/path``; weight is its share, above 0."""

    url: Annotated[
        str, Meta(description="http://host:port, https://host:port or unix:/path", extra={"format": "endpoint"})
    ]
    weight: Annotated[float, Meta(gt=0, le=1000, description="its share among the endpoints")] = 1.0
    host: Annotated[
        str | None,
        Meta(
            description="its name in TLS and in Host fields of our own, where url has an address",
            extra={"format": "host"},
            examples=["shop.example.com"],
        ),
    ] = None


class UpstreamTimeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """How long an endpoint may take.

    To accept a connection, to begin its answer once it has the whole request, between two pieces of it,
    and between two pieces in a tunnel (WebSocket).
    """

    connect: Annotated[Seconds, Meta(description="to accept a connection")] = Seconds(1)
    head: Annotated[Seconds, Meta(description="to begin its answer once it has the whole request")] = Seconds(30)
    idle: Annotated[Seconds, Meta(description="between two pieces of its answer")] = Seconds(60)
    tunnel: Annotated[Seconds, Meta(description="between two pieces in a tunnel (WebSocket)")] = Seconds(3600)


class Connections(Struct, frozen=True, forbid_unknown_fields=True):
    """Kept-alive connections to one endpoint from one worker: how many idle ones, and for how long.

    ``idle_timeout`` stays below the 5 s after which uvicorn closes an idle connection, so that a
    request that cannot be repeated does not meet a closing one. ``head`` bounds a response head.
    """

    max_idle: Annotated[int, Meta(ge=0, description="idle connections kept to one endpoint by one worker")] = 128
    idle_timeout: Annotated[Seconds, Meta(description="an idle connection is closed after this long")] = Seconds(4)
    head: Annotated[Size, Meta(description="the largest response head")] = Size(64 * 1024)


class Dns(Struct, frozen=True, forbid_unknown_fields=True):
    """How often names of endpoints are looked up again: by the TTL of the answer, within these bounds."""

    min_ttl: Annotated[Seconds, Meta(description="a name is not looked up more often")] = Seconds(5)
    max_ttl: Annotated[Seconds, Meta(description="a name is looked up at least this often")] = Seconds(60)
    servers: Annotated[
        tuple[str, ...],
        Meta(description="name servers to ask; none = those of the system", examples=[["127.0.0.1:53"]]),
    ] = ()
