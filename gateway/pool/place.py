"""One place in a pool: a process, the next one when it dies, until it is told to leave."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Final, Literal

from gateway.checks.question import Finding
from gateway.http.why import why
from gateway.pool.backoff import Backoff
from gateway.pool.door import Door
from gateway.pool.moves import Seen
from gateway.pool.outlook import Start
from gateway.pool.process import PoolProcess
from gateway.pool.readiness import Asker
from gateway.pool.recycling import Bounds
from gateway.pool.states import State, after
from gateway.pool.status import ProcessStatus
from gateway.pool.vitals import Vitals
from gateway.telemetry.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from gateway.core.clock import Clock
    from gateway.pool.settings import Pool
    from gateway.pool.traffic import Traffic
    from gateway.telemetry.logs import Logger

End = Literal["drained", "forced", "crashed"]
_ELSEWHERE: Final = "nothing answers there; the command must use {port}, {fd} or {socket}, and listen on IPv4"
_RESTART: Final = 0.5
_ABLE: Final = frozenset({"warming", "standby", "ready"})


class Place:
    """Keeps one process of ``settings.command`` running; the pool decides when it boots, serves and leaves.

    ``on_change`` is called after each change of state, ``on_gone`` once, when it has left and nothing of it runs.
    ``epoch`` is the order by which it came to be, ``wanted_at`` the instant when it was first wanted, None once that is
    served.
    """

    def __init__(  # noqa: PLR0913 - everything from outside comes in here
        self,
        name: str,
        number: int,
        settings: Pool,
        *,
        epoch: int,
        wanted_at: float,
        socket_path: Callable[[], Path],
        traffic: Traffic,
        clock: Clock,
        rng: Random,
        log: Logger,
        on_change: Callable[[], None],
        on_gone: Callable[[Place, End | None], None],
    ) -> None:
        self.name = name
        self.number = number
        self.settings = settings
        self.epoch = epoch
        self.wanted_at: float | None = wanted_at
        self.state: State = "dead"
        self.reason = ""
        self.is_able = False
        self.is_leaving = False
        self.is_retiring = False
        self.due = ""
        self.restarts = 0
        self.failures = 0
        """Lives in a row that ended before the process was able to serve."""
        self.url = ""
        self.detail = ""
        """What it answered to the last question whether it is ready, while it is not, and what to set."""
        self.tries_again_at = 0.0
        self.vitals = Vitals()
        self._socket_path = socket_path
        self._traffic = traffic
        self._clock = clock
        self._rng = rng
        self._backoff = Backoff(rng, single=_RESTART)
        self._log = log.bind(pool_process=name)
        self._on_change = on_change
        self._on_gone = on_gone
        self._bounds = Bounds()
        self._first_rss = 0
        self._base = 0
        self._since = self._began = self._able_since = clock.now()
        self._turn = asyncio.Event()
        self._again = asyncio.Event()
        self._process: PoolProcess | None = None
        self._task: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        """Say name, state and where it listens."""
        return f"<Place {self.name} {self.state} {self.url}>"

    @property
    def status(self) -> ProcessStatus:
        """Everything that can be said as of now."""
        process = self._process
        now = self._clock.now()
        return ProcessStatus(
            self.name,
            self.state,
            0 if process is None else process.pid,
            0 if process is None else process.door.port,
            self.restarts,
            self.url,
            self.reason,
            round(now - self._since, 3),
            0.0 if process is None else round(now - self._began, 3),
            self.vitals.rss,
            self.vitals.cpu,
            self._traffic.in_flight(self.url) if self.url else 0,
            self.served,
            self.detail,
        )

    @property
    def starting(self) -> Start:
        """How the start of its process stands."""
        begun = self._since if self.wanted_at is None else self.wanted_at
        return Start(self.state, self.failures, begun, self.tries_again_at)

    @property
    def served(self) -> int:
        """Complete answers of the present process."""
        return self._traffic.served(self.url) - self._base if self.url else 0

    def seen(self, epoch: int) -> Seen:
        """What the pool decides by."""
        return Seen(
            self.number,
            self.state,
            is_able=self.is_able,
            is_retiring=self.is_retiring,
            is_outdated=self.epoch != epoch,
            is_due=bool(self.due),
            in_flight=self._traffic.in_flight(self.url) if self.url else 0,
            age=self._clock.now() - self._able_since if self.is_able else 0.0,
            rss=self.vitals.rss,
        )

    # --- the pool says ---------------------------------------------------------------------------

    def start(self, reason: str) -> None:
        """Begin to keep a process running, as soon as :meth:`go` says so."""
        self._enter("spawning", reason)
        self._task = asyncio.create_task(
            Guard(self._log, self._clock).keep_going("keep running", self._keep_running), name=f"pool {self.name}"
        )

    def go(self) -> None:
        """It is this place's turn to boot."""
        self._turn.set()

    @property
    def waits(self) -> bool:
        """Whether it waits for its turn to boot."""
        return self.state == "spawning" and not self._turn.is_set()

    @property
    def boots(self) -> bool:
        """Whether it takes the processor for booting."""
        return not self.is_able and (self._turn.is_set() or self.state in {"booting", "warming"})

    def serve(self, reason: str) -> None:
        """Take traffic."""
        self._log.info("pool process ready", pid=self.status.pid, endpoint=self.url, reason=reason)
        self._enter("ready", reason)

    def rest(self, reason: str) -> None:
        """Take no traffic, and stay."""
        self._log.info("pool process on standby", pid=self.status.pid, reason=reason)
        self.wanted_at = None
        self._enter("standby", reason)

    def look(self) -> None:
        """Measure, and see whether it is due to be recycled."""
        if self._process is not None:
            self.vitals = self._process.vitals
        if self.is_able and not self.due:
            rss = self.vitals.rss
            self._first_rss = self._first_rss or rss
            age = self._clock.now() - self._able_since
            self.due = self._bounds.due(self.served, age, rss, self._first_rss)

    def renew(self) -> None:
        """It is not to be replaced now; if it was due it will be again."""
        self.due = ""
        self.is_retiring = False
        self._bounds = Bounds.draw(self.settings.recycle, self._rng)
        requests = self._bounds.requests and self.served + self._bounds.requests
        self._bounds = Bounds(requests, self._renewed_age(), self._bounds.memory)
        self._first_rss = self.vitals.rss  # it is due again when it has grown further

    def _renewed_age(self) -> float:
        return self._bounds.age and self._clock.now() - self._able_since + self._bounds.age

    def forgive(self) -> None:
        """Try again at once what waits because it died."""
        self._backoff.forgive()
        self._again.set()

    def leave(self, reason: str) -> None:
        """Drain, end, and come no more."""
        if self.is_leaving:
            return
        self.is_leaving = True
        self.is_able = False
        self._running = self._task
        if self._running is not None:
            self._running.cancel()
        self._task = asyncio.create_task(self._depart(reason), name=f"pool {self.name} leaves")
        if self.state in {"ready", "standby"}:
            self._enter("draining", reason)
        elif self.state in {"booting", "warming"}:
            self._enter("stopping", reason)
        else:
            self.reason = reason

    async def until_gone(self) -> None:
        """Wait until it has left."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def kill(self) -> None:
        """End the process and everything below it at once."""
        if self._process is not None:
            self._process.signal(signal.SIGKILL)

    # --- its lives -------------------------------------------------------------------------------

    async def _keep_running(self) -> None:
        while True:
            await self._turn.wait()
            lived = await self._live()
            self.failures = 0 if lived is not None else self.failures + 1
            cause = self.reason
            delay = self._backoff.died(lived)
            self._again.clear()
            if self._backoff.is_looping:
                delay = self._backoff.longest()
                self.tries_again_at = self._clock.now() + delay
                self._log.error("pool process quarantined", in_seconds=round(delay, 3))
                self._enter("quarantined", "crash_loop")
            else:
                self.tries_again_at = self._clock.now() + delay
                self._log.info("pool process restarts", in_seconds=round(delay, 3))
                self._on_change()  # whoever waits for failures hears of one
            try:
                async with asyncio.timeout(delay):
                    await self._again.wait()
            except TimeoutError:
                pass
            self.restarts += 1
            self._enter("spawning", cause)

    async def _live(self) -> float | None:
        """Run one process from its start to its end; for how long it was able to serve, None when it never was."""
        try:
            door = Door(self.settings.command, self._socket_path)
            process = self._process = PoolProcess(door)
            await process.listen(self._log)
        except OSError as error:  # no program, no descriptors, no memory
            self._log.error("pool process did not start", error=error.strerror)
            self.detail = why(error)
            self._turn.clear()
            if self._process is not None:
                await self._end(self._process)
            self._enter("dead", "did_not_start")
            return None
        self.url = door.url
        self._began = self._clock.now()
        self._base = self._traffic.served(door.url)
        self._enter("booting", self.reason)
        self._turn.clear()
        preparing = asyncio.create_task(self._prepare(Asker(door.url, self._clock)))
        able_at = None
        try:
            first: set[asyncio.Future[bool] | asyncio.Future[int]] = {preparing, process.ended}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if not process.ended.done() and preparing.result():
                able_at = self._become_able()
                await asyncio.shield(process.ended)
        finally:
            preparing.cancel()
        lived = None if able_at is None else self._clock.now() - able_at
        self.is_able = False
        if process.ended.done():
            status = process.ended.result()
            self._log.warning("pool process ended", pid=process.pid, status=status)
            self.detail = f"it ended with status {status}"
            self._enter("dead", "crash")  # first of all, so that nobody is sent there any more
            await self._end(process)
        else:
            self._enter("stopping", "not_ready")
            await self._end(process)
            self._enter("dead", "not_ready")
        return lived

    async def _prepare(self, asker: Asker) -> bool:
        """See whether the process becomes ready and warm; say what was asked and answered when it does not."""
        ready, warm_up = self.settings.ready, self.settings.warm_up
        is_first = True

        def on_answer(found: Finding) -> None:
            nonlocal is_first
            if found.status or not self.detail:  # while it boots nothing listens, which says less than its last life
                self.detail = str(found)
            if found.status and is_first:
                is_first = False
                self._say("pool process answers, and is not ready", found)

        is_ready, last = await asker.until_ready(ready, on_answer)
        if self.is_leaving:
            return False
        if not is_ready:
            found = last or Finding(has_passed=False, answered="no answer")
            if not found.status:
                found = found._replace(hint=_ELSEWHERE)
            self.detail = str(found)
            self._say("pool process not ready in time", found, seconds=float(ready.timeout), passes=ready.passes)
            return False
        self._enter("warming", self.reason)
        unfit = await asker.warms_up(warm_up, ready)
        if unfit is not None and not self.is_leaving:
            self.detail = f"warm-up: {unfit}"
            self._say("pool process not warm in time", unfit, seconds=float(warm_up.timeout))
        return unfit is None

    def _say(self, event: str, found: Finding, **more: object) -> None:
        is_warm_up = self.state == "warming"
        ready = self.settings.ready
        path = self.settings.warm_up.path if is_warm_up else ready.path or "/"
        asked = "a connection" if ready.kind == "tcp" and not is_warm_up else f"GET {path}"
        hint = {"hint": found.hint} if found.hint else {}
        pid = 0 if self._process is None else self._process.pid
        self._log.warning(event, pid=pid, asked=asked, endpoint=self.url, answered=found.answered, **hint, **more)

    def _become_able(self) -> float:
        now = self._able_since = self._clock.now()
        self._first_rss = 0
        self._bounds = Bounds.draw(self.settings.recycle, self._rng)
        self.due = ""
        self.detail = ""
        self.is_able = True
        self._on_change()  # which makes it serve, or puts it on standby
        return now

    # --- its end ---------------------------------------------------------------------------------

    async def _depart(self, reason: str) -> None:
        running = self._running
        if running is not None:
            await asyncio.wait({running})
        process = self._process
        end: End | None = None
        if process is not None:
            is_drained = self.state != "draining" or await self._is_drained(process)
            if process.ended.done():
                end = "crashed"
            else:
                end = "drained" if await self._is_stopped(process) and is_drained else "forced"
            self._log.info("pool process left", pid=process.pid, reason=reason, end=end)
            await self._end(process)
        if self.state != "dead":
            self._enter("dead", reason)
        self._on_gone(self, end)

    async def _is_drained(self, process: PoolProcess) -> bool:
        """Wait until nobody has a request there; False when somebody still has when the time is over."""
        idle = asyncio.create_task(self._traffic.until_idle(self.url))
        try:
            waited: set[asyncio.Future[None] | asyncio.Future[int]] = {idle, process.ended}
            await asyncio.wait(waited, timeout=float(self.settings.drain_timeout), return_when=asyncio.FIRST_COMPLETED)
            return idle.done() or process.ended.done()
        finally:
            idle.cancel()

    async def _is_stopped(self, process: PoolProcess) -> bool:
        """Tell the process to end, and wait for it as long again; False when it has to be killed."""
        if self.state == "draining":
            self._enter("stopping", self.reason)
        process.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self.settings.drain_timeout):
                await process.gone()
        except TimeoutError:
            self._log.warning("pool process killed", pid=process.pid, after=float(self.settings.drain_timeout))
            return False
        return True

    async def _end(self, process: PoolProcess) -> None:
        await process.finish()
        self._process = None
        self.url = ""
        self.vitals = Vitals()

    def _enter(self, state: State, reason: str) -> None:
        self.state = after(self.state, state)
        self.reason = reason
        self._since = self._clock.now()
        self._on_change()
