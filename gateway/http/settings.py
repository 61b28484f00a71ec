"""What the operator may say about talking HTTP with clients.

Each key carries its one-line explanation, its range and its format; checks, schema and reference read them.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.core.units import Seconds, Size

Network = Annotated[str, Meta(extra={"format": "network"})]
File = Annotated[str, Meta(extra={"format": "file"})]


class ClientIp(Struct, frozen=True, forbid_unknown_fields=True):
    """Who the client is: ``trusted_proxies`` are networks, or ``unix``, whose forwarding fields are believed."""

    trusted_proxies: Annotated[
        tuple[Network, ...],
        Meta(description="networks, or unix, whose forwarding fields are believed", examples=[["10.0.0.0/8", "unix"]]),
    ] = ()
    header: Annotated[
        str,
        Meta(
            description="the field by which they name the client: x-forwarded-for or forwarded (lists, read from the "
            "right), or one that has a single address, such as x-real-ip or cf-connecting-ip",
            extra={"format": "field_to_remove"},
        ),
    ] = "x-forwarded-for"
    ipv6_prefix: Annotated[
        int, Meta(ge=1, le=128, description="an IPv6 client is the network of this many bits around its address")
    ] = 64


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """The largest things taken from a client.

    ``connections`` counts for the whole gateway, ``connections_per_client`` for one address (an IPv6
    client is its prefix; 0 = no limit); ``head`` is the request line and all fields.
    """

    connections: Annotated[int, Meta(ge=1, description="open client connections, for the whole gateway")] = 10000
    connections_per_client: Annotated[int, Meta(ge=0, description="the same for one client; 0 = no limit")] = 0
    head: Annotated[Size, Meta(description="the request line and all header fields")] = Size(32 * 1024)
    headers: Annotated[int, Meta(ge=1, description="header fields of one request")] = 100
    target: Annotated[Size, Meta(description="the request target: path and query")] = Size(8 * 1024)
    body: Annotated[Size, Meta(description="a request body")] = Size(64 * 1024 * 1024)


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """How long a client may take.

    ``head`` for a whole request head, ``body_idle`` between two pieces of a body in either direction,
    ``keepalive`` between two requests.
    """

    head: Annotated[Seconds, Meta(description="to send a whole request head")] = Seconds(10)
    body_idle: Annotated[Seconds, Meta(description="between two pieces of a body, in either direction")] = Seconds(30)
    keepalive: Annotated[Seconds, Meta(description="between two requests on one connection")] = Seconds(75)


class Tls(Struct, frozen=True, forbid_unknown_fields=True):
    """PEM files to serve TLS with; relative paths start at the configuration file's folder."""

    certificate: Annotated[File, Meta(description="the certificate chain, as PEM", examples=["tls.crt"])]
    key: Annotated[File, Meta(description="its private key, as PEM, not encrypted", examples=["tls.key"])]
