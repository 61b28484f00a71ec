"""The data plane of one worker: listening sockets, connections, routes, upstreams."""

from __future__ import annotations

import asyncio
import math
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from gateway.admission.classes import compile_classes
from gateway.admission.hope import Hope
from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.limits.by_endpoint import ByEndpoint
from gateway.admission.limits.capped import Capped
from gateway.admission.limits.choice import make_limit
from gateway.admission.limits.fixed import Fixed
from gateway.admission.modes import make_gate
from gateway.admission.pressure import Protection, protect
from gateway.admission.priority import ClassChooser
from gateway.admission.queue import Queue
from gateway.admission.rate_gate import RateGate
from gateway.admission.rate_key import KeyReader
from gateway.core.deadlines import DeadlineWheel
from gateway.core.ids import RequestIds
from gateway.http.door import Door
from gateway.http.downstream import ClientConnection
from gateway.http.upstream import Line
from gateway.proxy.attempts import EARLY_BYTES
from gateway.proxy.exchange import Exchange
from gateway.proxy.recovery import Recovery
from gateway.proxy.rule import RouteRule
from gateway.proxy.sheds import Sheds
from gateway.proxy.strain import StrainGauge
from gateway.resilience.breaker import Breaker
from gateway.resilience.outlier import Outliers
from gateway.routing.table import RoutingTable
from gateway.telemetry.access import AccessRecord
from gateway.telemetry.counters import NO_ROUTE, Counters, GateSnapshot, ResilienceSnapshot, Snapshot
from gateway.telemetry.load import STEP
from gateway.upstream.balance import make_balancer
from gateway.upstream.group import UpstreamGroup

if TYPE_CHECKING:
    import random
    import socket
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from gateway.admission.classes import TrafficClass
    from gateway.admission.gate import Gate
    from gateway.admission.limits.limit import Limit
    from gateway.config.settings import Route, Settings, Upstream
    from gateway.core.clock import Clock
    from gateway.core.errors import GatewayError
    from gateway.http.heads import RequestHead
    from gateway.telemetry.access import AccessLog
    from gateway.telemetry.counters import Decision
    from gateway.upstream.settings import EndpointSettings

TICK = 0.02
_DRAIN_LOOK = 0.02
_GUARD = 0.25
# The breaker of a whole upstream opens when so much of it fails.
_ALL_BUT = 0.9
# Idle connections closed at one look, the oldest first.
_TIDIED = 200
# Moves of a limit that follow somebody else's word, and show nothing that was learned.
_TOLD = frozenset({"replicas"})


class DataPlane:
    """Serves requests on its loop until it is closed.

    ``name`` is the pseudonym in ``Via``, the same for all workers of a gateway; ``workers`` is how many
    share the limit on connections.
    """

    def __init__(  # noqa: PLR0913 - everything from outside comes in here
        self,
        settings: Settings,
        *,
        clock: Clock,
        rng: random.Random,
        name: str,
        access_log: AccessLog,
        log: Any,  # noqa: ANN401 - structlog's loggers have no common type
        workers: int = 1,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.access_log = access_log
        self.ids = RequestIds(rng)
        self.scheme = "http" if settings.gateway.tls is None else "https"
        self.via = b"Via: 1.1 " + name.encode("ascii") + b"\r\n"
        self.body_limit = int(settings.gateway.limits.body)
        self.counters = Counters()
        self.unrouted = self.counters.route(NO_ROUTE)
        self.table = RoutingTable.compile({name: route.match for name, route in settings.routes.items()})
        self.rules: dict[str, RouteRule] = {}
        self._groups: dict[str, UpstreamGroup] = {}
        self._recoveries: dict[str, Recovery] = {}
        self.gates: dict[str, Gate] = {}
        self._queue_parts: dict[str, float] = {}
        self._caps: dict[str, float] = {}  # until when
        self._hopes: dict[str, float] = {}  # until when
        self._given: dict[str, Sequence[str | EndpointSettings]] = {
            name: upstream.endpoints for name, upstream in settings.upstreams.items()
        }
        self._endpoint_orders: dict[str, int] = {}
        self._log = log
        self._name = name
        self._rng = rng
        self._workers = workers
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.AbstractServer] = []
        self._ticker: asyncio.TimerHandle | None = None
        self._ticked_at = 0.0
        self.sheds = Sheds(clock, rng)
        self._strain: StrainGauge = None  # type: ignore[assignment]  # made by start
        self._guard_at = 0.0
        self._step_at = 0.0
        self._strained = 0.0
        self.protection = Protection()
        self.door: Door = None  # type: ignore[assignment]  # made by start, on the loop it serves on

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Begin to accept on these sockets, which are bound already."""
        loop = asyncio.get_running_loop()
        settings = self.settings
        now = self.clock.now()
        self._strain = StrainGauge(self._workers)
        self._wheel = DeadlineWheel(now)
        self._ticked_at = now
        self._loop = loop
        classes = compile_classes(settings.classes)
        limits_of: dict[str, ByEndpoint | None] = {}
        for name, upstream in settings.upstreams.items():
            line = Line(
                loop=loop,
                clock=self.clock,
                wheel=self._wheel,
                counts=self.counters,
                head_limit=upstream.connections.head,
                head_timeout=min(upstream.timeouts.head, upstream.retry.attempt_timeout or math.inf),
                idle_timeout=upstream.timeouts.idle,
                tunnel_timeout=upstream.timeouts.tunnel,
            )
            limits = self._endpoint_limits(upstream)
            group = self._make_group(name, upstream, line, limits)
            group.set_endpoints(self._given[name], now)
            self._groups[name] = group
            gate = self.gates[name] = self._make_gate(upstream, limits)
            limits_of[name] = limits
            group.on_change = partial(_bar, gate, group)
        recoveries = {name: Recovery(each.retry, each.hedge, self._rng) for name, each in settings.upstreams.items()}
        self._recoveries = recoveries
        for name, each in settings.upstreams.items():
            if each.scaling is not None:
                self.counters.upstream(name).slo_wait = float(each.scaling.slo.wait)
        for name, route in settings.routes.items():
            group = self._groups[route.upstream]
            upstream = settings.upstreams[route.upstream]
            self.rules[name] = RouteRule(
                name,
                route,
                group=group,
                gate=self.gates[route.upstream],
                traffic_class=classes[route.traffic_class],
                rates=self._make_rates(route),
                chooser=_chooser(route, classes),
                fairness=_reader(upstream.queue.fairness_key),
                hash_key=_reader(upstream.hash_key if upstream.balance == "ring_hash" else None),
                recovery=recoveries[route.upstream],
                endpoint_limits=limits_of[route.upstream],
                counters=self.counters.route(name),
                upstream_counters=self.counters.upstream(route.upstream),
            )
        self.door = Door(
            loop=loop,
            clock=self.clock,
            wheel=self._wheel,
            limits=settings.gateway.limits,
            timeouts=settings.gateway.timeouts,
            client_ip=settings.gateway.client_ip,
            max_connections=max(settings.gateway.limits.connections // self._workers, 1),
            pseudonym=self._name,
            scheme=self.scheme,
            counts=self.counters,
            ids=self.ids,
            begin=self._begin,
            report=self._report,
        )
        tls = self._tls()
        make = partial(ClientConnection, self.door)
        for listener in sockets:
            self._servers.append(await loop.create_server(make, sock=listener, ssl=tls, backlog=4096))
        self._ticker = loop.call_later(TICK, self._tick)

    def _endpoint_limits(self, upstream: Upstream) -> ByEndpoint | None:
        if upstream.limit.per == "upstream":
            return None
        return ByEndpoint(partial(make_limit, upstream.limit, 1 / self._workers))

    def _make_group(self, name: str, upstream: Upstream, line: Line, limits: ByEndpoint | None) -> UpstreamGroup:
        is_checked = upstream.health is not None
        # One endpoint that answers is enough for the whole, so this one is about everything having failed.
        whole = replace(upstream.breaker, failure_ratio=max(upstream.breaker.failure_ratio, _ALL_BUT))

        def make_breaker(url: str) -> Breaker:
            settings = upstream.breaker if url else whole
            return Breaker(url, settings, clock=self.clock, rng=self._rng, has_check=is_checked and url != "")

        return UpstreamGroup(
            name,
            line=line,
            settings=upstream.connections,
            connect_timeout=upstream.timeouts.connect,
            balancer=make_balancer(upstream.balance, self._rng),
            make_breaker=make_breaker,
            judge=Outliers(upstream.outlier).judge,
            slow_start=upstream.slow_start,
            panic_ratio=upstream.panic_ratio,
            is_checked=is_checked,
            limits=limits,
        )

    def _make_rates(self, route: Route) -> RateGate | None:
        rates = RateGate(route.rate_limits, self._rng)
        if not rates.rules:
            return None
        rates.set_share(1 / self._workers, 1 / self._workers)
        return rates

    def _make_gate(self, upstream: Upstream, limits: ByEndpoint | None) -> Gate:
        queue = upstream.queue
        return make_gate(
            limits or make_limit(upstream.limit, 1 / self._workers),
            Queue(
                max_length=math.ceil(queue.max_length / self._workers),
                max_size=_bytes(queue.max_bytes, 1 / self._workers),
                max_wait=queue.max_wait,
            ),
            limit_mode=upstream.limit.mode,
            queue_mode=queue.mode,
        )

    def _tls(self) -> ssl.SSLContext | None:
        tls = self.settings.gateway.tls
        if tls is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(tls.certificate, tls.key)
        return context

    def set_endpoints(
        self, upstream: str, endpoints: Sequence[EndpointSettings], *, order: int = 0, warm: Sequence[str] = ()
    ) -> None:
        """Serve this upstream from these endpoints from now on, or from the start if that is yet to come.

        Snapshots say the number of this ``order`` from now on; ``warm`` endpoints have their whole weight at once.
        """
        self._given[upstream] = endpoints
        self._endpoint_orders[upstream] = order
        if upstream in self._groups:
            self._groups[upstream].set_endpoints(endpoints, self.clock.now(), warm)

    def on_checked(self, upstream: str, url: str, *, is_up: bool, has_passed: bool) -> None:
        """An active check of an endpoint: what is believed of it now, and whether the last check passed."""
        if upstream in self._groups:
            self._groups[upstream].on_checked(url, self.clock.now(), is_up=is_up, has_passed=has_passed)

    def set_breaker(self, upstream: str, url: str, action: str, actor: str, reason: str) -> None:
        """Somebody sets a breaker by hand; an empty ``url`` is that of the whole upstream."""
        if upstream in self._groups:
            self._groups[upstream].set_breaker(url, action, actor, reason, self.clock.now())

    def set_cap(self, upstream: str, limit: int | None, seconds: float) -> None:
        """Let no more than ``limit`` be in flight for so many seconds; None ends that."""
        gate = self.gates.get(upstream)
        if gate is None:
            return
        now = self.clock.now()
        beneath = _beneath(gate.limit)
        if limit is None:
            self._caps.pop(upstream, None)
            gate.limit = beneath
            gate.admit_waiting(now)
        else:
            self._caps[upstream] = now + seconds
            gate.limit = Capped(beneath, limit)

    def expect(self, upstream: str, wait: float, growth: float, seconds: float) -> None:
        """Capacity comes to this upstream in ``wait`` seconds; believed for so many seconds, 0 ends that."""
        gate = self.gates.get(upstream)
        if gate is None:
            return
        now = self.clock.now()
        if seconds <= 0:
            self._hopes.pop(upstream, None)
            gate.expect(None, now)
        else:
            self._hopes[upstream] = now + seconds
            gate.expect(Hope(now + wait, max(growth, 1.0)), now)

    def rescale(self, upstream: str, ratio: float) -> None:
        """The upstream has become ``ratio`` times what it was; limits that learn by themselves follow at once."""
        gate = self.gates.get(upstream)
        limit = None if gate is None else _beneath(gate.limit)
        if gate is None or not isinstance(limit, Adaptive) or ratio <= 0:
            return
        now = self.clock.now()
        change = limit.rescale(ratio, now)
        if change is not None:
            gate.note(change)
            gate.admit_waiting(now)

    def _lift(self, now: float) -> None:
        for name in [name for name, end in self._caps.items() if now >= end] if self._caps else ():
            self.set_cap(name, None, 0.0)
        for name in [name for name, end in self._hopes.items() if now >= end] if self._hopes else ():
            self.expect(name, 0.0, 1.0, 0.0)

    def set_shares(self, limits: Mapping[str, int], queues: Mapping[str, float], rates: Mapping[str, float]) -> None:
        """Take the parts for this worker of what is configured for the whole gateway, by upstream and by route."""
        for name, number in limits.items():
            limit = _beneath(self.gates[name].limit)
            if isinstance(limit, Fixed) and self.settings.upstreams[name].limit.mode != "off":
                limit.value = number
                self.gates[name].admit_waiting(self.clock.now())
        for name, part in queues.items():
            self._queue_parts[name] = part
            self._resize_queue(name)
        for name, part in rates.items():
            found = self.rules[name].rates
            if found is not None:
                # Bursts stay dealt out evenly: one that moved with demand could be had once more on every worker.
                found.set_share(part, 1 / self._workers)

    def snapshot(self) -> Snapshot:
        """What was counted since the start, and what is open now."""
        now = self.clock.now()
        states = {"idle": 0, "active": 0, "tunnel": 0}
        for connection in self.door.connections:
            states[connection.state] += 1
        idle, active, connecting = self._upstream_connections()
        self.counters.upstream_opened = sum(group.opened for group in self._groups.values())
        snapshot = self.counters.snapshot(
            [("client", state, count) for state, count in states.items()]
            + [("upstream", "idle", idle), ("upstream", "active", active), ("upstream", "connecting", connecting)]
        )
        snapshot.rate_limited = [
            (name, one.name, "shadow" if one.is_shadow else "enforce", one.refused)
            for name, rule in self.rules.items()
            if rule.rates is not None
            for one in rule.rates.rules
        ]
        for name, gate in self.gates.items():
            found = snapshot.gates.setdefault(name, GateSnapshot())
            found.queued = gate.waiting()
            found.queued_bytes = gate.waiting_size
            found.limit = 0 if self.settings.upstreams[name].limit.mode == "off" else _beneath(gate.limit).value
            found.limit_changes = dict(gate.changes)
            is_found = self.settings.upstreams[name].limit.kind == "fixed" or not gate.changes.keys() <= _TOLD
            found.is_limit_guessed = not is_found
            oldest = gate.oldest()
            snapshot.loads[name] = self.counters.upstream(name).read_load(now, 0.0 if oldest is None else now - oldest)
        snapshot.at = now
        snapshot.strain = self._strained
        for name, group in self._groups.items():
            attempts = snapshot.resilience.setdefault(name, ResilienceSnapshot())
            attempts.endpoints = group.read(now, self.clock.wall())
            attempts.is_panicking = int(group.is_panicking)
            attempts.order = self._endpoint_orders.get(name, 0)
            attempts.departing = group.still_under_way()
            attempts.budget = self._recoveries[name].budget.ratio_used
        return snapshot

    def take_decisions(self) -> tuple[Decision, ...]:
        """The refusals since the last call, oldest first; the newest ones when there were too many."""
        return self.sheds.take()

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109 - it cuts nothing off
        """Accept no more, close what is idle, wait for what is under way; True when all of it finished in time."""
        door = self.door
        door.is_draining = True
        for server in self._servers:
            server.close()
        deadline = self.clock.now() + timeout
        for connection in list(door.connections):
            connection.close_if_idle()
        while door.connections and self.clock.now() < deadline:  # noqa: ASYNC110 - once in a process's life
            await asyncio.sleep(_DRAIN_LOOK)
        return not door.connections

    async def close(self) -> None:
        """Close everything at once, and wait until it is closed."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
            self._strain.close()
        for connection in list(self.door.connections) if self.door is not None else ():
            connection.close_now()
        for group in self._groups.values():
            for endpoint in (*group.endpoints, *group.departing):
                endpoint.abort()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports tell their protocols on the next turn of the loop

    # --- for exchanges ---------------------------------------------------------------------------

    def start_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that waits, such as connecting; the plane owns the task."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def call_later(self, seconds: float, function: Callable[..., None], *arguments: object) -> asyncio.TimerHandle:
        """Call something after so many seconds; for what is rare, the wheel is for the rest."""
        return self._loop.call_later(seconds, function, *arguments)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("task failed", exc_info=error)

    def _begin(self, client: ClientConnection, head: RequestHead, started_at: float) -> None:
        exchange = Exchange(self, client, head, started_at)
        client.exchange = exchange
        exchange.begin()

    def _report(self, client: ClientConnection, error: GatewayError, request_id: bytes) -> None:
        """Count and log a refusal that came before there was a request."""
        self.unrouted.count("other", error.status, max(self.clock.now() - client.started_at, 0.0))
        self.unrouted.count_error(error.reason)
        if self.access_log.wants(error.status, error.reason):
            self.access_log.write(
                AccessRecord(
                    route=NO_ROUTE, upstream="", endpoint="", method="", target="", status=error.status,
                    reason=error.reason, seconds=0.0, upstream_seconds=0.0, bytes_in=0, bytes_out=0,
                    client=client.peer, request_id=request_id.decode("ascii"), trace_id="", attempts=0,
                    user_agent="", protocol="",
                )
            )  # fmt: skip

    def _look_at_arrivals(self, now: float) -> None:
        if now >= self._step_at:
            self._step_at = now + STEP
            for counters in self.counters.upstreams.values():
                counters.steps.look(counters.arrived, now)

    def _guard(self) -> None:
        """Look at this process's own strain, and act on it before it breaks."""
        before = self.protection
        strain = self._strain.read(len(self.door.connections) + sum(self._upstream_connections()))
        self._strained = max(strain.lag, strain.memory, strain.files)
        now = self.protection = protect(strain, before)
        if now.closes_idle:
            self.door.close_idle(_TIDIED)
        if now == before:
            return
        self._log.warning(
            "self-protection",
            grade=now.grade,
            lag=round(strain.lag, 3),
            memory=round(strain.memory, 3),
            files=round(strain.files, 3),
        )
        self.door.keeps_alive = now.keeps_alive
        for name, gate in self.gates.items():
            gate.last_band = now.last_band
            self._resize_queue(name)

    def _resize_queue(self, name: str) -> None:
        queue = self.settings.upstreams[name].queue
        part = self._queue_parts.get(name, 1 / self._workers) * self.protection.queue_part
        self.gates[name].queue.resize(
            max_length=math.ceil(queue.max_length * part), max_size=_bytes(queue.max_bytes, part)
        )

    def _upstream_connections(self) -> tuple[int, int, int]:
        """Idle, busy and being made, over all upstreams."""
        idle = active = connecting = 0
        for group in self._groups.values():
            for endpoint in (*group.endpoints, *group.departing):
                endpoint_idle, endpoint_active = endpoint.connections
                idle += endpoint_idle
                active += endpoint_active
                connecting += endpoint.connecting
        return idle, active, connecting

    def _tick(self) -> None:
        now = self.clock.now()
        lag = max(now - self._ticked_at - TICK, 0.0)
        self.counters.loop_lag.observe(lag)
        self._strain.note_lag(lag)
        if now >= self._guard_at:
            self._guard_at = now + _GUARD
            self._guard()
        self._look_at_arrivals(now)
        self._wheel.advance(now)
        self.door.departures.look()
        for name, group in self._groups.items():
            group.tick(now)
            self._recoveries[name].deposit(self.counters.upstream(name).firsts, now)
        self._lift(now)
        for name, gate in self.gates.items():
            if self._groups[name].is_shut and gate.queue.count:
                gate.shed_waiting("breaker_open", now)
            gate.tick(now)
        for rule in self.rules.values():
            if rule.rates is not None:
                rule.rates.tick(now)
        self._ticked_at = now
        self._ticker = self._loop.call_later(TICK, self._tick)


def _bar(gate: Gate, group: UpstreamGroup) -> None:
    """While a breaker counts places the gate asks for one; when there is none at all it refuses instead of waiting."""
    gate.bar = None if group.is_calm or group.is_shut else group.can_pass


def _chooser(route: Route, classes: dict[str, TrafficClass]) -> ClassChooser | None:
    if route.class_header is None and not route.accept_priority:
        return None
    usual = classes[route.traffic_class]
    return ClassChooser(usual, classes, header=route.class_header, accepts_priority=route.accept_priority)


def _beneath(limit: Limit) -> Limit:
    """The limit itself, without a lid."""
    return limit.inner if isinstance(limit, Capped) else limit


def _bytes(size: int, part: float) -> int:
    """A part of the bytes that may wait, but always room for the one request that any worker may get."""
    return max(int(size * part), min(size, EARLY_BYTES))


def _reader(key: str | None) -> KeyReader | None:
    return None if key is None else KeyReader.parse(key)
