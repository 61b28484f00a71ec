"""Turns a reading, or a part of one, into Prometheus metrics.

Metrics are built when somebody scrapes and kept by nobody. Series that will surely be wanted exist as
zeros from the start, because a counter that appears with its first event has no rate: for each route
its requests (``GET`` and every other method that came, with ``200`` and the statuses that alerts are about) and the
reasons that an upstream, we ourselves or a client can cause there; for requests that match no route the reasons that a
client can cause; for each upstream the retries that were denied. Durations of other outcomes than ``success`` have
series once there is one.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from gateway import __version__
from gateway.core.errors import REASONS
from gateway.core.histogram import LATENCY_BOUNDS
from gateway.core.outcome import Outcome
from gateway.telemetry.counters import GOOD
from gateway.telemetry.load import SHED_REASONS
from gateway.telemetry.signals import help_of, series_of
from gateway.telemetry.snapshot import NO_ROUTE, GateSnapshot, HistogramSnapshot, ResilienceSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.core import Metric

    from gateway.telemetry.reading import Reading


_DIRECTIONS: Final = ("client_in", "client_out", "upstream_in", "upstream_out")
_CLIENT_GONE: Final = 499
DEFAULT_CLASS: Final = "default"
_OUTCOMES: Final = tuple(outcome.value for outcome in Outcome)
_RETRIED: Final = ("connect_refused", "connect_timeout", "upstream_closed", "upstream_status")
_WINNERS: Final = ("first", "hedge", "nobody")
BREAKER_STATES: Final = ("closed", "open", "half_open", "ramping", "forced_open", "forced_closed")
SCALING_MODES: Final = ("off", "observe", "shadow", "live", "pinned")
_DIRECTIONS_OF_LOAD: Final = (("out", "load", "live"), ("in", "surplus", "live"))
_CLIENT_CAUSED: Final = tuple(
    reason for reason, (status, *_) in REASONS.items() if status < _CLIENT_GONE or status in {501, 505, 508}
)
_ROUTE_CAUSED: Final = tuple(reason for reason in REASONS if reason not in _CLIENT_CAUSED)
# What a client can cause once its request has a route.
_IN_A_ROUTE: Final = ("bad_chunk", "body_timeout", "body_too_large", "loop_detected", "rate_limited")
# Statuses that alerts are about.
_ALARMING: Final = (500, 502, 503, 504)
_DENIED: Final = ("not_repeatable", "attempts", "deadline", "budget")
_EMPTY: Final = HistogramSnapshot([0] * (len(LATENCY_BOUNDS) + 1), 0.0)


def of_routes(reading: Reading) -> Iterator[Metric]:
    """What is counted by route, of the routes in the reading."""
    yield from _requests(reading)
    yield from _rate_limits(reading)


def of_upstreams(reading: Reading) -> Iterator[Metric]:
    """What is known of upstreams but for their endpoints, of those in the reading."""
    yield from _in_flight(reading)
    yield from _admission(reading)
    yield from _attempts(reading)
    yield from _routes(reading)
    yield from _counts(reading)


def of_scaling(reading: Reading) -> Iterator[Metric]:
    """Signals and decisions, of the upstreams in the reading."""
    yield from _signals(reading)
    yield from _scaling(reading)


def of_the_rest(reading: Reading) -> Iterator[Metric]:
    """What belongs to no route and no upstream."""
    yield from _whole(reading)
    yield from _connections(reading)
    yield from _workers(reading)
    yield from _ledger(reading)


def _requests(reading: Reading) -> Iterator[Metric]:
    snapshot = reading.snapshot
    names = reading.routes
    requests = CounterMetricFamily(
        "gateway_requests",
        "Requests finished, by route, method and the status that the client got (499: it left).",
        labels=("route", "method", "code"),
    )
    counted = {(route, method, code): n for route, method, code, n in snapshot.requests}
    methods: dict[str, set[str]] = {name: {"GET"} for name in names}
    for route, method, _ in counted:
        methods.setdefault(route, {"GET"}).add(method)
    for name, each in methods.items():
        codes = (404,) if name == NO_ROUTE else (200, *_ALARMING)
        for key in [(name, method, code) for method in sorted(each) for code in codes]:
            counted.setdefault(key, 0)
    for (route, method, code), n in counted.items():
        requests.add_metric((route, method, str(code)), n)
    yield requests

    errors = CounterMetricFamily(
        "gateway_errors",
        "Requests that the gateway answered itself or broke off, by reason word.",
        labels=("route", "reason"),
    )
    wrong = {(route, reason): n for route, reason, n in snapshot.errors}
    for name in names:
        for reason in _CLIENT_CAUSED if name == NO_ROUTE else (*_ROUTE_CAUSED, *_IN_A_ROUTE):
            wrong.setdefault((name, reason), 0)
    for labels, n in wrong.items():
        errors.add_metric(labels, n)
    yield errors

    durations = HistogramMetricFamily(
        "gateway_request_duration_seconds",
        "From a request's first byte to its response's last, by outcome; success is an answer below 400.",
        labels=("route", "outcome"),
    )
    for route, found in _with_zeros(names, snapshot.request_seconds):
        durations.add_metric((route, GOOD), *_buckets(found))
        for word, apart in snapshot.request_seconds_apart.get(route, {}).items():
            durations.add_metric((route, word), *_buckets(apart))
    yield durations


def _in_flight(reading: Reading) -> Iterator[Metric]:
    snapshot = reading.snapshot
    in_flight = GaugeMetricFamily("gateway_in_flight", "Requests admitted and not finished.", labels=("upstream",))
    for upstream, n in {**dict.fromkeys(reading.upstreams, 0), **snapshot.in_flight}.items():
        in_flight.add_metric((upstream,), n)
    yield in_flight

    upstreams = HistogramMetricFamily(
        "gateway_upstream_duration_seconds", "From dispatch to the upstream's last byte.", labels=("upstream",)
    )
    for upstream, found in _with_zeros(reading.upstreams, snapshot.upstream_seconds):
        upstreams.add_metric((upstream,), *_buckets(found))
    yield upstreams


def _whole(reading: Reading) -> Iterator[Metric]:
    snapshot = reading.snapshot
    moved = CounterMetricFamily(
        "gateway_bytes", "Bytes on the wire by direction, heads included, TLS not.", labels=("direction",)
    )
    for direction, n in {**dict.fromkeys(_DIRECTIONS, 0), **snapshot.bytes}.items():
        moved.add_metric((direction,), n)
    yield moved

    lag = HistogramMetricFamily(
        "gateway_loop_lag_seconds",
        "Delay of the workers' event loops behind their 20 ms tick: above 0.1 s they are saturated.",
    )
    lag.add_metric((), *_buckets(snapshot.loop_lag_seconds or _EMPTY))
    yield lag


def _admission(reading: Reading) -> Iterator[Metric]:
    gates = {**{name: GateSnapshot() for name in reading.upstreams}, **reading.snapshot.gates}
    by_class = ("upstream", "class")
    waits = HistogramMetricFamily(
        "gateway_admission_wait_seconds", "From a request's head to its admission.", labels=by_class
    )
    queued = GaugeMetricFamily("gateway_queued", "Requests waiting for admission.", labels=by_class)
    held = GaugeMetricFamily("gateway_queued_bytes", "Bytes of bodies held while waiting.", labels=("upstream",))
    streams = GaugeMetricFamily(
        "gateway_streams",
        "Requests in flight that gave their place in the limit back: tunnels, streams, those held up by their clients.",
        labels=("upstream",),
    )
    limit = GaugeMetricFamily(
        "gateway_concurrency_limit",
        "Requests that may be in flight at once, as the limit stands now.",
        labels=("upstream",),
    )
    changes = CounterMetricFamily(
        "gateway_limit_changes", "Moves of the concurrency limit, by reason word.", labels=("upstream", "reason")
    )
    shed = CounterMetricFamily(
        "gateway_shed",
        "Requests that a gate turned away, or in shadow would have.",
        labels=("upstream", "class", "reason", "mode"),
    )
    for upstream, gate in gates.items():
        for name, found in _with_zeros((DEFAULT_CLASS,), gate.waits):
            waits.add_metric((upstream, name), *_buckets(found))
        for name, n in {DEFAULT_CLASS: 0, **gate.queued}.items():
            queued.add_metric((upstream, name), n)
        held.add_metric((upstream,), gate.queued_bytes)
        streams.add_metric((upstream,), gate.streams)
        if gate.limit:  # none is known yet, or there is none
            limit.add_metric((upstream,), gate.limit)
        for reason, n in gate.limit_changes.items():
            changes.add_metric((upstream, reason), n)
        counted = {(name, reason, mode): n for name, reason, mode, n in gate.shed}
        for name in {DEFAULT_CLASS: None, **gate.waits}:
            for reason in SHED_REASONS:
                counted.setdefault((name, reason, "enforce"), 0)
        for labels, n in counted.items():
            shed.add_metric((upstream, *labels), n)
    yield from (waits, queued, held, streams, limit, changes, shed)


def _rate_limits(reading: Reading) -> Iterator[Metric]:
    limited = CounterMetricFamily(
        "gateway_rate_limited",
        "Requests above a rate limit, by rule; mode shadow counts those that were let pass.",
        labels=("route", "rule", "mode"),
    )
    for route, rule, mode, n in reading.snapshot.rate_limited:
        limited.add_metric((route, rule, mode), n)
    yield limited


def _attempts(reading: Reading) -> Iterator[Metric]:
    upstreams = {**{name: ResilienceSnapshot() for name in reading.upstreams}, **reading.snapshot.resilience}
    attempts = CounterMetricFamily(
        "gateway_attempts",
        "Attempts at endpoints that ended, by outcome; neutral says nothing about the upstream.",
        labels=("upstream", "outcome"),
    )
    retries = CounterMetricFamily(
        "gateway_retries", "Attempts made again, by why the one before failed.", labels=("upstream", "reason")
    )
    denied = CounterMetricFamily(
        "gateway_retries_denied", "Failed attempts that were not made again, by why not.", labels=("upstream", "reason")
    )
    hedges = CounterMetricFamily("gateway_hedges", "Requests asked for twice, by who won.", labels=("upstream", "won"))
    budget = GaugeMetricFamily(
        "gateway_retry_budget_ratio", "Retries and hedges ÷ requests in the last ten seconds.", labels=("upstream",)
    )
    amplification = GaugeMetricFamily(
        "gateway_amplification_ratio", "Attempts ÷ requests since the start.", labels=("upstream",)
    )
    panic = GaugeMetricFamily(
        "gateway_panic",
        "Workers in panic mode: they ask every endpoint, because too few are in rotation.",
        labels=("upstream",),
    )
    workers = max(reading.workers.get("ready", 0), 1)
    for name, found in upstreams.items():
        for outcome, n in {**dict.fromkeys(_OUTCOMES, 0), **found.attempts}.items():
            attempts.add_metric((name, outcome), n)
        for reason, n in {**dict.fromkeys(_RETRIED, 0), **found.retries}.items():
            retries.add_metric((name, reason), n)
        for verdict, n in {**dict.fromkeys(_DENIED, 0), **found.denied}.items():
            denied.add_metric((name, verdict), n)
        for won, n in {**dict.fromkeys(_WINNERS, 0), **found.hedges}.items():
            hedges.add_metric((name, won), n)
        budget.add_metric((name,), found.budget / workers)
        made = found.firsts + sum(found.retries.values()) + sum(found.hedges.values())
        amplification.add_metric((name,), made / found.firsts if found.firsts else 1.0)
        panic.add_metric((name,), found.is_panicking)
    yield from (attempts, retries, denied, hedges, budget, amplification, panic)


def _routes(reading: Reading) -> Iterator[Metric]:
    by_route = ("upstream", "route")
    of_routes = GaugeMetricFamily(
        "gateway_route_breakers",
        "Breakers of a route and its pages in this state, over all workers; none while nothing there fails.",
        labels=(*by_route, "state"),
    )
    route_transitions = CounterMetricFamily(
        "gateway_route_breaker_transitions",
        "Changes of state of the breakers of a route and its pages.",
        labels=(*by_route, "from", "to", "reason"),
    )
    for name, upstream in reading.snapshot.resilience.items():
        for route, watched in upstream.routes.items():
            for word in BREAKER_STATES:
                count = sum(states.get(word, 0) for states in watched.states.values())
                of_routes.add_metric((name, route, word), count)
            for before, after, reason, n in watched.transitions:
                route_transitions.add_metric((name, route, before, after, reason), n)
    yield from (of_routes, route_transitions)


def of_endpoints(reading: Reading) -> Iterator[Metric]:
    """What is known of the endpoints in the reading, and of each upstream's own breaker."""
    by_endpoint = ("upstream", "endpoint")
    state = GaugeMetricFamily(
        "gateway_breaker_state",
        "Workers whose breaker of the endpoint is in this state; an empty endpoint is the whole upstream.",
        labels=(*by_endpoint, "state"),
    )
    transitions = CounterMetricFamily(
        "gateway_breaker_transitions",
        "Changes of the state of an endpoint's breaker, by reason word.",
        labels=(*by_endpoint, "from", "to", "reason"),
    )
    shadow = CounterMetricFamily(
        "gateway_breaker_shadow_refused", "Attempts that a breaker in shadow would have refused.", labels=by_endpoint
    )
    up = GaugeMetricFamily("gateway_endpoint_up", "1 while some worker asks the endpoint.", labels=by_endpoint)
    share = GaugeMetricFamily(
        "gateway_endpoint_weight_ratio", "Weight in force ÷ weight, mean over workers.", labels=by_endpoint
    )
    busy = GaugeMetricFamily("gateway_endpoint_in_flight", "Attempts under way at the endpoint.", labels=by_endpoint)
    reported = GaugeMetricFamily(
        "gateway_endpoint_reported_load",
        "What an endpoint says of its own load (endpoint-load-metrics).",
        labels=(*by_endpoint, "metric"),
    )
    ejections = CounterMetricFamily(
        "gateway_ejections", "Times an endpoint was ejected as an outlier.", labels=(*by_endpoint, "reason", "mode")
    )
    for name, upstream in reading.snapshot.resilience.items():
        for url, found in upstream.endpoints.items():
            for word in BREAKER_STATES:
                state.add_metric((name, url, word), found.states.get(word, 0))
            for before, after, reason, n in found.transitions:
                transitions.add_metric((name, url, before, after, reason), n)
            shadow.add_metric((name, url), found.shadow_refused)
            if not url:
                continue
            workers = sum(found.states.values())
            up.add_metric((name, url), 1 if found.in_rotation else 0)
            share.add_metric((name, url), found.share / workers if workers else 0.0)
            busy.add_metric((name, url), found.in_flight)
            for metric, value in found.reported.items():
                reported.add_metric((name, url, metric), value)
            for reason, mode, n in found.ejections:
                ejections.add_metric((name, url, reason, mode), n)
    yield from (state, transitions, shadow, up, share, busy, reported, ejections)


def _connections(reading: Reading) -> Iterator[Metric]:
    snapshot = reading.snapshot
    connections = GaugeMetricFamily(
        "gateway_connections", "Connections open now, by side (client, upstream) and state.", labels=("side", "state")
    )
    for side, state, n in snapshot.connections:
        connections.add_metric((side, state), n)
    yield connections

    accepted = CounterMetricFamily("gateway_connections_accepted", "Connections accepted from clients.")
    accepted.add_metric((), snapshot.accepted)
    yield accepted

    opened = CounterMetricFamily("gateway_upstream_connections", "Connections opened to endpoints.")
    opened.add_metric((), snapshot.upstream_opened)
    yield opened


def _counts(reading: Reading) -> Iterator[Metric]:
    endpoints = GaugeMetricFamily(
        "gateway_endpoints",
        "Endpoints of an upstream by state; fixed ones are ready, or down by an active check.",
        labels=("upstream", "state"),
    )
    for labels, n in reading.endpoints.items():
        endpoints.add_metric(labels, n)
    yield endpoints

    ends = CounterMetricFamily(
        "gateway_pool_ends",
        "Pool processes that left: drained, forced (still busy, or deaf), crashed.",
        labels=("upstream", "how"),
    )
    for labels, n in reading.pool_ends.items():
        ends.add_metric(labels, n)
    yield ends


def _workers(reading: Reading) -> Iterator[Metric]:
    restarts = CounterMetricFamily("gateway_worker_restarts", "Data-plane workers started again after they died.")
    restarts.add_metric((), reading.restarts)
    yield restarts

    workers = GaugeMetricFamily("gateway_workers", "Data-plane workers of the gateway by state.", labels=("state",))
    for state, n in reading.workers.items():
        workers.add_metric((state,), n)
    yield workers

    memory = GaugeMetricFamily(
        "gateway_worker_resident_memory_bytes", "Resident memory of a data-plane worker.", labels=("worker",)
    )
    files = GaugeMetricFamily(
        "gateway_worker_open_fds", "Open file descriptors of a data-plane worker.", labels=("worker",)
    )
    for number, process in reading.processes.items():
        memory.add_metric((str(number),), process.rss)
        files.add_metric((str(number),), process.fds)
    yield memory
    yield files

    cpu = CounterMetricFamily(
        "gateway_worker_cpu_seconds",
        "Processor time of a data-plane worker, that of its earlier processes included.",
        labels=("worker",),
    )
    for number, seconds in reading.cpu.items():
        cpu.add_metric((str(number),), seconds)
    yield cpu

    build = GaugeMetricFamily("gateway_build_info", "Which gateway this is; always 1.", labels=("version", "python"))
    build.add_metric((__version__, platform.python_version()), 1)
    yield build


def _signals(reading: Reading) -> Iterator[Metric]:
    """Every signal of every upstream, by the same names as in /v1/signals, with units."""
    families: dict[str, GaugeMetricFamily] = {}
    for upstream, target in reading.scaling.items():
        for name, value in target.signals.items():
            series = series_of(name)
            if series is None:
                continue
            family = families.get(series.family)
            if family is None:
                labels = ("upstream", series.label) if series.label else ("upstream",)
                # the same for every upstream, whichever of a family's signals it has
                family = families[series.family] = GaugeMetricFamily(
                    series.family, help_of(series.family), labels=labels
                )
            family.add_metric((upstream, series.value) if series.label else (upstream,), value)
    yield from families.values()


def _scaling(reading: Reading) -> Iterator[Metric]:
    desired = GaugeMetricFamily(
        "gateway_scaling_desired_replicas",
        "Replicas that the last decision step came to, guards included.",
        labels=("upstream",),
    )
    mode = GaugeMetricFamily(
        "gateway_scaling_mode", "1 for the scaling mode in force, 0 for the others.", labels=("upstream", "mode")
    )
    made = CounterMetricFamily(
        "gateway_scaling_decisions",
        "Scaling decisions made, by direction, reason word and mode.",
        labels=("upstream", "direction", "reason", "mode"),
    )
    vetoes = CounterMetricFamily(
        "gateway_scaling_vetoes",
        "Decision steps at which a guard changed a plan, by guard.",
        labels=("upstream", "guard"),
    )
    failures = CounterMetricFamily(
        "gateway_scaling_failures",
        "Scaling decisions that their actuator did not carry out, by reason word.",
        labels=("upstream", "reason"),
    )
    for upstream, target in reading.scaling.items():
        desired.add_metric((upstream,), target.signals["desired_replicas"])
        for word in SCALING_MODES:
            mode.add_metric((upstream, word), word == target.mode)
        for key, n in {**dict.fromkeys(_DIRECTIONS_OF_LOAD, 0), **target.decisions}.items():
            made.add_metric((upstream, *key), n)
        for guard, n in {"calm": 0, **target.vetoes}.items():
            vetoes.add_metric((upstream, guard), n)
        for reason, n in target.failures.items():
            failures.add_metric((upstream, reason), n)
    yield from (desired, mode, made, vetoes, failures)


def _ledger(reading: Reading) -> Iterator[Metric]:
    errors = CounterMetricFamily(
        "gateway_scaling_ledger_errors", "Failed writes of the scaling ledger, [admin] ledger."
    )
    errors.add_metric((), reading.ledger.errors)
    yield errors
    dropped = CounterMetricFamily("gateway_scaling_ledger_dropped", "Scaling decisions that the ledger has lost.")
    dropped.add_metric((), reading.ledger.dropped)
    yield dropped


def _with_zeros(names: Iterable[str], found: dict[str, HistogramSnapshot]) -> Iterable[tuple[str, HistogramSnapshot]]:
    return {**dict.fromkeys(names, _EMPTY), **found}.items()


def _buckets(histogram: HistogramSnapshot) -> tuple[list[tuple[str, float]], float]:
    """Cumulative buckets by upper bound, as text, and the sum of all values."""
    seen = 0
    buckets: list[tuple[str, float]] = []
    for bound, n in zip((*map(str, LATENCY_BOUNDS), "+Inf"), histogram.counts, strict=True):
        seen += n
        buckets.append((bound, seen))
    return buckets, histogram.total
