"""What a worker says it has counted: the words in which snapshots travel and are summed.

A worker sends its snapshot to the control process several times a second; the collector there turns the sum
over all workers into metrics. Counters only grow, gauges are as of now; a partial snapshot leaves out the upstreams and
routes that have not changed.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct, field

NO_ROUTE: Final = "(none)"
"""The route of requests that match none."""


_PARTS: Final = 1 << 20


def exact(amount: float) -> float:
    """To 2^-20: sums of such multiples are the same in any order, so that no counter falls by rounding."""
    return round(amount * _PARTS) / _PARTS


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
    streams: int = 0
    limit: int = 0
    is_limit_guessed: bool = False  # nothing was learned yet
    remembered: dict[str, Any] = field(default_factory=dict)  # what the limit has learned; empty in sums


class Step(Struct):
    """The last change of a breaker's state: when (wall time), why, and on whose order with which words, if any."""

    before: str
    after: str
    reason: str
    at: float
    actor: str = ""
    note: str = ""


class FailureSnapshot(Struct):
    """What went wrong last at an endpoint: the reason word, what was seen, and when (wall time)."""

    reason: str
    detail: str
    at: float


class EndpointSnapshot(Struct):
    """One endpoint, or (with an empty name) the whole upstream: its breaker, its ejections; and its state now."""

    # counters
    transitions: list[tuple[str, str, str, int]] = field(default_factory=list)  # from, to, reason, n
    shadow_refused: int = 0  # attempts that it would have refused but for its mode
    ejections: list[tuple[str, str, int]] = field(default_factory=list)  # reason, mode, n
    served: int = 0  # complete answers that came from it since it became an endpoint
    # gauges
    states: dict[str, int] = field(default_factory=dict)  # breaker state -> workers in it
    in_rotation: int = 0  # workers that ask it
    share: float = 0.0  # weight in force ÷ weight, summed over workers
    in_flight: int = 0
    last: Step | None = None  # the newest of all workers
    failure: FailureSnapshot | None = None  # the same
    reported: dict[str, float] = field(default_factory=dict)  # what it says of its own load, to one of the workers


class RouteSnapshot(Struct):
    """The breakers of one route and of its pages, which there are only while something there fails."""

    # counters
    transitions: list[tuple[str, str, str, int]] = field(default_factory=list)  # from, to, reason, n
    # gauges
    states: dict[str, dict[str, int]] = field(default_factory=dict)  # page ("" = the route) -> state -> workers
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
    routes: dict[str, RouteSnapshot] = field(default_factory=dict)  # by route, where anything ever failed; and gauges
    # gauges
    budget: float = 0.0  # retries and hedges ÷ requests of the last ten seconds, summed over workers
    is_panicking: int = 0  # workers that ask everybody
    is_shut: int = 0  # workers that ask nobody
    order: int = 0  # the newest order about endpoints that the worker has obeyed; 0 in sums
    departing: dict[str, int] = field(default_factory=dict)  # by url: what is under way at endpoints that left


class LoadSnapshot(Struct):
    """One upstream's load in one worker; the sum over workers is that of the gateway, the oldest age the largest."""

    # counters
    first_tries: float = 0.0
    retries: float = 0.0  # our own further attempts, and requests that a trusted caller says are repeats
    dispatched: float = 0.0  # attempts
    good: float = 0.0
    bad: float = 0.0
    failed: float = 0.0
    finished: float = 0.0  # attempts
    service_time: float = 0.0
    service_squares: float = 0.0
    arrival_steps: float = 0.0
    queued_time: float = 0.0
    in_flight_time: float = 0.0
    shed: dict[str, int] = field(default_factory=dict)  # by reason
    delays: list[int] = field(default_factory=list)  # by the bounds of the latency histogram
    # gauges
    queued: int = 0
    in_flight: int = 0
    streams: int = 0
    oldest_age: float = 0.0


class Snapshot(Struct):
    """Everything that one worker counted since it started. Counters only grow; gauges are as of now."""

    # counters
    requests: list[tuple[str, str, int, int]] = field(default_factory=list)  # route, method, code, n
    errors: list[tuple[str, str, int]] = field(default_factory=list)  # route, reason, n
    bytes: dict[str, int] = field(default_factory=dict)  # direction -> bytes
    request_seconds: dict[str, HistogramSnapshot] = field(default_factory=dict)  # by route, of good answers
    request_seconds_apart: dict[str, dict[str, HistogramSnapshot]] = field(default_factory=dict)  # of others, by ending
    upstream_seconds: dict[str, HistogramSnapshot] = field(default_factory=dict)  # by upstream
    loop_lag_seconds: HistogramSnapshot | None = None
    accepted: int = 0
    upstream_opened: int = 0
    rate_limited: list[tuple[str, str, str, int]] = field(default_factory=list)  # route, rule, mode, n
    gates: dict[str, GateSnapshot] = field(default_factory=dict)  # by upstream; counters and gauges
    resilience: dict[str, ResilienceSnapshot] = field(default_factory=dict)  # by upstream; counters and gauges
    loads: dict[str, LoadSnapshot] = field(default_factory=dict)  # by upstream; counters and gauges
    is_partial: bool = False  # upstreams and routes that it does not name are as they were
    # gauges
    at: float = 0.0  # when it was taken, on the clock of the machine; of a sum, the newest
    strain: float = 0.0  # how full the worker itself is, 1.0 = full; of a sum, the fullest
    connections: list[tuple[str, str, int]] = field(default_factory=list)  # side, state, n
    in_flight: dict[str, int] = field(default_factory=dict)  # by upstream
