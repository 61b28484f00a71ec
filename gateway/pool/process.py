"""One process of a pool's command with its warden and its pipes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.pool import warden
from gateway.pool.child import Child
from gateway.pool.output import Lines, Output
from gateway.pool.program import resolved
from gateway.pool.vitals import Vitals, below
from gateway.pool.words import Reader
from gateway.telemetry.logs import Verbatim

if TYPE_CHECKING:
    from gateway.pool.door import Door
    from gateway.telemetry.logs import Logger

# A warden gives up after 5 s.
_SWEEP: Final = 8.0
_WARDEN: Final = str(Path(warden.__file__).resolve())


class PoolProcess:
    """Runs the command of ``door``; OSError when even its warden cannot be started.

    ``ended`` has the command's exit status, ``pid`` its number as soon as the warden has told it. When the command has
    ended what it left behind may still run, until :meth:`finish`.
    """

    def __init__(self, door: Door) -> None:
        self.door = door
        self.pid = 0
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._transports: list[asyncio.ReadTransport] = []
        self._pipes: dict[str, FileIO] = {}
        self._listening: asyncio.Task[None] | None = None
        command = resolved(door.command)
        ends: dict[str, int] = {}
        try:
            for name in ("status", "stdout", "stderr"):
                ours, ends[name] = os.pipe()
                self._pipes[name] = FileIO(ours)
            self._child = Child(
                [sys.executable, "-I", "-S", _WARDEN, str(ends["status"]), str(os.getpid()), *command],
                pass_fds=(ends["status"], *door.descriptors),
                env={**os.environ, **door.environment},
                stdout=ends["stdout"],
                stderr=ends["stderr"],
                blocked=warden.IGNORED,
            )
        except OSError:
            self._close()
            raise
        finally:
            door.hand_over()
            for end in ends.values():
                os.close(end)

    def __repr__(self) -> str:
        """Say the process id and where it listens."""
        return f"<PoolProcess pid={self.pid} {self.door.url}>"

    async def listen(self, log: Logger) -> None:
        """Follow what the warden tells and what the command writes."""
        # Where uvloop is cancelled while it connects a pipe, it closes the pipe behind its object's back; the object
        # closes it again, when somebody else may have the number.
        self._listening = asyncio.create_task(self._follow_all(log))
        await asyncio.shield(self._listening)

    async def _follow_all(self, log: Logger) -> None:
        await self._follow("status", Lines(self._on_status, self._on_gone))
        for stream in ("stdout", "stderr"):
            out = log.bind(stream=stream)
            await self._follow(stream, Output(partial(_write_output, out, Reader()), partial(_write_dropped, out)))

    @property
    def vitals(self) -> Vitals:
        """Memory and processor time of the command and all that it started."""
        return below(self._child.pid)

    def signal(self, number: signal.Signals) -> None:
        """Signal the command and everything below it."""
        if number == signal.SIGKILL:
            self._child.signal(warden.KILL)  # the warden finds what has left the group too
        else:
            self._child.signal_group(number)

    async def gone(self) -> None:
        """Wait until nothing of the command runs any more."""
        await self._child.wait()

    async def finish(self) -> None:
        """End whatever is left, and wait until it has ended."""
        self.signal(signal.SIGKILL)
        try:
            async with asyncio.timeout(_SWEEP):
                await self._child.wait()
        except TimeoutError:  # the warden is stopped, or what is left is not ours to kill
            self._child.signal_group(signal.SIGKILL)
            await self._child.wait()
        if self._listening is not None:
            await asyncio.wait({self._listening})
        self._close()

    async def _follow(self, name: str, protocol: Lines) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: protocol, self._pipes.pop(name))
        self._transports.append(transport)

    def _on_status(self, line: str) -> None:
        word, _, number = line.partition(" ")
        if word == "pid":
            self.pid = int(number)
        elif word == "exit" and not self.ended.done():
            self.ended.set_result(int(number))

    def _on_gone(self) -> None:
        """The warden itself is gone, with everything below it."""
        if not self.ended.done():
            self.ended.set_result(128 + signal.SIGKILL)

    def _close(self) -> None:
        for transport in self._transports:
            transport.close()
        for pipe in self._pipes.values():
            pipe.close()


def _write_output(log: Logger, reader: Reader, line: str) -> None:
    said = reader.read(line)
    if said.fields is None:
        log.info("pool process output", own_level=said.level, line=Verbatim(said.text))
    else:
        log.info("pool process output", own_level=said.level, merged=said.fields)


def _write_dropped(log: Logger, n: int) -> None:
    log.warning("pool process output dropped", n=n)
