"""The place of one worker: its present process, and the next one when that ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct, msgpack

from gateway.control.channel import Channel, ChannelBroken
from gateway.control.dispositions import SHIELDED
from gateway.control.messages import Configure, Counted, Drain, Drained, Ready, Report
from gateway.pool.backoff import Backoff
from gateway.pool.child import Child
from gateway.telemetry.guard import Guard
from gateway.telemetry.reading import ProcessReading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from gateway.core.clock import Clock
    from gateway.telemetry.logs import Logger
    from gateway.telemetry.totals import Totals

SeatState = Literal["starting", "ready", "silent", "draining", "dead"]
SEAT_STATES: Final[tuple[SeatState, ...]] = ("starting", "ready", "silent", "draining", "dead")

# A report comes every 0.25 s. After four that did not come others accept its connections: should it be late only, that
# does no harm.
_SILENT: Final = 1.0
# The first start of many workers on few cores takes longer than a later one.
_FIRST_START: Final = 5.0
# A loop that is late by this much serves nobody.
_LATE: Final = 5.0
# What is silent for this long will not come back by itself.
_LOST: Final = 30.0
# After its drain timeout a worker gets this much to report and to exit.
_GRACE: Final = 2.0


class SeatStatus(Struct, frozen=True):
    """What can be said of one worker; ``lag`` is the worst loop lag in its last report."""

    number: int
    state: SeatState
    pid: int
    restarts: int
    process: ProcessReading
    lag: float


class Seat:
    """Keeps one worker running, which inherits ``descriptors``, until it is drained or killed.

    ``configure`` makes the first message for a new process; ``totals`` gets what it counts. ``on_change`` is
    called after each change of state, ``on_report`` after each report.
    """

    def __init__(  # noqa: PLR0913 - everything from outside comes in here
        self,
        number: int,
        descriptors: Sequence[int],
        *,
        configure: Callable[[int], Configure],
        totals: Totals,
        clock: Clock,
        rng: Random,
        log: Logger,
        on_change: Callable[[], None],
        on_report: Callable[[], None],
    ) -> None:
        self.number = number
        self.restarts = 0
        self.failures = 0
        self.covers: tuple[int, ...] = ()
        """The workers for which it accepts connections beside its own."""
        self._descriptors = descriptors
        self._configure = configure
        self._totals = totals
        self._clock = clock
        self._log = log.bind(worker=number)
        self._on_change = on_change
        self._on_report = on_report
        self._backoff = Backoff(rng)
        self._state: SeatState = "dead"
        self._child: Child | None = None
        self._channel: Channel[Report] | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._heard = clock.now()
        self._served = self._heard + _FIRST_START
        self._process = ProcessReading()
        self._past_cpu = 0.0
        self._lag = 0.0

    def __repr__(self) -> str:
        """Say number, state and process."""
        return f"<Seat {self.number} {self.state} pid={self.status.pid}>"

    @property
    def state(self) -> SeatState:
        """The worker's state; a ready one that has not reported for a second is silent."""
        if self._state == "ready" and self._clock.now() - self._heard > _SILENT:
            return "silent"
        return self._state

    @property
    def is_serving(self) -> bool:
        """Whether it is ready and has reported in the last 5 seconds."""
        return self._state == "ready" and self._clock.now() - self._heard <= _LATE

    @property
    def absence(self) -> float:
        """For how many seconds it has not answered, whatever its process does; 0 for less than a second."""
        passed = self._clock.now() - self._served
        return passed if passed > _SILENT and not self._is_stopping else 0.0

    @property
    def status(self) -> SeatStatus:
        """What can be said now."""
        pid = 0 if self._child is None else self._child.pid
        return SeatStatus(self.number, self.state, pid, self.restarts, self._process, self._lag)

    @property
    def cpu(self) -> float:
        """Processor seconds of all processes that ever sat here."""
        return self._past_cpu + self._process.cpu

    def start(self) -> None:
        """Begin to keep a worker running."""
        self._task = asyncio.create_task(
            Guard(self._log, self._clock).keep_going("keep running", self._keep_running), name=f"seat {self.number}"
        )

    def send(self, order: Struct) -> None:
        """Give an order to the worker, if there is one; a worker that takes none any more is killed."""
        if self._channel is None:
            return
        try:
            self._channel.send(order)
        except ChannelBroken as error:
            self._log.error("worker killed", why=str(error))
            self.kill()

    async def drain(self, within: float) -> None:
        """Let the worker finish ``within`` these seconds and end; start no other."""
        self._is_stopping = True
        if self._state in {"ready", "starting"}:
            self._state = "draining"
            self._on_change()
        self.send(Drain(within))
        if self._child is not None:
            try:
                async with asyncio.timeout(within + _GRACE):
                    await self._child.wait()
            except TimeoutError:
                self._log.warning("worker killed", why="it did not end when its time to drain was over")
                self.kill()
        if self._task is not None:
            if self._child is None:
                self._task.cancel()
            await asyncio.wait({self._task})

    def kill(self) -> None:
        """End the worker's process at once."""
        if self._child is not None:
            self._child.signal(signal.SIGKILL)

    def check(self, *, was_asleep: bool) -> None:
        """Kill a worker that is lost; after we ourselves were asleep everyone gets a new chance."""
        if was_asleep:
            now = self._clock.now()
            self._heard, self._served = now, max(self._served, now - _SILENT)
        elif self._state in {"ready", "starting"} and self._clock.now() - self._heard > _LOST:
            self._log.error("worker killed", why="it has not reported for 30 seconds")
            self.kill()

    async def _keep_running(self) -> None:
        while True:
            lived = await self._live()
            if self._is_stopping:
                return
            self.failures = self.failures + 1 if lived is None else 0
            self.restarts += 1
            self._on_change()
            delay = self._backoff.died(lived)
            self._log.warning("worker restarts", in_seconds=round(delay, 3))
            await asyncio.sleep(delay)

    async def _live(self) -> float | None:
        """Run one process to its end; for how long it was ready, None when it never was."""
        ours, theirs = socket.socketpair()
        with theirs:
            fds = [theirs.fileno(), *self._descriptors]
            # -P: the directory that the gateway was started in is not where its modules come from.
            command = [sys.executable, "-P", "-m", "gateway.control.worker", *map(str, fds)]
            try:
                child = Child(command, pass_fds=fds, blocked=SHIELDED)
            except OSError as error:
                ours.close()
                self._log.error("worker did not start", error=error.strerror)
                return None
        began = self._heard = self._clock.now()
        ready_at: float | None = None
        self._child = child
        self._state = "starting"
        self._on_change()
        decoder: msgpack.Decoder[Report] = msgpack.Decoder(Report)
        channel = self._channel = await Channel.open(ours, decoder)
        try:
            channel.send(self._configure(self.number))
            if self._is_stopping:
                channel.send(Drain(0))
            while (report := await channel.receive()) is not None:
                self._heard = self._clock.now()
                if isinstance(report, Ready):
                    ready_at = self._heard
                    self._on_ready(ready_at - began)
                else:
                    self._take(report)
        except ChannelBroken as error:
            self._log.error("worker killed", why=str(error))
            self.kill()
        finally:
            channel.close()
            self._channel = None
            self.covers = ()
        await self._end(child)
        return None if ready_at is None else self._clock.now() - ready_at

    def _on_ready(self, took: float) -> None:
        self._log.info("worker ready", pid=self.status.pid, seconds=round(took, 3))
        self._served = self._heard
        if self._state == "starting":
            self._state = "ready"
            self._on_change()

    def _take(self, report: Counted | Drained | Ready) -> None:
        if isinstance(report, Counted):
            self._totals.update(self.number, report.snapshot)
            self._totals.decisions.extend(report.decisions)
            self._process = report.process
            self._lag = report.lag
            self.covers = report.covers
            self._served = self._heard
            self._on_report()
        elif isinstance(report, Drained):
            self._log.info("worker drained", finished=report.finished)

    async def _end(self, child: Child) -> None:
        # A worker whose channel has ended is on its way out; it may finish what is in flight.
        try:
            async with asyncio.timeout(_LOST):
                status = await child.wait()
        except TimeoutError:
            self.kill()
            status = await child.wait()
        self._totals.retire(self.number)
        self._past_cpu += self._process.cpu
        self._process = ProcessReading()
        self._lag = 0.0
        self._child = None
        self._state = "dead"
        self._on_change()
        if not self._is_stopping:
            self._log.error("worker died", pid=child.pid, status=status)
