"""A data-plane process: ``python -m gateway.control.worker CHANNEL_FD LEDGER_FD LISTENER_FD…``.

It inherits the listening sockets of all workers, in their order, so that it can accept for one that does not answer.

It imports only what serving needs, so that a new worker serves 0.3 s after the old one died. It goes when
it is told to, at SIGTERM or SIGQUIT, or when its channel ends because the control process died; each time what is in
flight may finish first. It outlives the other signals (:mod:`gateway.control.dispositions`).
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # structlog imports rich, when it is installed, for its development console: 60 ms at every start.
    sys.modules["rich"] = None  # type: ignore[assignment]

import asyncio
import ctypes
import gc
import mmap
import os
import random
import signal
import socket
from typing import Final

import uvloop
from msgspec import msgpack

from gateway.config.encoding import decode
from gateway.control.channel import Channel, ChannelBroken
from gateway.control.dispositions import outlive, shield
from gateway.control.messages import (
    BreakerOrder,
    Cap,
    Checked,
    Configure,
    Counted,
    Cover,
    Drain,
    Drained,
    Endpoints,
    Expect,
    Order,
    Outlook,
    Ready,
    Reopen,
    Rescale,
    Shares,
)
from gateway.control.vitals import Vitals
from gateway.core.clock import SystemClock
from gateway.core.ledger import Ledger
from gateway.proxy.plane import DataPlane, Server
from gateway.telemetry.access import AccessLog
from gateway.telemetry.files import open_anew
from gateway.telemetry.guard import Guard
from gateway.telemetry.lines import Lines
from gateway.telemetry.logs import Logger, capture_stdlib, describe, make_log

_SET_PDEATHSIG: Final = 1
_TICK: Final = 0.125
_TICKS_PER_REPORT: Final = 2
# Nobody supervises an orphan, so it does not get the whole drain timeout.
_ORPHAN_DRAIN: Final = 5.0
_FLUSH: Final = 1.0


class Worker:
    """Serves with one data plane until told to stop."""

    def __init__(self, channel: Channel[Order], configure: Configure, lines: Lines, ledger: memoryview) -> None:
        self._channel = channel
        self._settings = decode(configure.settings)
        self._clock = SystemClock()
        name = f"worker-{configure.number}"
        self.log: Logger = make_log(self._settings.log, process=name, clock=self._clock, lines=lines)
        self._guard = Guard(self.log, self._clock)
        self._access = AccessLog(self._settings.log, self._clock, lines=lines, process=name)
        self._plane = DataPlane(
            self._settings,
            clock=self._clock,
            rng=random.Random(),  # noqa: S311 - spreads load and names requests; nothing secret
            name=configure.name,
            access_log=self._access,
            log=self.log,
            workers=configure.workers,
            ledger=Ledger(ledger, workers=configure.workers, number=configure.number),
        )
        self._number, self._workers = configure.number, configure.workers
        self._listeners: list[list[socket.socket]] = []
        self._covered: dict[int, list[Server]] = {}
        self._endpoints = configure.endpoints
        self._endpoint_orders = configure.endpoint_orders
        self._down = configure.down
        self._orders = configure.orders
        self._limits = configure.limits
        self._remembered = configure.remembered
        self._vitals = Vitals()
        self._worst_lag = 0.0
        self._ticks = 0
        self._last_tick = 0.0
        self._ticking: asyncio.TimerHandle | None = None
        self._drain: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def run(self, sockets: list[socket.socket]) -> None:
        """Serve, with the sockets of all workers; return when what was in flight has finished or its time is over."""
        each = len(sockets) // self._workers
        self._listeners = [sockets[first : first + each] for first in range(0, len(sockets), each)]
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_loop_error)
        for number in (signal.SIGTERM, signal.SIGQUIT):
            loop.add_signal_handler(number, self._drain_within, float(self._settings.gateway.drain_timeout))
        outlive(loop, self.log)
        capture_stdlib(self.log, self._clock)
        for upstream, endpoints in self._endpoints.items():
            self._plane.set_endpoints(upstream, endpoints, order=self._endpoint_orders.get(upstream, 0))
        await self._plane.start(self._listeners[self._number])
        for upstream, urls in self._down.items():
            for url in urls:
                self._plane.on_checked(upstream, url, is_up=False, has_passed=False)
        for order in self._orders:
            self._plane.set_breaker(order.upstream, order.endpoint, order.action, order.actor, order.reason)
        for upstream, (state, age) in self._remembered.items():
            self._plane.capacity.recall(upstream, state, age)
        self._plane.parts.deal(self._limits, {})  # before the loop turns, so before the first request
        self._channel.send(Ready())
        # What exists now lives as long as the process: the collector need not look at it again.
        gc.freeze()
        self._last_tick = self._clock.now()
        self._tick()
        obeying = asyncio.create_task(self._obey())
        timeout = await self._drain
        await self._cover(())
        # those of the other workers too, or their doors would stay open; who closes last has accepted the last client
        finished = await self._plane.drain(timeout, list(dict.fromkeys(sockets)))
        await self._plane.close()
        obeying.cancel()
        if self._ticking is not None:
            self._ticking.cancel()
        self._report(is_last=True)
        self._channel.send(Drained(finished))
        await self._channel.flush(_FLUSH)
        self._access.close()

    async def _obey(self) -> None:
        timeout = min(_ORPHAN_DRAIN, float(self._settings.gateway.drain_timeout))
        try:
            while (order := await self._channel.receive()) is not None:
                try:
                    await self._carry_out(order)
                except Exception as error:  # noqa: BLE001 - the orders after it are obeyed all the same
                    self._guard.note(type(order).__name__, error)
            self.log.warning("control process gone", drain=timeout)
        except ChannelBroken as error:
            self.log.error("channel broken", error=str(error))  # noqa: TRY400 - where it broke says nothing
        self._drain_within(timeout)

    async def _carry_out(self, order: Order) -> None:
        if isinstance(order, Endpoints):
            self._plane.set_endpoints(order.upstream, order.endpoints, order=order.order, warm=order.warm)
        elif isinstance(order, Outlook):
            self._plane.expect_endpoint(order.upstream, order.wait, order.seconds, is_coming=order.is_coming)
        elif isinstance(order, Shares):
            self._plane.parts.deal(order.limits, order.queues)
        elif isinstance(order, Checked):
            self._plane.on_checked(order.upstream, order.endpoint, is_up=order.is_up, has_passed=order.has_passed)
        elif isinstance(order, BreakerOrder):
            self._plane.set_breaker(order.upstream, order.endpoint, order.action, order.actor, order.reason)
        elif isinstance(order, Cap | Expect | Rescale):
            self._follow(order)
        elif isinstance(order, Cover):
            await self._cover(order.workers)
        elif isinstance(order, Reopen):
            open_anew(order.files)  # the control process says what could not be
        elif isinstance(order, Drain):
            self._drain_within(order.timeout)

    async def _cover(self, workers: tuple[int, ...]) -> None:
        """Accept for these workers too, and for no others."""
        for number in set(self._covered) - set(workers):
            self._plane.close_door(self._covered.pop(number))
        if self._drain.done():
            return
        own = {listener.fileno() for listener in self._listeners[self._number]}
        for number in set(workers) - set(self._covered) - {self._number}:
            # a unix socket is the same for all
            others = [one.dup() for one in self._listeners[number] if one.fileno() not in own]
            self._covered[number] = await self._plane.open_door(others)

    def _follow(self, order: Cap | Expect | Rescale) -> None:
        """What scaling says: how many may be in flight, what is coming, what has come or gone."""
        self._plane.wake(order.upstream)  # its limit may move, and must be reported
        if isinstance(order, Cap):
            self._plane.capacity.set_cap(order.upstream, order.limit, order.seconds)
        elif isinstance(order, Expect):
            self._plane.capacity.expect(order.upstream, order.wait, order.growth, order.seconds)
        else:
            self._plane.capacity.rescale(order.upstream, order.ratio)

    def _drain_within(self, timeout: float) -> None:
        if not self._drain.done():
            self._drain.set_result(timeout)

    def _tick(self) -> None:
        now = self._clock.now()
        if self._ticks:
            lag = max(0.0, now - self._last_tick - _TICK)
            self._worst_lag = max(self._worst_lag, lag)
        self._last_tick = now
        self._ticking = asyncio.get_running_loop().call_later(_TICK, self._tick)
        is_whole_tick = self._ticks % _TICKS_PER_REPORT == 0
        if is_whole_tick:
            self._access.sweep()
            self._plane.note_changes()
        # What does not fit into one report, or does not get through, is still due at the next tick.
        if (is_whole_tick or self._plane.has_changes) and self._channel.is_clear:
            self._guard.call("report", self._report)
        self._ticks += 1

    def _report(self, *, is_last: bool = False) -> None:
        self._channel.send(
            Counted(
                self._plane.snapshot() if is_last else self._plane.changes(),
                self._vitals.read(),
                self._worst_lag,
                self._plane.take_decisions(),
                tuple(sorted(self._covered)),
            )
        )
        self._worst_lag = 0.0

    def _on_loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        fields = describe(error) if isinstance(error, BaseException) else {}
        message = str(context.get("message", "")).partition("\n")[0]
        self.log.error("internal_error", where=message, **fields)


async def _serve(channel_fd: int, ledger: memoryview, listener_fds: list[int]) -> int:
    channel = await Channel.open(socket.socket(fileno=channel_fd), msgpack.Decoder(Order))
    # A unix socket is the same for all workers, so its number comes more than once.
    made = {fd: socket.socket(fileno=fd) for fd in set(listener_fds)}
    sockets = [made[fd] for fd in listener_fds]
    lines = Lines()
    try:
        configure = await channel.receive()
        if not isinstance(configure, Configure):
            return 1
        worker = Worker(channel, configure, lines, ledger)
        try:
            await worker.run(sockets)
        except Exception:
            worker.log.exception("worker failed")
            return 1
        return 0
    finally:
        lines.close()
        channel.close()


def main(arguments: list[str]) -> int:
    """Serve until drained; the exit status."""
    shield()
    # The end of the channel says the same; this also reaches a worker whose loop is stuck before it listens.
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGTERM)
    channel, ledger, *listeners = map(int, arguments)
    memory = memoryview(mmap.mmap(ledger, 0))
    os.close(ledger)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(channel, memory, listeners))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
