"""What a data plane counts on the path: plain integers, read out as one snapshot.

Nothing here knows Prometheus. A worker sends its snapshot to the control process several times a
second; the collector there turns the sum over all workers into metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from gateway.core.histogram import Histogram

if TYPE_CHECKING:
    from gateway.core.outcome import Outcome

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
NO_ROUTE: Final = "(none)"


class HistogramSnapshot(Struct):
    """A histogram read out: counts per bucket (not cumulative, one more than the bounds) and their sum."""

    counts: list[int]
    total: float


class Decision(Struct):
    """One refusal with everything that was known at the time. ``at`` is wall time; times are in seconds."""

    at: float
    route: str
    upstream: str
    traffic_class: str
    reason: str
    mode: str
    rule: str
    observed: float
    allowed: float
    retry_after: int
    in_flight: int = 0
    limit: int = 0
    queued: int = 0
    drain_rate: float = 0.0
    latency: float = 0.0


class GateSnapshot(Struct):
    """One upstream's gate: who waited, who was turned away, why the limit moved; and its state now."""

    # counters
    waits: dict[str, HistogramSnapshot] = field(default_factory=dict)  # by class
    shed: list[tuple[str, str, str, int]] = field(default_factory=list)  # class, reason, mode, n
    limit_changes: dict[str, int] = field(default_factory=dict)  # by reason
    # gauges
    queued: dict[str, int] = field(default_factory=dict)  # by class
    queued_bytes: int = 0
    limit: int = 0


class Step(Struct):
    """The last change of a breaker's state: when (wall time), why, and on whose order with which words, if any."""

    before: str
    after: str
    reason: str
    at: float
    actor: str = ""
    note: str = ""


class EndpointSnapshot(Struct):
    """One endpoint, or (with an empty name) the whole upstream: its breaker, its ejections; and its state now."""

    # counters
    transitions: list[tuple[str, str, str, int]] = field(default_factory=list)  # from, to, reason, n
    shadow_refused: int = 0  # attempts that it would have refused but for its mode
    ejections: list[tuple[str, str, int]] = field(default_factory=list)  # reason, mode, n
    # gauges
    states: dict[str, int] = field(default_factory=dict)  # breaker state -> workers in it
    in_rotation: int = 0  # workers that ask it
    share: float = 0.0  # weight in force ÷ weight, summed over workers
    in_flight: int = 0
    last: Step | None = None  # the newest of all workers


class ResilienceSnapshot(Struct):
    """One upstream's attempts: how they ended, what was tried again, what was hedged."""

    # counters
    firsts: int = 0
    attempts: dict[str, int] = field(default_factory=dict)  # by outcome
    retries: dict[str, int] = field(default_factory=dict)  # by reason
    denied: dict[str, int] = field(default_factory=dict)  # retries not made, by verdict
    hedges: dict[str, int] = field(default_factory=dict)  # by who won: "hedge", "first", "nobody"
    endpoints: dict[str, EndpointSnapshot] = field(default_factory=dict)  # by url; "" is the upstream; and gauges
    # gauges
    budget: float = 0.0  # retries and hedges ÷ requests of the last ten seconds, summed over workers
    is_panicking: int = 0  # workers that ask everybody


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
    rate_limited: list[tuple[str, str, str, int]] = field(default_factory=list)  # route, rule, mode, n
    gates: dict[str, GateSnapshot] = field(default_factory=dict)  # by upstream; counters and gauges
    resilience: dict[str, ResilienceSnapshot] = field(default_factory=dict)  # by upstream; counters and gauges
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
    """One upstream's requests in flight, its latency without our queue, and its attempts.

    ``firsts`` are requests that had an attempt, ``good_attempts`` those attempts that were a success.
    """

    __slots__ = (
        "_bad_attempts",
        "_waits",
        "denied",
        "firsts",
        "good_attempts",
        "hedges",
        "in_flight",
        "retries",
        "seconds",
        "shed",
    )

    def __init__(self) -> None:
        self.in_flight = 0
        self.firsts = 0
        self.good_attempts = 0
        self._bad_attempts: dict[str, int] = {}
        self.retries: dict[str, int] = {}
        self.denied: dict[str, int] = {}
        self.hedges: dict[str, int] = {}
        self.seconds = Histogram()
        self.shed: dict[tuple[str, str, str], int] = {}
        self._waits: dict[str, Histogram] = {}

    def wait(self, traffic_class: str) -> Histogram:
        """How long requests of this class waited for admission."""
        found = self._waits.get(traffic_class)
        if found is None:
            found = self._waits[traffic_class] = Histogram()
        return found

    def count_shed(self, traffic_class: str, reason: str, mode: str) -> None:
        """Count one request that the gate turned away, or would have in shadow mode."""
        key = (traffic_class, reason, mode)
        self.shed[key] = self.shed.get(key, 0) + 1

    def count_bad_attempt(self, outcome: Outcome) -> None:
        """Count one attempt that was no success."""
        self._bad_attempts[outcome.value] = self._bad_attempts.get(outcome.value, 0) + 1

    def count_retry(self, reason: str) -> None:
        """Count one more attempt at a request, by the reason for which the one before it failed."""
        self.retries[reason] = self.retries.get(reason, 0) + 1

    def count_denied(self, verdict: str) -> None:
        """Count one failed attempt that was not made good, by the word for why not."""
        self.denied[verdict] = self.denied.get(verdict, 0) + 1

    def count_hedge(self, won: str) -> None:
        """Count one hedged request by who won."""
        self.hedges[won] = self.hedges.get(won, 0) + 1

    def read_attempts(self) -> ResilienceSnapshot:
        """What was counted of attempts; breakers and endpoints are for the plane to add."""
        return ResilienceSnapshot(
            firsts=self.firsts,
            attempts={"success": self.good_attempts, **self._bad_attempts},
            retries=dict(self.retries),
            denied=dict(self.denied),
            hedges=dict(self.hedges),
        )

    def read(self) -> GateSnapshot:
        """What was counted at the gate; its state now is for the plane to add."""
        return GateSnapshot(
            waits={name: _read(found) for name, found in self._waits.items()},
            shed=[(*key, n) for key, n in self.shed.items()],
        )


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
            gates={name: upstream.read() for name, upstream in self.upstreams.items()},
            resilience={name: upstream.read_attempts() for name, upstream in self.upstreams.items()},
            connections=connections,
            in_flight={name: upstream.in_flight for name, upstream in self.upstreams.items()},
        )


def _read(histogram: Histogram) -> HistogramSnapshot:
    return HistogramSnapshot(list(histogram.counts), histogram.total)
