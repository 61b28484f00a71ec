"""The control process: doors, workers, pools and the admin address, from start to end."""

from __future__ import annotations

import asyncio
import mmap
import os
import random
import resource
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec.structs import asdict

from gateway import __version__
from gateway.actuators.choice import make_actuator
from gateway.config.encoding import encode
from gateway.control import readiness
from gateway.control.admin import Admin
from gateway.control.endpoints import EndpointTable
from gateway.control.gathering import gather
from gateway.control.keda_door import listen_for_keda
from gateway.control.listeners import Listeners
from gateway.control.messages import Configure, Cover, Reopen
from gateway.control.recollection import Recollection, state_file
from gateway.control.scaling.admission import WorkersAdmission
from gateway.control.scaling.loop import Scaling
from gateway.control.scaling.orders import carry_out
from gateway.control.scaling.pool_actuator import PoolActuator
from gateway.control.seat import Seat
from gateway.control.sharing import Sharing
from gateway.control.status import BreakerStatus, Status, UpstreamStatus, breaker_statuses, totals_status
from gateway.control.vacancies import Vacancies
from gateway.core.clock import SystemClock
from gateway.core.ledger import begin, size
from gateway.keda.source import Board
from gateway.pool.pool import ProcessPool
from gateway.proxy.assembly import tables_of_gateway
from gateway.telemetry.files import open_anew, standard_files
from gateway.telemetry.guard import Guard
from gateway.telemetry.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from msgspec import Struct

    from gateway.actuators.actuator import Actuator
    from gateway.config.settings import Settings
    from gateway.control.messages import BreakerOrder
    from gateway.control.readiness import UpstreamReadiness
    from gateway.control.scaling.orders import ScalingOrder
    from gateway.core.clock import Clock
    from gateway.keda.server import KedaServer
    from gateway.scaling.settings import ScalingSettings
    from gateway.telemetry.logs import Logger
    from gateway.telemetry.reading import Reading
    from gateway.telemetry.snapshot import Decision, Snapshot
    from gateway.upstream.settings import EndpointSettings

_CHECK: Final = 0.25
_ASLEEP: Final = 0.75
_WRITE: Final = 10.0
# By then others accept the connections of a worker that does not answer.
_COVERED: Final = 2.0
# A worker that cannot become ready three times in a row before any was is not a matter of luck.
_SCALED: Final = frozenset({"live", "pinned"})
_HOPELESS: Final = 3


class ControlProcess:
    """Everything but the data planes; runs on the caller's loop.

    ``start`` opens the doors and begins to start processes (BindFailed when a door is not to be had),
    ``until_ready`` waits for the workers, ``stop`` drains and ends everything, ``kill`` only ends it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        log: Logger,
        path: str = "",
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._encoded = encode(settings)
        self._path = path
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311 - jitter and a pseudonym; nothing secret
        self._log = log
        self._guard = Guard(log, self._clock)
        # Every worker has the same, or a request that loops back would pass once through each.
        self._name = f"gateway-{self._rng.getrandbits(32):08x}"
        self._totals = Totals()
        self._recollection = Recollection(state_file(settings.gateway.state_dir, path), log)
        self._seats: list[Seat] = []
        self._orders: dict[tuple[str, str], BreakerOrder] = {}
        self._pools: dict[str, ProcessPool] = {}
        self._endpoints = EndpointTable(settings, rng=self._rng, log=log, send=self.send)
        self._scaling: Scaling | None = None
        self._vacancies: Vacancies | None = None
        self._board = Board(tuple(settings.upstreams), self._clock)
        self._keda: KedaServer | None = None
        self._doors: Listeners | None = None
        self._ledger: int | None = None
        self._absent: frozenset[int] = frozenset()
        self._admin_door: Listeners | None = None
        self._admin = Admin(self, settings.admin, self._clock)
        self._watching: asyncio.Task[None] | None = None
        self._sharing: Sharing = None  # type: ignore[assignment]  # made by start
        self._dealing: asyncio.Task[None] | None = None
        self._is_draining = False
        self._killed = asyncio.Event()
        self._files = standard_files()
        self._started = (self._clock.now(), self._clock.wall())
        self._changed = asyncio.Event()
        self._was_ready = False

    def __repr__(self) -> str:
        """Say how many of how many workers are ready."""
        ready = sum(seat.state == "ready" for seat in self._seats)
        return f"<ControlProcess {self._name} workers={ready}/{len(self._seats)}>"

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the proxy listens, with the ports that the kernel chose."""
        return () if self._doors is None else tuple(self._doors.addresses)

    @property
    def admin_address(self) -> str:
        """Where the admin address is."""
        return "" if self._admin_door is None else self._admin_door.addresses[0]

    async def start(self) -> None:
        """Open the doors and begin to start workers and pools; BindFailed when a door is not to be had."""
        _raise_file_limit()
        workers = self._settings.gateway.workers or os.cpu_count() or 1
        try:
            self._doors = Listeners(self._settings.gateway.listen, workers)
            self._admin_door = Listeners((self._settings.admin.listen,))
            self._keda = await listen_for_keda(self._settings.keda, self._board, self._log)
            self._ledger = self._make_ledger(workers)
        except BaseException:
            self._close_doors()
            raise
        await self._admin.start(self._admin_door.copy(0))
        for name, upstream in self._settings.upstreams.items():
            if upstream.pool is not None:
                pool = ProcessPool(
                    name,
                    upstream.pool,
                    clock=self._clock,
                    rng=self._rng,
                    log=self._log,
                    traffic=self._endpoints.traffic(name),
                    on_change=self._endpoints.change,
                )
                self._pools[name] = pool
                pool.start()
        self._scaling = Scaling(
            self._settings,
            self._totals,
            clock=self._clock,
            log=self._log,
            make_actuator=self._make_actuator,
            admission=WorkersAdmission(self._seats, self._totals),
            tell=None if self._keda is None else self._board.publish,
        )
        self._restore()
        self._recollection.read(self._clock.wall())
        self._endpoints.start()
        self._sharing = Sharing(self._settings, workers, self._seats, self._totals)
        listeners = [one.fileno() for number in range(workers) for one in self._doors.copy(number)]
        for number in range(workers):
            seat = Seat(
                number,
                (self._ledger, *listeners),
                configure=self._configure,
                totals=self._totals,
                clock=self._clock,
                rng=self._rng,
                log=self._log,
                on_change=self._on_change,
                on_report=self._on_report,
            )
            self._seats.append(seat)
            seat.start()
        self._vacancies = Vacancies(self._pools, self._scaling.targets, clock=self._clock, send=self.send)
        self._scaling.start()
        self._watching = asyncio.create_task(self._guard.keep_going("watch", self._watch), name="watch")
        if len(self._seats) > 1:
            self._dealing = asyncio.create_task(self._guard.keep_going("share", self._sharing.run), name="share")

    async def until_ready(self) -> bool:
        """Wait until all workers are ready; False when one has failed three times and none was ever ready."""
        while not all(seat.state == "ready" for seat in self._seats):
            if not self._was_ready and any(seat.failures >= _HOPELESS for seat in self._seats):
                return False
            self._changed.clear()
            await self._changed.wait()
        return True

    async def stop(self) -> None:
        """Fail readiness, after the shutdown delay close the doors, drain the workers, then end the pools."""
        self._is_draining = True
        delay = float(self._settings.gateway.shutdown_delay) if self._was_ready else 0.0
        self._log.info("draining", delay=delay, timeout=float(self._settings.gateway.drain_timeout))
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):  # all goes on as before, but for readiness
                await self._killed.wait()
        for task in (self._watching, self._dealing):
            if task is not None:
                task.cancel()
        if self._doors is not None:
            self._doors.close()
        timeout = float(self._settings.gateway.drain_timeout)
        if self._vacancies is not None:
            self._vacancies.is_ending = True
        stopping = [part.stop() for part in (self._scaling, self._keda) if part is not None]
        await asyncio.gather(*stopping, *(seat.drain(timeout) for seat in self._seats))
        self._recollection.write()
        await self._endpoints.stop()
        await asyncio.gather(*(pool.stop() for pool in self._pools.values()))
        await self._admin.stop()
        self._close_doors()
        self._log.info("stopped")

    def kill(self) -> None:
        """End all processes at once; whoever waits for them sees them end."""
        self._killed.set()
        for seat in self._seats:
            seat.kill()
        for pool in self._pools.values():
            pool.kill()
        self._close_doors()

    def open_logs_anew(self) -> None:
        """Open log files under their names again, here and in the workers, as after a rotation."""
        failed = open_anew(self._files)
        self.send(Reopen(self._files))
        self._log.info("log files opened anew", files=sorted(set(self._files.values()) - failed.keys()))
        for path, why in failed.items():
            self._log.error("log file not opened anew", file=path, why=why)
        self._log.warning("configuration not reloaded", why="it is read at the start; restart the gateway to change it")

    def not_ready(self, upstreams: Mapping[str, UpstreamReadiness] | None = None) -> tuple[str, ...]:
        """Why no traffic should come here now; empty when it should. ``upstreams`` are :meth:`upstreams`, if known."""
        reasons = []
        if self._is_draining:
            reasons.append("draining")
        if not any(seat.is_serving for seat in self._seats):
            reasons.append("no worker is ready")
        elif len(self._seats) > 1:
            covered = {number for seat in self._seats if seat.is_serving for number in seat.covers}
            reasons += [
                f"worker {seat.number} does not answer, nor does another for it"
                for seat in self._seats
                if seat.absence > _COVERED and seat.number not in covered
            ]
        return (*reasons, *readiness.reasons(self.upstreams() if upstreams is None else upstreams))

    def remarks(self, upstreams: Mapping[str, UpstreamReadiness]) -> tuple[str, ...]:
        """What is not well although traffic may come."""
        absent = (f"worker {number} does not answer; others accept its connections" for number in sorted(self._absent))
        return (*absent, *readiness.remarks(upstreams))

    def upstreams(self) -> dict[str, UpstreamReadiness]:
        """Whether each upstream that a route leads to can be served."""
        workers = sum(seat.is_serving for seat in self._seats)
        down = self._endpoints.down
        found = {}
        for name in dict.fromkeys(route.upstream for route in self._settings.routes.values()):
            pool = self._pools.get(name)
            found[name] = readiness.judge(
                name,
                endpoints=len(self._endpoints.served(name)),
                down=len(down.get(name, ())),
                is_pool=pool is not None,
                is_awaited=pool is not None and pool.is_awaited,
                is_shut=0 < workers <= self._totals.shut(name),
                lost=self._endpoints.lost(name),
                detail="" if pool is None else next((one.detail for one in pool.processes if one.detail), ""),
            )
        return found

    def reading(self) -> Reading:
        """Everything that metrics are made of, as of now."""
        return gather(self._settings, self._totals.sum(), self._seats, self._pools, self._scaling)

    def settle(self) -> Iterator[None]:
        """Make :meth:`reading` quick, in small steps."""
        return self._totals.settle()

    def shown(self, snapshot: Snapshot) -> None:
        """These metrics were read; what is gone need not be kept any longer."""
        self._totals.forget_gone(snapshot)

    def decisions(self) -> list[Decision]:
        """The newest refusals of all workers, newest first."""
        return sorted(self._totals.decisions, key=lambda decision: decision.at, reverse=True)

    def endpoint_names(self) -> dict[str, tuple[str, ...]]:
        """The URLs of the endpoints of every upstream."""
        return {
            name: tuple(_url(endpoint) for endpoint in self._endpoints.served(name))
            for name in self._settings.upstreams
        }

    def breakers(self) -> list[BreakerStatus]:
        """The state of every breaker, by upstream and endpoint; an empty endpoint is the whole upstream."""
        return breaker_statuses(self._totals.sum())

    def set_breaker(self, order: BreakerOrder) -> None:
        """Set a breaker by hand, in every worker that there is and that will be."""
        self._log.warning(
            "breaker set by hand",
            upstream=order.upstream,
            endpoint=order.endpoint,
            action=order.action,
            actor=order.actor,
            reason=order.reason,
        )
        if order.action == "reset":
            self._orders.pop((order.upstream, order.endpoint), None)
        else:
            self._orders[order.upstream, order.endpoint] = order
        self.send(order)

    def status(self) -> Status:
        """Everything that an operator wants to see first, as of now."""
        total = self._totals.sum()
        now, wall = self._started
        endpoints = self.endpoint_names()
        return Status(
            version=__version__,
            started=wall,
            uptime=self._clock.now() - now,
            config=self._path,
            listen=self.addresses,
            admin=self.admin_address,
            not_ready=self.not_ready(),
            restarts=sum(seat.restarts for seat in self._seats),
            workers=tuple(seat.status for seat in self._seats),
            upstreams={
                name: UpstreamStatus(
                    endpoints[name],
                    total.in_flight.get(name, 0),
                    self._pools[name].processes if name in self._pools else (),
                )
                for name in self._settings.upstreams
            },
            totals=totals_status(total),
        )

    @property
    def scaling(self) -> Scaling:
        """Signals and decisions; only after the start."""
        if self._scaling is None:
            message = "not started"
            raise RuntimeError(message)
        return self._scaling

    def order_scaling(self, order: ScalingOrder) -> None:
        """Do what somebody with the token said about an upstream's replicas."""
        words = {key: value for key, value in asdict(order).items() if value is not None}
        self._log.warning("scaling ordered by hand", **words)
        if order.action == "restart":
            self._pools[order.upstream].restart(order.actor, order.reason)
        else:
            carry_out(order, self.scaling.targets[order.upstream])

    def _make_actuator(self, name: str, scaling: ScalingSettings) -> Actuator:
        if scaling.actuator.kind == "pool" and name in self._pools:
            return PoolActuator(self._pools[name], self._clock)
        return make_actuator(scaling.actuator, name, clock=self._clock, rng=self._rng, log=self._log)

    def _restore(self) -> None:
        """Begin with as many processes as an earlier gateway had at its end."""
        for name, past in self.scaling.read_past().items():
            pool, target = self._pools.get(name), self.scaling.targets.get(name)
            if pool is not None and target is not None and past.replicas is not None and target.scaler.mode in _SCALED:
                settings = target.scaler.settings
                pool.resize(min(max(past.replicas, settings.min), settings.max))

    def _configure(self, number: int) -> Configure:
        table = self._endpoints
        limits = self._sharing.start(number)
        orders = tuple(self._orders.values())
        return Configure(
            self._encoded,
            self._name,
            number,
            len(self._seats),
            table.changed,
            table.orders,
            table.down,
            limits,
            orders,
            remembered=self._recollection.of(number, len(self._seats), self._clock.wall()),
        )

    def send(self, order: Struct) -> None:
        """Give an order to every worker."""
        for seat in self._seats:
            seat.send(order)

    def _on_report(self) -> None:
        """Look at what every worker that may have requests said last."""
        living = self._totals.living
        news = self._totals.take_news()
        self._recollection.note(living, news, self._clock.wall())
        if self._vacancies is not None:
            self._vacancies.look(living)
        self._endpoints.look(
            {seat.number: living.get(seat.number) for seat in self._seats if seat.state != "dead"}, news
        )

    def _on_change(self) -> None:
        self._on_report()
        self._was_ready = self._was_ready or any(seat.state == "ready" for seat in self._seats)
        self._changed.set()

    async def _watch(self) -> None:
        last = written = self._clock.now()
        while True:
            await asyncio.sleep(_CHECK)
            now = self._clock.now()
            if now - written >= _WRITE:
                written = now
                await asyncio.to_thread(self._recollection.write)
            for seat in self._seats:
                seat.check(was_asleep=now - last > _ASLEEP)
            last = now
            self._cover()

    def _cover(self) -> None:
        """Let the workers that answer accept the connections of those that do not.

        Every worker has its own listening sockets, and the kernel deals out connections to all of them, alive or not.
        """
        absent = frozenset(seat.number for seat in self._seats if seat.absence)
        if len(absent) == len(self._seats):
            return
        for number in sorted(absent - self._absent):
            self._log.warning("worker does not answer", worker=number, covered_by=len(self._seats) - len(absent))
        for number in sorted(self._absent - absent):
            self._log.info("worker answers again", worker=number)
        self._absent = absent
        for seat in self._seats:
            wanted = tuple(sorted(absent - {seat.number}))
            # again until its report confirms it
            if seat.state == "ready" and seat.covers != wanted:
                seat.send(Cover(wanted))

    def _make_ledger(self, workers: int) -> int:
        """The memory in which all workers keep what keys owe; it is ours, so it outlives each of them."""
        descriptor = os.memfd_create("gateway-ledger")
        os.ftruncate(descriptor, size(tables_of_gateway(self._settings), workers))
        with mmap.mmap(descriptor, 0) as memory, memoryview(memory) as view:
            begin(view, self._clock.now(), os.urandom(16))
        return descriptor

    def _close_doors(self) -> None:
        for door in (self._doors, self._admin_door):
            if door is not None:
                door.close()
        if self._ledger is not None:
            os.close(self._ledger)
            self._ledger = None


def _url(endpoint: str | EndpointSettings) -> str:
    return endpoint if isinstance(endpoint, str) else endpoint.url


def _raise_file_limit() -> None:
    """Take all the open files that we may have: each connection is one, and the usual 1024 are few."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
