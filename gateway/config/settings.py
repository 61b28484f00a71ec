"""The whole configuration file as data; every part is owned by the room that acts on it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from gateway.admission.classes import ClassSettings
from gateway.admission.limit_settings import Limit
from gateway.admission.rate_settings import RateLimit
from gateway.admission.settings import QueueSettings
from gateway.checks.settings import Health
from gateway.core.units import Seconds, Size
from gateway.http.settings import ClientIp, Limits, Timeouts, Tls
from gateway.keda.settings import KedaSettings
from gateway.pool.settings import Pool
from gateway.resilience.settings import BreakerSettings, HedgeSettings, OutlierSettings, RetrySettings
from gateway.routing.settings import Match
from gateway.scaling.settings import ScalingSettings
from gateway.telemetry.settings import Log
from gateway.upstream.settings import Balance, Connections, Dns, EndpointSettings, UpstreamTimeouts

Name = Annotated[str, Meta(extra={"format": "name"})]
Listen = Annotated[str, Meta(extra={"format": "listen"})]
Host = Annotated[str, Meta(extra={"format": "host"})]
Endpoint = Annotated[str, Meta(extra={"format": "endpoint"})]
# what may be set or removed, and what may not because the gateway owns it (framing, hop-by-hop)
FieldToChange = Annotated[str, Meta(extra={"format": "field_to_change"})]
FieldToRemove = Annotated[str, Meta(extra={"format": "field_to_remove"})]
FieldValue = Annotated[str, Meta(extra={"format": "header_value"})]


class Gateway(Struct, frozen=True, forbid_unknown_fields=True):
    """The proxy's own address and what it takes from clients; ``workers = 0`` means one a core."""

    listen: Annotated[
        tuple[Listen, ...], Meta(min_length=1, description='addresses: "host:port", "[::]:8080" or "unix:/path"')
    ] = ("127.0.0.1:8080",)
    workers: Annotated[int, Meta(ge=0, le=256, description="data-plane processes; 0 = one a core")] = 1
    drain_timeout: Annotated[
        Seconds, Meta(description="requests in flight may finish for this long at the end", extra={"zero": True})
    ] = Seconds(30)
    shutdown_delay: Annotated[
        Seconds,
        Meta(description="at the end readiness fails for this long before the doors close", extra={"zero": True}),
    ] = Seconds(0)
    state_dir: Annotated[
        str,
        Meta(
            description='keeps what limits have learned; auto = $STATE_DIRECTORY or $XDG_STATE_HOME/gateway; "" = none'
        ),
    ] = "auto"
    client_ip: Annotated[ClientIp, Meta(description="who the client is")] = ClientIp()
    max_loops: Annotated[
        int,
        Meta(ge=0, description="times that a request may come round through other routes; on one route never twice"),
    ] = 3
    via: Annotated[
        Literal["both", "response"],
        Meta(
            description="both: Via on requests and responses; response: not on requests, for which nginx does not "
            "compress, and loops through the gateway are not seen"
        ),
    ] = "both"
    limits: Annotated[Limits, Meta(description="the largest things taken from a client")] = Limits()
    timeouts: Annotated[Timeouts, Meta(description="how long a client may take")] = Timeouts()
    tls: Annotated[Tls | None, Meta(description="PEM files to serve TLS with; none = plain HTTP")] = None


class Admin(Struct, frozen=True, forbid_unknown_fields=True):
    """The control process's own address: metrics, health and the administration API."""

    listen: Annotated[Listen, Meta(description="for /metrics, /healthz, /readyz and /v1/…; never public")] = (
        "127.0.0.1:9090"
    )
    hosts: Annotated[
        tuple[Host, ...],
        Meta(
            description="names by which it is asked, beside addresses and names of private networks; others are 421",
            examples=[["gateway.example.com"]],
        ),
    ] = ()
    token_file: Annotated[
        str | None,
        Meta(
            description="holds the token for orders (POST); none = nothing can be changed there",
            extra={"format": "file"},
            examples=["admin.token"],
        ),
    ] = None
    ledger: Annotated[
        str | None,
        Meta(
            description="every scaling decision is appended there as a line of JSON; none = the newest are in memory",
            extra={"format": "file"},
            examples=["decisions.jsonl"],
        ),
    ] = None


class Upstream(Struct, frozen=True, forbid_unknown_fields=True):
    """A named group of servers: fixed ``endpoints``, or a ``pool`` that the gateway runs (not both)."""

    endpoints: Annotated[
        tuple[Endpoint | EndpointSettings, ...],
        Meta(
            description="http://host:port, https://host:port or unix:/path, or a table with url and weight",
            examples=[["http://10.0.0.5:9000", {"url": "http://10.0.0.6:9000", "weight": 2.0}]],
        ),
    ] = ()
    balance: Annotated[Balance, Meta(description="who is asked: see docs/resilience.md")] = "p2c"
    hash_key: Annotated[
        str, Meta(description="with ring_hash: whose requests stay together", extra={"format": "rate_key"})
    ] = "client_ip"
    slow_start: Annotated[
        Seconds, Meta(description="an endpoint that comes gets its whole weight after this long", extra={"zero": True})
    ] = Seconds(5)
    panic_ratio: Annotated[
        float, Meta(ge=0, le=1, description="with less of the weight in rotation than this, everybody is asked")
    ] = 0.5
    timeouts: Annotated[UpstreamTimeouts, Meta(description="how long an endpoint may take")] = UpstreamTimeouts()
    limit: Annotated[Limit, Meta(description="how many requests may be in flight")] = Limit()
    queue: Annotated[QueueSettings, Meta(description="requests that wait when the limit is reached")] = QueueSettings()
    breaker: Annotated[
        BreakerSettings, Meta(description="stops asking what fails; one for each endpoint and one for all")
    ] = BreakerSettings()
    outlier: Annotated[
        OutlierSettings, Meta(description="takes an endpoint out that does much worse than its peers")
    ] = OutlierSettings()
    retry: Annotated[RetrySettings, Meta(description="tries again where that is safe")] = RetrySettings()
    hedge: Annotated[HedgeSettings, Meta(description="asks twice when an answer is late")] = HedgeSettings()
    health: Annotated[Health | None, Meta(description="active checks; none = breakers and peers alone judge")] = None
    dns: Annotated[Dns, Meta(description="how often names are looked up")] = Dns()
    connections: Annotated[Connections, Meta(description="kept-alive connections to one endpoint")] = Connections()
    pool: Annotated[Pool | None, Meta(description="processes that the gateway runs itself, instead of endpoints")] = (
        None
    )
    scaling: Annotated[
        ScalingSettings | None,
        Meta(description="how many replicas; none = signals only, or demand where a pool has max > min"),
    ] = None


class RouteTimeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """How long an endpoint may take for requests of this route, where that is not the upstream's own."""

    head: Annotated[
        Seconds | None, Meta(description="to begin its answer once it has the whole request", examples=["2m"])
    ] = None
    idle: Annotated[Seconds | None, Meta(description="between two pieces of its answer", examples=["10m"])] = None
    tunnel: Annotated[
        Seconds | None, Meta(description="between two pieces in a tunnel (WebSocket)", examples=["1d"])
    ] = None


class RouteLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """The largest things taken from a client for this route, where that is not the gateway's own."""

    body: Annotated[Size | None, Meta(description="a request body, larger or smaller", examples=["1GiB"])] = None


class Route(Struct, frozen=True, forbid_unknown_fields=True):
    """A rule: which requests, where to, and with which policies.

    ``timeout`` is the whole budget of a request including its body; without one every phase has its
    own bound. ``strip_prefix`` and ``rewrite`` change the path that the upstream sees (one of them).
    """

    upstream: Annotated[str, Meta(description="the upstream's name", extra={"format": "name"}, examples=["app"])]
    match: Annotated[Match, Meta(description="which requests")] = Match()
    traffic_class: Annotated[
        str, Meta(description="the class of its requests, one of [classes]", extra={"format": "name"})
    ] = field(name="class", default="default")
    timeout: Annotated[
        Seconds | None,
        Meta(description="the whole budget of a request, body included; none = only the phases", examples=["30s"]),
    ] = None
    timeouts: Annotated[
        RouteTimeouts, Meta(description="how long an endpoint may take here, instead of the upstream's timeouts")
    ] = RouteTimeouts()
    limits: Annotated[
        RouteLimits, Meta(description="the largest things taken here, instead of the gateway's limits")
    ] = RouteLimits()
    stream_keepalive: Annotated[
        Seconds | None,
        Meta(
            description="an event stream that is silent for so long gets a comment between two events; none = never",
            examples=["15s"],
        ),
    ] = None
    class_header: Annotated[
        str | None,
        Meta(
            description="a header by which trusted proxies name the class",
            extra={"format": "header_name"},
            examples=["x-class"],
        ),
    ] = None
    accept_priority: Annotated[
        bool, Meta(description="let clients ask for more or less urgency by Priority: u= (RFC 9218)")
    ] = False
    rate_limits: Annotated[
        tuple[RateLimit, ...],
        Meta(
            description="quotas; all of them must let a request pass",
            examples=[
                [{"name": "per-client", "key": "client_ip", "rate": "50/s", "burst": 100, "cost": 1, "mode": "enforce"}]
            ],
        ),
    ] = ()
    buffer_request: Annotated[
        Size | None,
        Meta(
            description="bodies up to this are read before admission; none = those of known length up to 64 KiB",
            examples=["10MiB"],
        ),
    ] = None
    strip_prefix: Annotated[
        str | None,
        Meta(
            description="removed from the path that the upstream sees, which learns it by X-Forwarded-Prefix",
            examples=["/api"],
        ),
    ] = None
    rewrite_location: Annotated[
        bool, Meta(description="with strip_prefix: Location in answers gets the prefix that the service does not know")
    ] = True
    rewrite: Annotated[str | None, Meta(description="the path that the upstream sees, instead", examples=["/v2/*"])] = (
        None
    )
    set_headers: Annotated[
        dict[FieldToChange, FieldValue],
        Meta(description="fields set on the request", examples=[{"x-from": "gateway"}]),
    ] = field(default_factory=dict)
    remove_headers: Annotated[
        tuple[FieldToRemove, ...], Meta(description="fields removed from the request", examples=[["x-debug"]])
    ] = ()
    set_response_headers: Annotated[
        dict[FieldToChange, FieldValue],
        Meta(description="fields set on the response", examples=[{"x-frame-options": "DENY"}]),
    ] = field(default_factory=dict)
    remove_response_headers: Annotated[
        tuple[FieldToRemove, ...], Meta(description="fields removed from the response", examples=[["x-powered-by"]])
    ] = ()


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """One configuration file."""

    upstreams: Annotated[dict[Name, Upstream], Meta(min_length=1, description="named groups of servers")]
    routes: Annotated[dict[Name, Route], Meta(min_length=1, description="rules: which requests go where")]
    classes: Annotated[
        dict[Name, ClassSettings], Meta(description="priority classes; there is always one named default")
    ] = field(default_factory=dict)
    gateway: Annotated[Gateway, Meta(description="the proxy's own address and what it takes from clients")] = Gateway()
    admin: Annotated[Admin, Meta(description="the control process's own address")] = Admin()
    log: Annotated[Log, Meta(description="lines on standard error")] = Log()
    keda: Annotated[KedaSettings | None, Meta(description="an external scaler for KEDA; none = it is not there")] = None
