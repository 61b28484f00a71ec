"""The data plane of one worker: listening sockets, connections, routes, upstreams."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gateway.core.deadlines import DeadlineWheel
from gateway.core.ids import RequestIds
from gateway.core.ledger import Ledger
from gateway.http.codec import request_line
from gateway.http.door import Door
from gateway.http.downstream import ClientConnection
from gateway.http.handshake import Handshake, TlsServer
from gateway.http.sockets import accept_waiting
from gateway.proxy.assembly import Assembly, clients_of, tables_of_gateway
from gateway.proxy.capacity import Capacity
from gateway.proxy.exchange import Exchange
from gateway.proxy.parts import Parts
from gateway.proxy.place import LOOK
from gateway.proxy.present import client_connections, refused_by_rate, show_gate, show_group, upstream_connections
from gateway.proxy.protection import SelfProtection
from gateway.proxy.sheds import Sheds
from gateway.proxy.steps import Steps
from gateway.routing.table import RoutingTable
from gateway.telemetry.access import AccessRecord
from gateway.telemetry.counters import Counters
from gateway.telemetry.guard import Guard
from gateway.telemetry.load import STEP
from gateway.telemetry.snapshot import NO_ROUTE, Snapshot

if TYPE_CHECKING:
    import random
    import socket
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from gateway.admission.gate import Gate
    from gateway.config.settings import Settings
    from gateway.core.clock import Clock
    from gateway.core.errors import GatewayError
    from gateway.http.heads import RequestHead
    from gateway.proxy.recovery import Recovery
    from gateway.proxy.rule import RouteRule
    from gateway.resilience.breaker import Breaker
    from gateway.telemetry.access import AccessLog
    from gateway.telemetry.snapshot import Decision, GateSnapshot, LoadSnapshot, ResilienceSnapshot
    from gateway.upstream.group import UpstreamGroup
    from gateway.upstream.settings import EndpointSettings

TICK: Final = 0.02
# So many seconds without anything to do, and an upstream sleeps: as long as windows remember, and a little.
_AWAKE: Final = 12.0
# Upstreams in one report at most, so that none of them takes long.
MOST_REPORTED: Final = 100
Server = asyncio.AbstractServer | TlsServer
# Seconds in which what went wrong last may be why a breaker opens: its window, by default.
_RECENT: Final = 10.0
_DRAIN_LOOK: Final = 0.02
# At the end a connection that is younger, or was used later, may have a request on its way.
_QUIET: Final = 0.5


class _Watch:
    """An upstream that is awake: how many requests had arrived at the latest look, when it was busy last."""

    __slots__ = ("arrived", "busy_at", "look_at")

    def __init__(self, arrived: int, busy_at: float, look_at: float) -> None:
        self.arrived = arrived
        self.busy_at = busy_at
        self.look_at = look_at


class DataPlane:
    """Serves requests on its loop until it is closed.

    ``name`` is the pseudonym in ``Via``, the same for all workers of a gateway; ``workers`` is how many share the
    limit on connections. Orders about what the upstreams can take go to ``capacity``, about this worker's part of what
    is configured for the whole gateway to ``parts``. What keys owe stands in ``ledger``, which all workers share; its
    tables are those of :func:`gateway.proxy.assembly.tables_of_gateway`.
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
        ledger: Ledger | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.access_log = access_log
        self.ids = RequestIds(rng)
        self.scheme = "http" if settings.gateway.tls is None else "https"
        self.body_limit = int(settings.gateway.limits.body)
        self.counters = Counters()
        self.unrouted = self.counters.route(NO_ROUTE)
        self.table = RoutingTable.compile({name: route.match for name, route in settings.routes.items()})
        self.rules: dict[str, RouteRule] = {}
        self._groups: dict[str, UpstreamGroup] = {}
        self._recoveries: dict[str, Recovery] = {}
        self.gates: dict[str, Gate] = {}
        self.capacity = Capacity(self.gates, clock)
        self.parts = Parts(settings, workers, self.gates, clock, on_resize=self.wake)
        self._routes_of: dict[str, list[str]] = {name: [NO_ROUTE] for name in settings.upstreams}
        self._awake: dict[str, _Watch] = {}  # upstreams for which time passes
        self._due: dict[str, None] = {}  # upstreams to report
        self._kept: dict[str, tuple[GateSnapshot, LoadSnapshot, ResilienceSnapshot]] = {}  # of those that sleep
        self.looked_at = 0
        """Upstreams that ticks have looked at, ever."""
        self._given: dict[str, Sequence[str | EndpointSettings]] = {
            name: upstream.endpoints for name, upstream in settings.upstreams.items()
        }
        self._endpoint_orders: dict[str, int] = {}
        self._vacant_until: dict[str, float] = {}
        self._log = log
        self._guard = Guard(log, clock)
        self._steps = Steps(log)
        self._to_look_at: deque[tuple[float, Exchange]] = deque()
        self._name = name
        self._rng = rng
        self._workers = workers
        if ledger is None:  # one worker alone
            ledger = Ledger(salt=rng.randbytes(16) if tables_of_gateway(settings) else b"")
        self._ledger = ledger
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[Server] = []
        self._tls: ssl.SSLContext | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._ticked_at = 0.0
        self.sheds = Sheds(clock, rng)
        self.protection: SelfProtection = None  # type: ignore[assignment]  # made by start
        self.door: Door = None  # type: ignore[assignment]  # made by start, on the loop it serves on

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Begin to accept on these sockets, which are bound already."""
        loop = self._loop = asyncio.get_running_loop()
        settings = self.settings
        now = self._ticked_at = self.clock.now()
        self._wheel = DeadlineWheel(now, self._guard.note)
        clients = clients_of(settings)
        table = self._ledger.table(clients) if clients else None
        assembly = Assembly(
            settings,
            loop=loop,
            clock=self.clock,
            wheel=self._wheel,
            rng=self._rng,
            counters=self.counters,
            parts=self.parts,
            pseudonym=self._name,
            ledger=self._ledger,
        )
        services = {name: assembly.service(name) for name in settings.upstreams}
        for name, service in services.items():
            self.gates[name] = service.gate
            self._groups[name] = service.group
            self._recoveries[name] = service.recovery
            service.group.on_wake = self._on_wake
            service.group.on_step = self._on_step
            service.group.on_ejection = self._on_ejection
            service.group.on_return = self._on_return
            service.group.on_panic = self._on_panic
            self._due[name] = None
            service.group.set_endpoints(self._given[name], now)
        for name, upstream in settings.upstreams.items():
            if upstream.scaling is not None:
                self.counters.upstream(name).slo_wait = float(upstream.scaling.slo.wait)
        self.rules.update({name: assembly.rule(name, services) for name in settings.routes})
        for name, route in settings.routes.items():
            self._routes_of[route.upstream].append(name)
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
            clients=table,
            begin=self._begin,
            report=self._report,
        )
        self.protection = SelfProtection(
            self._workers, door=self.door, gates=self.gates, parts=self.parts, log=self._log
        )
        self._tls = self._make_tls()
        await self.open_door(sockets)
        self._ticker = loop.call_later(TICK, self._tick)

    async def open_door(self, sockets: Sequence[socket.socket]) -> list[Server]:
        """Accept on these sockets too, which are closed with what is returned."""
        make = partial(ClientConnection, self.door)
        opened: list[Server] = []
        for one in sockets:
            if self._tls is None:
                opened.append(await self._loop.create_server(make, sock=one, backlog=4096))
            else:
                opened.append(TlsServer(self.door, one, self._tls, self.start_task))
        self._servers += opened
        return opened

    def close_door(self, servers: Sequence[Server]) -> None:
        """Accept no more where :meth:`open_door` began to; the connections stay."""
        for server in servers:
            server.close()
            self._servers.remove(server)

    def _make_tls(self) -> ssl.SSLContext | None:
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
        self._kept.pop(upstream, None)
        if upstream in self._groups:
            self._groups[upstream].set_endpoints(endpoints, self.clock.now(), warm)
            self._due[upstream] = None

    def expect_endpoint(self, upstream: str, wait: float, seconds: float = 0.0, *, is_coming: bool) -> None:
        """Where no endpoint serves: whether one is coming, and when; ``wait`` is 0 while that is not known.

        It is believed for so many ``seconds``; 0 is until something else is said.
        """
        if upstream in self._groups:
            now = self.clock.now()
            self._vacant_until.pop(upstream, None)
            if is_coming and seconds:
                self._vacant_until[upstream] = now + seconds
            self._groups[upstream].expect(now + wait, now, is_coming=is_coming)

    def _end_vacancies(self, now: float) -> None:
        """Believe no more what was not said again."""
        for name in [name for name, until in self._vacant_until.items() if now >= until]:
            self.expect_endpoint(name, 0.0, is_coming=False)

    def on_checked(self, upstream: str, url: str, *, is_up: bool, has_passed: bool) -> None:
        """An active check of an endpoint: what is believed of it now, and whether the last check passed."""
        if upstream in self._groups:
            self._groups[upstream].on_checked(url, self.clock.now(), is_up=is_up, has_passed=has_passed)

    def set_breaker(self, upstream: str, url: str, action: str, actor: str, reason: str) -> None:
        """Somebody sets a breaker by hand; an empty ``url`` is that of the whole upstream."""
        if upstream in self._groups:
            self._groups[upstream].set_breaker(url, action, actor, reason, self.clock.now())

    def snapshot(self) -> Snapshot:
        """What was counted since the start, and what is open now, of everything."""
        return self._read(list(self._groups), [NO_ROUTE, *self.rules])

    def changes(self, most: int = MOST_REPORTED) -> Snapshot:
        """The same of what may have changed since it was reported last, of so many upstreams at most.

        What is left out has not changed, or comes with the next ones; :attr:`has_changes` says so.
        """
        names = list(self._due)[:most]
        for name in names:
            del self._due[name]
        routes = dict.fromkeys(route for name in names for route in self._routes_of[name])
        snapshot = self._read(names, list(routes) or [NO_ROUTE])
        snapshot.is_partial = True
        return snapshot

    @property
    def has_changes(self) -> bool:
        """Whether upstreams are due to be reported."""
        return bool(self._due)

    def note_changes(self) -> None:
        """Whatever is awake is due to be reported again; called a few times a second."""
        self._steps.sweep(self.clock.now())
        self._due.update(dict.fromkeys(self._awake))

    def _read(self, upstreams: Sequence[str], routes: Sequence[str]) -> Snapshot:
        now = self.clock.now()
        wall = self.clock.wall()
        connections = [*client_connections(self.door.connections), *self._upstream_connections()]
        snapshot = self.counters.snapshot(connections, upstreams, routes)
        snapshot.at = now
        snapshot.strain = self.protection.strain
        snapshot.rate_limited = refused_by_rate({name: self.rules[name] for name in routes if name in self.rules})
        for name in upstreams:
            kept = self._kept.get(name)
            if kept is None:
                kept = self._read_upstream(name, now, wall)
                if name not in self._awake:
                    self._kept[name] = kept
            snapshot.gates[name], snapshot.loads[name], snapshot.resilience[name] = kept
        return snapshot

    def _read_upstream(
        self, name: str, now: float, wall: float
    ) -> tuple[GateSnapshot, LoadSnapshot, ResilienceSnapshot]:
        counters, gate = self.counters.upstream(name), self.gates[name]
        shown = counters.read()
        show_gate(shown, gate, self.settings.upstreams[name])
        oldest = gate.oldest()
        load = counters.read_load(now, 0.0 if oldest is None else now - oldest)
        found = counters.read_attempts()
        show_group(found, self._groups[name], now, wall)
        found.order = self._endpoint_orders.get(name, 0)
        found.budget = self._recoveries[name].budget.ratio_used
        return shown, load, found

    def take_decisions(self) -> tuple[Decision, ...]:
        """The refusals since the last call, oldest first; the newest ones when there were too many."""
        return self.sheds.take()

    async def drain(
        self,
        timeout: float,  # noqa: ASYNC109 - it cuts nothing off
        listeners: Sequence[socket.socket] = (),
        quiet: float = _QUIET,
    ) -> bool:
        """Accept no more, close what is idle, wait for what is under way; True when all of it finished in time.

        Who waits in the kernel's queues of these ``listeners`` believes to be connected, and is served; then they are
        closed. A connection is idle when nothing has come on it for ``quiet`` seconds: before, a request may be on
        its way.
        """
        door = self.door
        door.is_draining = True
        waiting = [one for listener in listeners for one in accept_waiting(listener)]
        for server in self._servers:
            server.close()
        for listener in listeners:
            listener.close()
        for one in waiting:
            await self._take(one)
        deadline = self.clock.now() + timeout
        while door.connections and (now := self.clock.now()) < deadline:
            for connection in list(door.connections):
                connection.close_if_quiet(now - quiet)
            await asyncio.sleep(_DRAIN_LOOK)
        return not door.connections

    async def _take(self, accepted: socket.socket) -> None:
        """Serve a client that was accepted elsewhere."""
        if self._tls is None:
            with suppress(OSError):
                await self._loop.connect_accepted_socket(partial(ClientConnection, self.door), accepted)
        else:
            Handshake(self.door, accepted, self._tls, self.start_task)

    async def close(self) -> None:
        """Close everything at once, and wait until it is closed."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
            self.protection.close()
        self._to_look_at.clear()
        for connection in list(self.door.connections) if self.door is not None else ():
            connection.close_now()
        for group in self._groups.values():
            for endpoint in (*group.endpoints, *group.departed.endpoints):
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

    def watch_place(self, exchange: Exchange, now: float) -> None:
        """Look after a moment whether this request is to give its place in the limit back; most are over by then."""
        self._to_look_at.append((now + LOOK, exchange))

    def _look_at_places(self, now: float) -> None:
        waiting = self._to_look_at
        while waiting and waiting[0][0] <= now:
            waiting.popleft()[1].look_at_place(now)

    def _begin(self, client: ClientConnection, head: RequestHead, started_at: float) -> None:
        exchange = Exchange(self, client, head, started_at)
        client.exchange = exchange
        exchange.begin()

    def _report(self, client: ClientConnection, error: GatewayError, request_id: bytes, head: bytes) -> None:
        """Count and log a refusal that came before there was a request, with what can be read of its ``head``."""
        self.unrouted.count("other", error.status, max(self.clock.now() - client.started_at, 0.0), error.reason)
        self.unrouted.count_error(error.reason)
        if self.access_log.wants(error.status, error.reason):
            method, target = request_line(head)
            self.access_log.write(
                AccessRecord(
                    route=NO_ROUTE, upstream="", endpoint="", method=method, target=target, status=error.status,
                    reason=error.reason, seconds=0.0, upstream_seconds=0.0, bytes_in=0, bytes_out=0,
                    client=client.peer, request_id=request_id.decode("ascii"), trace_id="", attempts=0,
                    user_agent="", protocol="", detail=error.detail,
                )
            )  # fmt: skip

    # --- time passes, for who has something to do ------------------------------------------------

    def wake(self, upstream: str) -> None:
        """Let time pass for this upstream, and report it."""
        if upstream in self._groups:
            self._groups[upstream].wake()

    def _on_step(self, group: UpstreamGroup, breaker: Breaker, route: str) -> None:
        if breaker.last is not None:
            whose = {"route": route, "page": breaker.name} if route else {"endpoint": breaker.name or ""}
            if breaker.last.after == "open":
                failure = group.last_failure("" if route else breaker.name or "", breaker.last.at - _RECENT)
                if failure is not None:
                    whose |= {"failure": failure.reason, "detail": failure.detail}
            self._steps.note(group.name, breaker.last, **whose)

    def _on_ejection(self, group: UpstreamGroup, ejection: tuple[str, str, str], seconds: float) -> None:
        url, reason, mode = ejection
        self._steps.note_ejection(group.name, url, reason, mode, seconds, self.clock.now())

    def _on_return(self, group: UpstreamGroup, url: str) -> None:
        self._steps.note_return(group.name, url, self.clock.now())

    def _on_panic(self, group: UpstreamGroup, in_rotation: int) -> None:
        now, endpoints = self.clock.now(), len(group.endpoints)
        self._steps.note_panic(
            group.name, is_panicking=group.is_panicking, in_rotation=in_rotation, endpoints=endpoints, now=now
        )

    def _on_wake(self, group: UpstreamGroup) -> None:
        name = group.name
        now = self.clock.now()
        counters = self.counters.upstream(name)
        counters.steps.look(counters.arrived, now)  # until now nothing came
        self._kept.pop(name, None)
        # they shall not all look in the same turn of the loop
        self._awake[name] = _Watch(counters.arrived, now, now + STEP * self._rng.random())
        self._due[name] = None

    def _look_at_arrivals(self, name: str, watch: _Watch, now: float) -> None:
        """Count arrivals, and let an upstream sleep that has had nothing to do for long."""
        watch.look_at = now + STEP
        counters = self.counters.upstream(name)
        arrived = counters.arrived
        counters.steps.look(arrived, now)
        group, gate = self._groups[name], self.gates[name]
        has_nothing = arrived == watch.arrived and not gate.in_flight and not gate.queue.count
        watch.arrived = arrived
        if not has_nothing or not group.is_at_rest:
            watch.busy_at = now
        elif now - watch.busy_at >= _AWAKE:
            del self._awake[name]
            group.is_awake = False
            self._due[name] = None  # a last time

    def _upstream_connections(self) -> Iterator[tuple[str, str, int]]:
        return upstream_connections(self._groups[name] for name in self._awake)

    def _tick(self) -> None:
        """What is due on every turn. Whatever one part of it does, the others have theirs, and so has the next turn."""
        now = self.clock.now()
        lag = max(now - self._ticked_at - TICK, 0.0)
        self._ticked_at = now
        call = self._guard.call
        call("self-protection", self._protect, lag, now)
        call("deadlines", self._wheel.advance, now)
        if self._to_look_at:
            call("places", self._look_at_places, now)
        call("departures", self.door.departures.look)
        if self._vacant_until:
            call("vacancies", self._end_vacancies, now)
        for name, watch in list(self._awake.items()):
            self._tick_upstream(name, now)
            if now >= watch.look_at:
                call(name, self._look_at_arrivals, name, watch, now)
        call("capacity", self.capacity.tick, now)
        self._ticker = self._loop.call_later(TICK, self._tick)

    def _protect(self, lag: float, now: float) -> None:
        self.counters.loop_lag.observe(lag)
        self.protection.note_lag(lag)
        if self.protection.is_due(now):
            upstream = sum(n for *_, n in self._upstream_connections())
            self.protection.look(len(self.door.connections) + upstream, now)

    def _tick_upstream(self, name: str, now: float) -> None:
        self.looked_at += 1
        call = self._guard.call
        call(name, self._tick_group, name, now)
        call(name, self._tick_gate, name, self.gates[name], now)

    def _tick_group(self, name: str, now: float) -> None:
        self._groups[name].tick(now)
        self._recoveries[name].deposit(self.counters.upstream(name).firsts, now)

    def _tick_gate(self, name: str, gate: Gate, now: float) -> None:
        if self._groups[name].is_shut and gate.queue.count:
            gate.shed_waiting("breaker_open", now)
        gate.tick(now)
