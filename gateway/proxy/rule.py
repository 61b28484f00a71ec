"""A route compiled: everything that the path needs to know about it, looked up once."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

from gateway.admission.rate_fields import policy_field
from gateway.routing.rewrite import PathRewrite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admission.classes import TrafficClass
    from gateway.admission.gate import Gate
    from gateway.admission.limits.by_endpoint import ByEndpoint
    from gateway.admission.priority import ClassChooser
    from gateway.admission.rate_gate import RateGate
    from gateway.admission.rate_key import KeyReader
    from gateway.config.settings import Route
    from gateway.proxy.recovery import Recovery
    from gateway.resilience.failures import Failures
    from gateway.resilience.route import RouteBreakers
    from gateway.telemetry.counters import RouteCounters, UpstreamCounters
    from gateway.upstream.group import UpstreamGroup


class FieldEdit:
    """Fields to take away and to put in; ``added`` is ready to be sent. What is put in replaces its namesakes."""

    __slots__ = ("added", "removed")

    def __init__(self, put: Mapping[str, str], remove: tuple[str, ...]) -> None:
        self.removed = frozenset(name.lower().encode("ascii") for name in (*remove, *put))
        self.added = "".join(f"{name}: {value}\r\n" for name, value in put.items()).encode("utf-8")


class RouteTimes(NamedTuple):
    """How long an endpoint may take for a route that says so itself, in seconds."""

    head_timeout: float
    idle_timeout: float
    tunnel_timeout: float


class RouteRule:
    """One route, ready for use.

    ``via`` says to upstreams who passed a request on, and by which route, ``via_back`` to clients; ``timeout`` is
    ``inf`` when the whole request has no bound of its own, ``times`` is None when the upstream's hold;
    ``stream_keepalive`` is 0 for none; ``has_location`` when answers may need the prefix that was taken away.
    """

    __slots__ = (
        "body_limit",
        "breakers",
        "buffer",
        "chooser",
        "counters",
        "endpoint_limits",
        "failures",
        "fairness",
        "flow",
        "gate",
        "group",
        "has_location",
        "hash_key",
        "name",
        "policy",
        "rates",
        "recovery",
        "request",
        "response",
        "rewrite",
        "stream_keepalive",
        "timeout",
        "times",
        "traffic_class",
        "upstream_counters",
        "via",
        "via_back",
    )

    def __init__(  # noqa: PLR0913 - one place where they meet
        self,
        name: str,
        route: Route,
        *,
        pseudonym: str,
        has_via: bool,
        body_limit: int,
        times: RouteTimes | None,
        group: UpstreamGroup,
        gate: Gate,
        traffic_class: TrafficClass,
        rates: RateGate | None,
        fairness: KeyReader | None,
        hash_key: KeyReader | None,
        recovery: Recovery,
        breakers: RouteBreakers,
        failures: Failures,
        endpoint_limits: ByEndpoint | None = None,
        chooser: ClassChooser | None,
        counters: RouteCounters,
        upstream_counters: UpstreamCounters,
    ) -> None:
        self.name = name
        self.via = f"Via: 1.1 {pseudonym} ({name})\r\n".encode("ascii") if has_via else b""
        self.body_limit = body_limit
        self.times = times
        self.has_location = route.rewrite_location and route.strip_prefix is not None
        self.stream_keepalive = 0.0 if route.stream_keepalive is None else float(route.stream_keepalive)
        self.group = group
        self.gate = gate
        self.traffic_class = traffic_class
        self.rates = rates
        self.fairness = None if fairness is not None and fairness.is_of_route else fairness
        self.flow = name if fairness is not None and fairness.is_of_route else ""
        self.hash_key = hash_key
        self.recovery = recovery
        self.breakers = breakers
        self.failures = failures
        self.endpoint_limits = endpoint_limits
        self.chooser = chooser
        self.policy = "" if rates is None else policy_field(rates)
        self.counters = counters
        self.upstream_counters = upstream_counters
        self.buffer = 0 if route.buffer_request is None else int(route.buffer_request)
        self.timeout = inf if route.timeout is None else float(route.timeout)
        self.rewrite = PathRewrite.compile(route.match, route.strip_prefix, route.rewrite)
        self.request = FieldEdit(route.set_headers, route.remove_headers)
        self.response = FieldEdit(route.set_response_headers, route.remove_response_headers)
        self.via_back = b"" if b"via" in self.response.removed else f"Via: 1.1 {pseudonym}\r\n".encode("ascii")
