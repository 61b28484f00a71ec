"""What a data plane counts on the path: plain integers, read out as one snapshot.

Nothing here knows Prometheus, and nothing waits for anybody: to count is to add to an attribute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.errors import REASONS
from gateway.core.histogram import Histogram
from gateway.core.outcome import Outcome
from gateway.telemetry.load import Stay, Steps
from gateway.telemetry.snapshot import (
    NO_ROUTE,
    GateSnapshot,
    HistogramSnapshot,
    LoadSnapshot,
    ResilienceSnapshot,
    Snapshot,
    exact,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

GOOD: Final = "success"
ENDINGS: Final = (GOOD, "client_error", "failed", "refused", "gone", "tunnel")
"""How requests end: answered below 400, by the service with 4xx, with 5xx or broken off; turned away by us; left by
their clients; a tunnel, whose time is no latency."""
_OK: Final = 200
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_OF_UPSTREAM: Final = frozenset({500, 502, 504})
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


def ending_of(code: int, reason: str) -> str:
    """How a request ended, of :data:`ENDINGS`, by its status and its reason word, empty where all went well."""
    if reason == "client_gone":
        return "gone"
    if reason:
        status = REASONS[reason].status
        return "failed" if status in _OF_UPSTREAM else "refused"
    if code < _OK:
        return "tunnel"
    if code < _CLIENT_ERROR:
        return GOOD
    return "client_error" if code < _SERVER_ERROR else "failed"


class RouteCounters:
    """One route's requests by method and code, its errors by reason, and its latency by outcome.

    ``seconds`` are those of good answers, ``seconds_apart`` those of all others by :func:`ending_of`.
    """

    __slots__ = ("errors", "requests", "seconds", "seconds_apart")

    def __init__(self) -> None:
        self.requests: dict[tuple[str, int], int] = {}
        self.errors: dict[str, int] = {}
        self.seconds = Histogram()
        self.seconds_apart: dict[str, Histogram] = {}

    def count(self, method: str, code: int, seconds: float, reason: str = "") -> None:
        """Count one finished request; ``seconds`` from its first byte to its last."""
        requests = self.requests
        key = (method, code)
        count = requests.get(key)
        if count is None:
            key = (method if method in METHODS else "other", code)
            count = requests.get(key, 0)
        requests[key] = count + 1
        if reason or not _OK <= code < _CLIENT_ERROR:
            word = ending_of(code, reason)
            apart = self.seconds_apart.get(word)
            if apart is None:
                apart = self.seconds_apart[word] = Histogram()
            apart.observe(seconds)
        else:
            self.seconds.observe(seconds)

    def count_error(self, reason: str) -> None:
        """Count one request that we answered or broke off, by its reason word."""
        self.errors[reason] = self.errors.get(reason, 0) + 1


class UpstreamCounters:
    """One upstream's requests in flight, its latency without our queue, its attempts and its load.

    ``firsts`` are requests that had an attempt, ``good_attempts`` those attempts that were a success. The path adds to
    ``squares`` the squared upstream time of each request, and to ``clock`` the instant at which it ends, from which it
    took the one at which it was dispatched (:mod:`gateway.telemetry.load`). ``slo_wait`` is the longest good wait for
    admission, in seconds.
    """

    __slots__ = (
        "_bad_attempts",
        "_busy_time",
        "_served",
        "_waits",
        "asked_again",
        "clock",
        "copies",
        "denied",
        "failed",
        "firsts",
        "good_attempts",
        "hedges",
        "late",
        "late_good",
        "left",
        "lost",
        "retries",
        "seconds",
        "shed",
        "shed_again",
        "shed_waits",
        "slo_wait",
        "squares",
        "starved",
        "steps",
        "stream_time",
        "streams",
        "waiting",
    )

    def __init__(self) -> None:
        self.firsts = 0
        self.good_attempts = 0
        self._bad_attempts: dict[str, int] = {}
        self.retries: dict[str, int] = {}
        self.denied: dict[str, int] = {}
        self.hedges: dict[str, int] = {}
        self.seconds = Histogram()
        self.shed: dict[tuple[str, str, str], int] = {}
        self._waits: dict[str, Histogram] = {}
        self.slo_wait = 0.25
        self.clock = 0.0
        self._busy_time = 0.0
        self._served = 0.0
        self.squares = 0.0
        self.asked_again = 0
        """Arrivals that a trusted caller says are repeats."""
        self.waiting = Stay()
        """Who waits before the gate."""
        self.shed_waits = Histogram()
        """How long those had waited who were shed from the queue."""
        self.left = 0
        """Who left the queue by themselves, or ran out of time in it."""
        self.lost = 0
        """Those of them who had waited longer than is good."""
        self.late = 0
        """Finished requests that had waited longer than is good."""
        self.late_good = 0
        """Those of them whose answer was a success."""
        self.failed = 0
        """Requests whose upstream failed in the end."""
        self.starved = 0
        """Those of them for want of capacity, late ones aside."""
        self.shed_again = 0
        """Refusals of requests that had an attempt, so that they are counted already."""
        self.streams = 0
        self.stream_time = 0.0
        """Seconds for which requests were streams, which are no service time."""
        self.copies = 0
        """Those of the good attempts that answered nobody."""
        self.steps = Steps()

    @property
    def in_flight(self) -> int:
        """Requests that had an attempt and have not finished, streams included."""
        return self.firsts - sum(self.seconds.counts)

    @property
    def arrived(self) -> int:
        """Requests that came to the gate; those over their quota did not."""
        refused = sum(n for (_, _, mode), n in self.shed.items() if mode == "enforce")
        return self.firsts + refused - self.shed_again + self.left + self.waiting.count

    def enter_stream(self, now: float) -> None:
        """A tunnel, a stream, or one that its client holds up: from now on it holds a slot and is no work."""
        self.streams += 1
        self.clock += now

    def leave_stream(self, now: float) -> None:
        """It is work again, or over."""
        self.streams -= 1
        self.clock -= now

    def end_stream(self, seconds: float) -> None:
        """A request was a stream for ``seconds`` in all, and is over: not before, or service time would fall."""
        self.stream_time += seconds

    def read_load(self, now: float, oldest_age: float) -> LoadSnapshot:
        """Everything that signals are made of; to be read with instants that do not fall."""
        busy = self.in_flight - self.streams
        # what rounding takes must not make it fall
        self._busy_time += max(busy * now + self.clock, 0.0)
        self.clock = -busy * now
        self._served = max(self._served, self.seconds.total - self.stream_time)
        repeats = sum(self.retries.values())
        arrived = self.arrived
        refused: dict[str, int] = {}
        for (_, reason, mode), n in self.shed.items():
            if mode == "enforce":
                refused[reason] = refused.get(reason, 0) + n
        delays = list(self.shed_waits.counts)
        for found in self._waits.values():
            delays = [one + other for one, other in zip(delays, found.counts, strict=True)]
        return LoadSnapshot(
            first_tries=arrived - self.asked_again,
            retries=self.asked_again + repeats,
            dispatched=self.firsts + repeats,
            good=self.good_attempts - self.copies - self.late_good,
            bad=sum(refused.values()) - self.shed_again + self.late + self.lost + self.starved,
            failed=self.failed,
            finished=sum(self.seconds.counts) + repeats,
            service_time=exact(self._served),
            service_squares=exact(self.squares),
            arrival_steps=exact(self.steps.total),
            queued_time=exact(self.waiting.integral(now)),
            in_flight_time=exact(self._busy_time),
            shed=refused,
            delays=delays,
            queued=self.waiting.count,
            in_flight=self.in_flight,
            streams=self.streams,
            oldest_age=oldest_age,
        )

    def wait(self, traffic_class: str) -> Histogram:
        """How long requests of this class waited for admission."""
        found = self._waits.get(traffic_class)
        if found is None:
            found = self._waits[traffic_class] = Histogram()
        return found

    def admit_at_once(self, traffic_class: str) -> None:
        """Count one request of this class that did not wait for admission."""
        found = self._waits.get(traffic_class) or self.wait(traffic_class)
        found.counts[0] += 1

    def count_shed(self, traffic_class: str, reason: str, mode: str) -> None:
        """Count one request that the gate turned away, or would have in shadow mode."""
        key = (traffic_class, reason, mode)
        self.shed[key] = self.shed.get(key, 0) + 1

    def count_bad_attempt(self, outcome: Outcome) -> None:
        """Count one attempt that was no success."""
        self._bad_attempts[outcome.value] = self._bad_attempts.get(outcome.value, 0) + 1

    def count_trial(self, outcome: Outcome) -> None:
        """Count one copy of a request, whose answer no client gets."""
        if outcome is Outcome.SUCCESS:
            self.good_attempts += 1
            self.copies += 1
        else:
            self.count_bad_attempt(outcome)

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
            attempts={Outcome.SUCCESS.value: self.good_attempts, **self._bad_attempts},
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

    def snapshot(
        self,
        connections: list[tuple[str, str, int]],
        upstreams: Iterable[str] | None = None,
        routes: Iterable[str] | None = None,
    ) -> Snapshot:
        """Read out everything, or what belongs to these upstreams and routes; the plane adds gates and attempts.

        ``connections`` are (side, state, n) as the plane counts them now.
        """
        of_routes = self.routes if routes is None else {name: self.route(name) for name in routes}
        of_upstreams = self.upstreams if upstreams is None else {name: self.upstream(name) for name in upstreams}
        return Snapshot(
            requests=[
                (name, method, code, n)
                for name, route in of_routes.items()
                for (method, code), n in route.requests.items()
            ],
            errors=[(name, reason, n) for name, route in of_routes.items() for reason, n in route.errors.items()],
            bytes={
                "client_in": self.client_in,
                "client_out": self.client_out,
                "upstream_in": self.upstream_in,
                "upstream_out": self.upstream_out,
            },
            request_seconds={name: _read(route.seconds) for name, route in of_routes.items()},
            request_seconds_apart={
                name: {word: _read(found) for word, found in route.seconds_apart.items()}
                for name, route in of_routes.items()
            },
            upstream_seconds={name: _read(upstream.seconds) for name, upstream in of_upstreams.items()},
            loop_lag_seconds=_read(self.loop_lag),
            accepted=self.accepted,
            upstream_opened=self.upstream_opened,
            connections=connections,
            in_flight={name: upstream.in_flight for name, upstream in of_upstreams.items()},
        )


def _read(histogram: Histogram) -> HistogramSnapshot:
    return HistogramSnapshot(list(histogram.counts), histogram.total)
