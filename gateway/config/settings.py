"""The whole configuration file as data; every part is owned by the room that acts on it."""

from __future__ import annotations

from msgspec import Struct, field

from gateway.core.units import Seconds
from gateway.http.settings import ClientIp, Limits, Timeouts, Tls
from gateway.pool.settings import Pool
from gateway.routing.settings import Match
from gateway.telemetry.settings import Log
from gateway.upstream.settings import Connections, EndpointSettings, UpstreamTimeouts


class Gateway(Struct, frozen=True, forbid_unknown_fields=True):
    """The proxy's own address and what it takes from clients; ``workers = 0`` means one a core."""

    listen: tuple[str, ...] = ("127.0.0.1:8080",)
    workers: int = 1
    drain_timeout: Seconds = Seconds(30)
    client_ip: ClientIp = ClientIp()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    tls: Tls | None = None


class Admin(Struct, frozen=True, forbid_unknown_fields=True):
    """The control process's own address, for /metrics, /healthz, /readyz and /v1/…"""

    listen: str = "127.0.0.1:9090"


class Upstream(Struct, frozen=True, forbid_unknown_fields=True):
    """A named group of servers: fixed ``endpoints``, or a ``pool`` that the gateway runs (not both)."""

    endpoints: tuple[str | EndpointSettings, ...] = ()
    timeouts: UpstreamTimeouts = UpstreamTimeouts()
    connections: Connections = Connections()
    pool: Pool | None = None


class Route(Struct, frozen=True, forbid_unknown_fields=True):
    """A rule: which requests, where to, and with which policies.

    ``timeout`` is the whole budget of a request including its body; without one every phase has its
    own bound. ``strip_prefix`` and ``rewrite`` change the path that the upstream sees (one of them).
    """

    upstream: str
    match: Match = Match()
    timeout: Seconds | None = None
    strip_prefix: str | None = None
    rewrite: str | None = None
    set_headers: dict[str, str] = field(default_factory=dict)
    remove_headers: tuple[str, ...] = ()
    set_response_headers: dict[str, str] = field(default_factory=dict)
    remove_response_headers: tuple[str, ...] = ()


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """One configuration file."""

    upstreams: dict[str, Upstream]
    routes: dict[str, Route]
    gateway: Gateway = Gateway()
    admin: Admin = Admin()
    log: Log = Log()
