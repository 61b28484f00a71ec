"""Turns a reading into Prometheus metrics; the only file that knows prometheus_client.

Metrics are built when somebody scrapes and kept by nobody. Series that will surely be wanted exist as
zeros from the start, because a counter that appears with its first event has no rate: for each route
its requests (``GET``, ``200``) and the reasons that an upstream or we ourselves can cause; for requests
that match no route the reasons that a client can cause.
"""

from __future__ import annotations

import platform
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics
from gateway import __version__
from gateway.core.errors import REASONS
from gateway.core.histogram import LATENCY_BOUNDS
from gateway.core.outcome import Outcome
from gateway.telemetry.load import SHED_REASONS
from gateway.telemetry.reading import Reading
from gateway.telemetry.signals import series_of
from gateway.telemetry.snapshot import NO_ROUTE, GateSnapshot, HistogramSnapshot, ResilienceSnapshot, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.core import Metric

Row = tuple[Any, ...]
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = openmetrics.CONTENT_TYPE_LATEST

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
_ENDPOINTS_AT_ONCE: Final = 50
_FAMILIES_AT_ONCE: Final = 4
_EMPTY: Final = HistogramSnapshot([0] * (len(LATENCY_BOUNDS) + 1), 0.0)


class Exposition:
    """Answers scrapes from ``read``, and from this process's own figures in ``/proc``.

    The text is made piece by piece: of each route, of each upstream, of the rest. A piece whose figures are the same
    objects as at the last scrape is kept, so that what is idle costs nothing; ``rendered`` counts those made.
    ``settle`` is run before, for ``read`` to be quick.
    """

    def __init__(self, read: Callable[[], Reading], settle: Callable[[], Iterable[None]] | None = None) -> None:
        self._read = read
        self._settle = settle
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)
        self._kept: dict[str, dict[tuple[str, str, int], _Piece]] = {}
        self.rendered = 0

    def answer(self, accept: str) -> tuple[str, bytes]:
        """Content type and body for a scrape with this ``Accept`` field: OpenMetrics 1.0 when asked, else text."""
        scrape = self.scrape(accept)
        for _ in scrape.steps():
            pass
        return scrape.answer()

    def scrape(self, accept: str) -> Scrape:
        """The same in steps of a few milliseconds at most, for a loop that has other things to do in between."""
        asked = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
        return Scrape(self, OPENMETRICS if "application/openmetrics-text" in asked else TEXT)

    def steps(self, kind: str, found: dict[str, list[str]]) -> Iterator[None]:
        """Make what has changed, a piece a step, and put the lines of each family into ``found``, in order."""
        if self._settle is not None:
            yield from self._settle()
        reading = self._read()
        yield
        parts = list(_parts(reading))
        yield
        kept = self._kept.setdefault(kind, {})
        for gone in kept.keys() - {part.key for part in parts}:
            del kept[gone]
        for part in parts:
            piece = kept.get(part.key)
            if piece is None or not piece.is_of(part.figures):
                self.rendered += 1
                piece = kept[part.key] = _Piece(part.figures, _lines(kind, part.families()))
                yield
            for family, lines in piece.lines.items():
                found.setdefault(family, []).append(lines)
        yield
        for family, lines in _lines(kind, self._process.collect()).items():
            found.setdefault(family, []).append(lines)


class Scrape:
    """One scrape: run :meth:`steps` to their end, then :meth:`answer`."""

    def __init__(self, exposition: Exposition, kind: str) -> None:
        self._exposition = exposition
        self._kind = kind
        self._found: dict[str, list[str]] = {}
        self._body: list[bytes] = []

    def steps(self) -> Iterator[None]:
        """Do it, a little at each step."""
        yield from self._exposition.steps(self._kind, self._found)
        for count, (head, pieces) in enumerate(self._found.items()):
            self._body.append((head + "".join(pieces)).encode("utf-8"))
            if not count % _FAMILIES_AT_ONCE:
                yield
        if self._kind == OPENMETRICS:
            self._body.append(b"# EOF\n")

    def answer(self) -> tuple[str, bytes]:
        """Content type and body."""
        return self._kind, b"".join(self._body)


class Part(NamedTuple):
    """What a piece of the text is about: its key, the figures in it, how its metrics are made."""

    key: tuple[str, str, int]
    figures: tuple[object, ...]
    families: Callable[[], Iterable[Metric]]


class _Piece(NamedTuple):
    """Lines by the head of their family, and the figures that they were made of."""

    figures: tuple[object, ...]
    lines: dict[str, str]

    def is_of(self, figures: tuple[object, ...]) -> bool:
        """Whether these are the same figures."""
        return len(figures) == len(self.figures) and all(
            one is other or (not isinstance(one, Struct) and one == other)
            for one, other in zip(figures, self.figures, strict=True)
        )


def _lines(kind: str, families: Iterable[Metric]) -> dict[str, str]:
    """The text of metrics, by the head of each family."""
    registry = _Families(families)
    text = (openmetrics.generate_latest if kind == OPENMETRICS else generate_latest)(registry).decode("utf-8")  # type: ignore[no-untyped-call,operator,arg-type]  # all that is asked of a registry is its collect
    found: dict[str, str] = {}
    head, lines = "", list[str]()
    for line in text.splitlines(keepends=True):
        if line.startswith("# "):
            if line.startswith("# HELP "):
                if head:
                    found[head] = "".join(lines)
                head, lines = "", []
            if not line.startswith("# EOF"):
                head += line
        else:
            lines.append(line)
    if head:
        found[head] = "".join(lines)
    return found


class _Families:
    """As much of a registry as is needed to print families."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """The families."""
        return self._families


def _parts(reading: Reading) -> Iterator[Part]:
    """The reading cut up by route, by upstream, and by some of the endpoints of one."""
    snapshot = reading.snapshot
    requests, errors, limited = (
        _by_first(rows) for rows in (snapshot.requests, snapshot.errors, snapshot.rate_limited)
    )
    for name in dict.fromkeys((*reading.routes, NO_ROUTE, *requests, *errors)):
        seconds = snapshot.request_seconds.get(name)
        rows = (requests.get(name, []), errors.get(name, []), limited.get(name, []))
        own = Snapshot(
            requests=rows[0],
            errors=rows[1],
            rate_limited=rows[2],
            request_seconds={} if seconds is None else {name: seconds},
        )
        yield Part(("route", name, 0), (*rows, seconds), partial(_of_routes, Reading((name,), (), own)))
    states = _by_first((*key, n) for key, n in reading.endpoints.items())
    ends = _by_first((*key, n) for key, n in reading.pool_ends.items())
    workers = max(reading.workers.get("ready", 0), 1)
    named = (reading.upstreams, snapshot.upstream_seconds, snapshot.gates, snapshot.resilience, snapshot.in_flight)
    for name in dict.fromkeys(name for some in named for name in some):
        yield from _of_one_upstream(name, reading, states.get(name, []), ends.get(name, []), workers)
    yield Part(("rest", "", 0), (reading,), partial(_of_the_rest, reading))


def _of_one_upstream(
    name: str, reading: Reading, states: list[Row], ends: list[Row], workers: int
) -> Iterator[Part]:
    snapshot = reading.snapshot
    seconds, gate = snapshot.upstream_seconds.get(name), snapshot.gates.get(name)
    resilience, scaling = snapshot.resilience.get(name), reading.scaling.get(name)
    in_flight = snapshot.in_flight.get(name, 0)
    own = Reading(
        (),
        (name,),
        Snapshot(
            upstream_seconds={} if seconds is None else {name: seconds},
            gates={} if gate is None else {name: gate},
            in_flight={name: in_flight},
            resilience={} if resilience is None else {name: resilience},
        ),
        workers={"ready": workers},
        endpoints={(name, str(state)): n for _, state, n in states},
        pool_ends={(name, str(how)): n for _, how, n in ends},
        scaling={} if scaling is None else {name: scaling},
    )
    figures = (seconds, gate, resilience, scaling, in_flight, workers, states, ends)
    yield Part(("upstream", name, 0), figures, partial(_of_upstreams, own))
    if resilience is None:
        return
    urls = list(resilience.endpoints)
    for begin in range(0, len(urls), _ENDPOINTS_AT_ONCE):
        some = urls[begin : begin + _ENDPOINTS_AT_ONCE]
        endpoints = {url: resilience.endpoints[url] for url in some}
        few = Snapshot(resilience={name: ResilienceSnapshot(endpoints=endpoints)})
        key = ("endpoints", name, begin)
        yield Part(key, tuple(endpoints.values()) + tuple(some), partial(_endpoints, Reading((), (), few)))


def _by_first(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return found


def _of_routes(reading: Reading) -> Iterator[Metric]:
    yield from _requests(reading)
    yield from _rate_limits(reading)


def _of_upstreams(reading: Reading) -> Iterator[Metric]:
    yield from _in_flight(reading)
    yield from _admission(reading)
    yield from _attempts(reading)
    yield from _routes(reading)
    yield from _of_endpoints(reading)
    yield from _signals(reading)
    yield from _scaling(reading)


def _of_the_rest(reading: Reading) -> Iterator[Metric]:
    yield from _whole(reading)
    yield from _connections(reading)
    yield from _workers(reading)
    yield from _ledger(reading)


def _requests(reading: Reading) -> Iterator[Metric]:
    snapshot = reading.snapshot
    names = reading.routes
    requests = CounterMetricFamily("gateway_requests", "Requests finished.", labels=("route", "method", "code"))
    counted = {(route, method, code): n for route, method, code, n in snapshot.requests}
    for key in [(name, "GET", 404 if name == NO_ROUTE else 200) for name in names]:
        counted.setdefault(key, 0)
    for (route, method, code), n in counted.items():
        requests.add_metric((route, method, str(code)), n)
    yield requests

    errors = CounterMetricFamily(
        "gateway_errors", "Requests that the gateway answered itself or broke off.", labels=("route", "reason")
    )
    wrong = {(route, reason): n for route, reason, n in snapshot.errors}
    for name in names:
        for reason in _CLIENT_CAUSED if name == NO_ROUTE else _ROUTE_CAUSED:
            wrong.setdefault((name, reason), 0)
    for labels, n in wrong.items():
        errors.add_metric(labels, n)
    yield errors

    durations = HistogramMetricFamily(
        "gateway_request_duration_seconds", "From a request's first byte to its response's last.", labels=("route",)
    )
    for route, found in _with_zeros(names, snapshot.request_seconds):
        durations.add_metric((route,), *_buckets(found))
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
    moved = CounterMetricFamily("gateway_bytes", "Bytes moved, heads included.", labels=("direction",))
    for direction, n in {**dict.fromkeys(_DIRECTIONS, 0), **snapshot.bytes}.items():
        moved.add_metric((direction,), n)
    yield moved

    lag = HistogramMetricFamily("gateway_loop_lag_seconds", "How late the workers' event loops woke up.")
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
    limit = GaugeMetricFamily("gateway_concurrency_limit", "How many may be in flight.", labels=("upstream",))
    changes = CounterMetricFamily("gateway_limit_changes", "Moves of the limit.", labels=("upstream", "reason"))
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
        if gate.limit:  # none is known yet, or there is none
            limit.add_metric((upstream,), gate.limit)
        for reason, n in gate.limit_changes.items():
            changes.add_metric((upstream, reason), n)
        counted = {(name, reason, mode): n for name, reason, mode, n in gate.shed}
        for reason in SHED_REASONS:
            counted.setdefault((DEFAULT_CLASS, reason, "enforce"), 0)
        for labels, n in counted.items():
            shed.add_metric((upstream, *labels), n)
    yield from (waits, queued, held, limit, changes, shed)


def _rate_limits(reading: Reading) -> Iterator[Metric]:
    limited = CounterMetricFamily("gateway_rate_limited", "Requests above a quota.", labels=("route", "rule", "mode"))
    for route, rule, mode, n in reading.snapshot.rate_limited:
        limited.add_metric((route, rule, mode), n)
    yield limited


def _attempts(reading: Reading) -> Iterator[Metric]:
    upstreams = {**{name: ResilienceSnapshot() for name in reading.upstreams}, **reading.snapshot.resilience}
    attempts = CounterMetricFamily("gateway_attempts", "Attempts that ended.", labels=("upstream", "outcome"))
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
        "gateway_panic", "Workers that ask every endpoint, because too few are left.", labels=("upstream",)
    )
    workers = max(reading.workers.get("ready", 0), 1)
    for name, found in upstreams.items():
        for outcome, n in {**dict.fromkeys(_OUTCOMES, 0), **found.attempts}.items():
            attempts.add_metric((name, outcome), n)
        for reason, n in {**dict.fromkeys(_RETRIED, 0), **found.retries}.items():
            retries.add_metric((name, reason), n)
        for verdict, n in found.denied.items():
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


def _endpoints(reading: Reading) -> Iterator[Metric]:
    by_endpoint = ("upstream", "endpoint")
    state = GaugeMetricFamily(
        "gateway_breaker_state", "Workers whose breaker is in this state.", labels=(*by_endpoint, "state")
    )
    transitions = CounterMetricFamily(
        "gateway_breaker_transitions", "Changes of a breaker's state.", labels=(*by_endpoint, "from", "to", "reason")
    )
    shadow = CounterMetricFamily(
        "gateway_breaker_shadow_refused", "Attempts that a breaker in shadow would have refused.", labels=by_endpoint
    )
    up = GaugeMetricFamily("gateway_endpoint_up", "1 while some worker asks the endpoint.", labels=by_endpoint)
    share = GaugeMetricFamily(
        "gateway_endpoint_weight_ratio", "Weight in force ÷ weight, mean over workers.", labels=by_endpoint
    )
    busy = GaugeMetricFamily("gateway_endpoint_in_flight", "Attempts under way.", labels=by_endpoint)
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
    connections = GaugeMetricFamily("gateway_connections", "Connections open now.", labels=("side", "state"))
    for side, state, n in snapshot.connections:
        connections.add_metric((side, state), n)
    yield connections

    accepted = CounterMetricFamily("gateway_connections_accepted", "Connections accepted from clients.")
    accepted.add_metric((), snapshot.accepted)
    yield accepted

    opened = CounterMetricFamily("gateway_upstream_connections", "Connections opened to endpoints.")
    opened.add_metric((), snapshot.upstream_opened)
    yield opened


def _of_endpoints(reading: Reading) -> Iterator[Metric]:
    endpoints = GaugeMetricFamily("gateway_endpoints", "Endpoints by state.", labels=("upstream", "state"))
    for labels, n in reading.endpoints.items():
        endpoints.add_metric(labels, n)
    yield endpoints

    ends = CounterMetricFamily(
        "gateway_pool_ends", "Pool processes that left, by how they ended.", labels=("upstream", "how")
    )
    for labels, n in reading.pool_ends.items():
        ends.add_metric(labels, n)
    yield ends


def _workers(reading: Reading) -> Iterator[Metric]:
    restarts = CounterMetricFamily("gateway_worker_restarts", "Data-plane workers started again after they died.")
    restarts.add_metric((), reading.restarts)
    yield restarts

    workers = GaugeMetricFamily("gateway_workers", "Data-plane workers by state.", labels=("state",))
    for state, n in reading.workers.items():
        workers.add_metric((state,), n)
    yield workers

    memory = GaugeMetricFamily("gateway_worker_resident_memory_bytes", "Resident memory.", labels=("worker",))
    files = GaugeMetricFamily("gateway_worker_open_fds", "Open file descriptors.", labels=("worker",))
    for number, process in reading.processes.items():
        memory.add_metric((str(number),), process.rss)
        files.add_metric((str(number),), process.fds)
    yield memory
    yield files

    cpu = CounterMetricFamily(
        "gateway_worker_cpu_seconds", "Processor time, that of earlier processes included.", labels=("worker",)
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
                said = f"Signal {name}: see docs/scaling.md."
                family = families[series.family] = GaugeMetricFamily(series.family, said, labels=labels)
            family.add_metric((upstream, series.value) if series.label else (upstream,), value)
    yield from families.values()


def _scaling(reading: Reading) -> Iterator[Metric]:
    desired = GaugeMetricFamily(
        "gateway_scaling_desired_replicas", "What the last step came to, guards included.", labels=("upstream",)
    )
    mode = GaugeMetricFamily("gateway_scaling_mode", "1 for the mode in force.", labels=("upstream", "mode"))
    made = CounterMetricFamily(
        "gateway_scaling_decisions", "Decisions made.", labels=("upstream", "direction", "reason", "mode")
    )
    vetoes = CounterMetricFamily(
        "gateway_scaling_vetoes", "Ticks at which a guard changed a plan.", labels=("upstream", "guard")
    )
    failures = CounterMetricFamily(
        "gateway_scaling_failures", "Times an actuator did not carry a decision out.", labels=("upstream", "reason")
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
    errors = CounterMetricFamily("gateway_scaling_ledger_errors", "Times the ledger could not be written.")
    errors.add_metric((), reading.ledger.errors)
    yield errors
    dropped = CounterMetricFamily("gateway_scaling_ledger_dropped", "Lines that the ledger will never have.")
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
