"""What a data plane counts on the path: plain integers, read out as one snapshot.

Nothing here knows Prometheus. A worker sends its snapshot to the control process several times a
second; the collector there turns the sum over all workers into metrics.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from gateway.core.histogram import LATENCY_BOUNDS, Histogram

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
NO_ROUTE: Final = "(none)"


class HistogramSnapshot(Struct):
    """A histogram read out: counts per bucket (not cumulative, one more than the bounds) and their sum."""

    counts: list[int]
    total: float


class Snapshot(Struct):
    """Everything that one worker counted since it started. Counters only grow; gauges are as of now."""

    # counters
    requests: list[tuple[str, str, int, int]] = field(default_factory=list)  # route, method, code, n
    errors: list[tuple[str, str, int]] = field(default_factory=list)  # route, reason, n
    bytes: dict[str, int] = field(default_factory=dict)  # direction -> bytes
    request_seconds: dict[str, HistogramSnapshot] = field(default_factory=dict)  # by route
    upstream_seconds: dict[str, HistogramSnapshot] = field(default_factory=dict)  # by upstream
    loop_lag_seconds: HistogramSnapshot | None = None
    accepted: int = 0
    upstream_opened: int = 0
    # gauges
    connections: list[tuple[str, str, int]] = field(default_factory=list)  # side, state, n
    in_flight: dict[str, int] = field(default_factory=dict)  # by upstream


class RouteCounters:
    """One route's requests by method and code, its errors by reason, and its latency."""

    __slots__ = ("errors", "requests", "seconds")

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {}
        self.errors: dict[str, int] = {}
        self.seconds = Histogram()

    def count(self, method: str, code: int, seconds: float) -> None:
        """Count one finished request; ``seconds`` from its first byte to its last."""
        if method not in METHODS:
            method = "other"
        key = (method, code)
        requests = self.requests
        requests[key] = requests.get(key, 0) + 1
        self.seconds.observe(seconds)

    def count_error(self, reason: str) -> None:
        """Count one request that we answered or broke off, by its reason word."""
        self.errors[reason] = self.errors.get(reason, 0) + 1


class UpstreamCounters:
    """One upstream's requests in flight and its latency without our queue."""

    __slots__ = ("in_flight", "seconds")

    def __init__(self) -> None:
        self.in_flight = 0
        self.seconds = Histogram()


class Counters:
    """All counters of one data plane. Byte counts are payload on the wire, heads included."""

    __slots__ = (
        "accepted",
        "client_in",
        "client_out",
        "loop_lag",
        "routes",
        "upstream_in",
        "upstream_opened",
        "upstream_out",
        "upstreams",
    )

    def __init__(self) -> None:
        self.routes: dict[str, RouteCounters] = {NO_ROUTE: RouteCounters()}
        self.upstreams: dict[str, UpstreamCounters] = {}
        self.loop_lag = Histogram()
        self.accepted = 0
        self.upstream_opened = 0
        self.client_in = 0
        self.client_out = 0
        self.upstream_in = 0
        self.upstream_out = 0

    def route(self, name: str) -> RouteCounters:
        """The counters of the route with this name, made at first sight."""
        return self.routes.setdefault(name, RouteCounters())

    def upstream(self, name: str) -> UpstreamCounters:
        """The counters of the upstream with this name, made at first sight."""
        return self.upstreams.setdefault(name, UpstreamCounters())

    def snapshot(self, connections: list[tuple[str, str, int]]) -> Snapshot:
        """Read everything out; ``connections`` are (side, state, n) as the plane counts them now."""
        return Snapshot(
            requests=[
                (name, method, code, n)
                for name, route in self.routes.items()
                for (method, code), n in route.requests.items()
            ],
            errors=[(name, reason, n) for name, route in self.routes.items() for reason, n in route.errors.items()],
            bytes={
                "client_in": self.client_in,
                "client_out": self.client_out,
                "upstream_in": self.upstream_in,
                "upstream_out": self.upstream_out,
            },
            request_seconds={name: _read(route.seconds) for name, route in self.routes.items()},
            upstream_seconds={name: _read(upstream.seconds) for name, upstream in self.upstreams.items()},
            loop_lag_seconds=_read(self.loop_lag),
            accepted=self.accepted,
            upstream_opened=self.upstream_opened,
            connections=connections,
            in_flight={name: upstream.in_flight for name, upstream in self.upstreams.items()},
        )


def _read(histogram: Histogram) -> HistogramSnapshot:
    return HistogramSnapshot(list(histogram.counts), histogram.total)


__all__ = [
    "LATENCY_BOUNDS",
    "METHODS",
    "NO_ROUTE",
    "Counters",
    "HistogramSnapshot",
    "RouteCounters",
    "Snapshot",
    "UpstreamCounters",
]
