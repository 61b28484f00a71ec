"""One place in a pool: a process, the next one when it ends, and so on."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from gateway.pool import warden
from gateway.pool.backoff import Backoff
from gateway.pool.child import Child
from gateway.pool.output import Output
from gateway.pool.readiness import answers
from gateway.pool.states import State, after

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    import aiohttp

    from gateway.core.clock import Clock
    from gateway.pool.settings import Pool
    from gateway.telemetry.logs import Logger

_RESTART: Final = 0.5
_WARDEN: Final = str(Path(warden.__file__).resolve())


class ProcessStatus(Struct, frozen=True):
    """What can be said of one place in a pool; ``pid`` and ``port`` are 0 while it has no process."""

    name: str
    state: State
    pid: int
    port: int
    restarts: int


class PoolProcess:
    """Keeps one process of the pool's command running until :meth:`stop`.

    ``on_change`` is called after each change of state.
    """

    def __init__(  # noqa: PLR0913 - everything from outside comes in here
        self,
        name: str,
        settings: Pool,
        *,
        session: aiohttp.ClientSession,
        clock: Clock,
        rng: Random,
        log: Logger,
        on_change: Callable[[], None],
    ) -> None:
        self.name = name
        self.state: State = "dead"
        self.port = 0
        self.pid = 0
        self.restarts = 0
        self._settings = settings
        self._session = session
        self._clock = clock
        self._backoff = Backoff(rng, single=_RESTART)
        self._log = log.bind(pool_process=name)
        self._on_change = on_change
        self._run: _Run | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        """Say name, state and where it listens."""
        return f"<PoolProcess {self.name} {self.state} port={self.port}>"

    @property
    def status(self) -> ProcessStatus:
        """State, process id and port as of now."""
        return ProcessStatus(self.name, self.state, self.pid, self.port, self.restarts)

    def start(self) -> None:
        """Begin to keep a process running."""
        self._task = asyncio.create_task(self._keep_running(), name=f"pool {self.name}")

    async def stop(self) -> None:
        """Take the process out of the routing, end it within the drain timeout, and start no other."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
        run = self._run
        if run is None:
            return
        if self.state == "ready":
            self._enter("draining")
        if self.state in {"draining", "booting"}:
            self._enter("stopping")
        run.child.signal_group(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._settings.drain_timeout):
                await run.child.wait()
        except TimeoutError:
            self._log.warning("pool process killed", pid=self.pid, after=float(self._settings.drain_timeout))
        await self._end(run)

    def kill(self) -> None:
        """End the process and everything below it at once."""
        if self._run is not None:
            self._run.child.signal_group(signal.SIGKILL)

    async def _keep_running(self) -> None:
        while True:
            lived = await self._live()
            delay = self._backoff.died(lived)
            self._log.info("pool process restarts", in_seconds=round(delay, 3))
            await asyncio.sleep(delay)
            self.restarts += 1

    async def _live(self) -> float | None:
        """Run one process from spawning to dead; for how long it was ready, None when it never was."""
        self._enter("spawning")
        try:
            run = self._run = self._spawn()
        except OSError as error:
            self._log.error("pool process did not start", error=error.strerror)
            self._enter("dead")
            return None
        await run.listen(self._log, self._on_pid)
        self._enter("booting")
        url = f"http://127.0.0.1:{run.port}"
        began = None
        checking = asyncio.create_task(answers(self._session, url, self._settings.ready))
        try:
            first: set[asyncio.Future[int] | asyncio.Future[bool]] = {checking, run.ended}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if not run.ended.done() and checking.result():
                began = self._clock.now()
                self._log.info("pool process ready", pid=self.pid, port=run.port)
                self._enter("ready")
                await asyncio.shield(run.ended)
        finally:
            checking.cancel()
        if run.ended.done():
            self._log.warning("pool process ended", pid=self.pid, status=run.ended.result())
        else:
            self._log.warning("pool process not ready in time", pid=self.pid, path=self._settings.ready.path)
            self._enter("stopping")
        await self._end(run)
        return None if began is None else self._clock.now() - began

    def _spawn(self) -> _Run:
        self.port = _free_port()
        command = [part.replace("{port}", str(self.port)) for part in self._settings.command]
        if command[0] == "python":
            command[0] = sys.executable
        return _Run(command, self.port)

    def _on_pid(self, pid: int) -> None:
        self.pid = pid

    async def _end(self, run: _Run) -> None:
        # Whatever the command left behind goes too; the warden is the group's leader, so it goes with them.
        run.child.signal_group(signal.SIGKILL)
        await run.child.wait()
        run.close()
        self._run = None
        self.pid = self.port = 0
        self._enter("dead")

    def _enter(self, state: State) -> None:
        self.state = after(self.state, state)
        self._on_change()


class _Run:
    """One process, its warden and its pipes; OSError when even the warden cannot be started.

    ``ended`` has the command's exit status.
    """

    def __init__(self, command: list[str], port: int) -> None:
        self.port = port
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._on_pid: Callable[[int], None] | None = None
        self._transports: list[asyncio.ReadTransport] = []
        pipes = {name: os.pipe() for name in ("status", "stdout", "stderr")}
        self._pipes = {name: os.fdopen(pipe[0], "rb", 0) for name, pipe in pipes.items()}
        try:
            self.child = Child(
                [sys.executable, "-I", "-S", _WARDEN, str(pipes["status"][1]), str(os.getpid()), *command],
                pass_fds=(pipes["status"][1],),
                env={**os.environ, "PORT": str(port)},
                stdout=pipes["stdout"][1],
                stderr=pipes["stderr"][1],
            )
        except OSError:
            self.close()
            raise
        finally:
            for _, fd in pipes.values():
                os.close(fd)

    async def listen(self, log: Logger, on_pid: Callable[[int], None]) -> None:
        """Follow what the warden tells and what the command writes."""
        self._on_pid = on_pid
        await self._follow("status", Output(self.on_status, self.on_gone))
        for stream in ("stdout", "stderr"):
            bound = log.bind(stream=stream)
            await self._follow(stream, Output(partial(_write_output, bound)))

    async def _follow(self, name: str, protocol: Output) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: protocol, self._pipes[name])
        self._transports.append(transport)

    def on_status(self, line: str) -> None:
        """Hear from the warden."""
        word, _, number = line.partition(" ")
        if word == "pid" and self._on_pid is not None:
            self._on_pid(int(number))
        elif word == "exit" and not self.ended.done():
            self.ended.set_result(int(number))

    def on_gone(self) -> None:
        """The warden itself is gone, with everything below it."""
        if not self.ended.done():
            self.ended.set_result(128 + signal.SIGKILL)

    def close(self) -> None:
        """Close our ends of the pipes."""
        for transport in self._transports:
            transport.close()
        for pipe in self._pipes.values():
            if not self._transports:
                pipe.close()


def _write_output(log: Logger, line: str) -> None:
    log.info("pool process output", line=line)


def _free_port() -> int:
    """A port that nobody has now. Somebody may take it before the process does; then it ends, and is restarted."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
