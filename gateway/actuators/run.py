"""Runs a command once: no shell, bounded time, and its output line by line."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.actuators.actuator import ActuatorFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

_LINES: Final = 200
_LONGEST: Final = 4096
_REST: Final = 0.2
"""Seconds in which what is in the pipes at the end is read; others may hold them open."""
_PASSES: Final = 10


class Room:
    """How many lines of a command are still kept, whichever pipe they come from."""

    def __init__(self, lines: int = _LINES) -> None:
        self.left = lines

    def take(self) -> bool:
        """Whether there is room for one more."""
        self.left -= 1
        return self.left >= 0


class Output(asyncio.Protocol):
    """Keeps the first lines that arrive on a pipe, and counts the others; ``ended`` is set when it is closed.

    ``last`` is the last line, kept or not.
    """

    def __init__(self, room: Room) -> None:
        self.lines: list[str] = []
        self.last = ""
        self.dropped = 0
        self.ended = asyncio.Event()
        self._room = room
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Take whole lines, long ones in pieces of 4 KiB, and keep the rest."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            for start in range(0, len(line), _LONGEST):
                self._take(line[start : start + _LONGEST])
        while len(self._rest) >= _LONGEST:
            self._take(self._rest[:_LONGEST])
            self._rest = self._rest[_LONGEST:]

    def connection_lost(self, _error: Exception | None) -> None:
        """Take a last line that has no end."""
        self.flush()
        self.ended.set()

    def flush(self) -> None:
        """Take what has no end as a line."""
        self._take(self._rest)
        self._rest = b""

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace").strip()
        if not text:
            return
        self.last = text
        if self._room.take():
            self.lines.append(text)
        else:
            self.dropped += 1


class Ran:
    """How a command ended: its exit status, negative for a signal, and what it wrote."""

    def __init__(self, status: int, output: Output, errors: Output) -> None:
        self.status = status
        self.output = output
        self.errors = errors

    @property
    def last(self) -> str:
        """The last line it wrote, errors first; empty when it was silent."""
        return self.errors.last or self.output.last

    def __repr__(self) -> str:
        return f"<Ran {self.status} {self.last}>"


class OutOfTime(ActuatorFailed):
    """A command outlasted its time and was killed; ``ran`` has what it wrote until then."""

    def __init__(self, program: str, timeout: float, ran: Ran) -> None:
        said = f"; its last line was: {ran.last}" if ran.last else ""
        super().__init__("timeout", f"{program} did not end in {timeout:g} s, and was killed{said}")
        self.ran = ran


async def run(argv: Sequence[str], *, timeout: float) -> Ran:  # noqa: ASYNC109 - what outlasts it is killed
    """Run a command and wait for its end; ActuatorFailed when it cannot start, :class:`OutOfTime` when it lasts longer.

    When the time is over or nobody waits any more it is killed with all that it has started, in whatever process group
    or session that is. What it leaves running in the background after its end goes on, but is not listened to.
    """
    room = Room()
    async with _Pipe(room) as output, _Pipe(room) as errors:
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.writer,
                stderr=errors.writer,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise ActuatorFailed("cannot_start", f"{argv[0]}: {why}") from error
        output.close_writer()
        errors.close_writer()
        is_late = False
        try:
            async with asyncio.timeout(timeout):
                await process.wait()
        except TimeoutError:
            is_late = True
        finally:
            if process.returncode is None:
                kill_family(process.pid)
                await process.wait()
        # it has ended, so all that it wrote is in the pipes; who holds them open is somebody else
        with suppress(TimeoutError):
            async with asyncio.timeout(_REST):
                await output.protocol.ended.wait()
                await errors.protocol.ended.wait()
        for one in (output.protocol, errors.protocol):
            one.flush()
        ran = Ran(process.returncode or 0, output.protocol, errors.protocol)
        if is_late:
            raise OutOfTime(argv[0], timeout, ran)
        return ran


def kill_family(leader: int) -> None:
    """Kill a process that leads a session, what it has started, and what that has, until none of them is left.

    A child may have a process group of its own, as job control of shells gives it, or a session (setsid): so who
    belongs to it is found by its session and by its parents.
    """
    sessions, known = {leader}, {leader}
    for _ in range(_PASSES):
        found = False
        for pid, parent, session in sorted(_processes()):
            if pid in known or parent in known or session in sessions:
                found = True
                known.add(pid)
                if session == pid:
                    sessions.add(pid)
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        if not found:
            return


def _processes() -> Iterator[tuple[int, int, int]]:
    """Process, parent and session of all that have not ended (proc(5), /proc/pid/stat)."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                # the name of the program, in brackets, may contain anything
                text = (folder / "stat").read_text("ascii", "replace").rpartition(")")[2]
                state, parent, _, session, *_ = text.split()
                if state not in {"Z", "X"}:
                    yield int(folder.name), int(parent), int(session)


class _Pipe:
    """One end for the command, the other for us."""

    def __init__(self, room: Room) -> None:
        self.protocol = Output(room)
        self.writer = -1
        self._transport: asyncio.ReadTransport | None = None

    async def __aenter__(self) -> Self:
        reader, self.writer = os.pipe()
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.connect_read_pipe(lambda: self.protocol, os.fdopen(reader, "rb", buffering=0))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close_writer()
        if self._transport is not None:
            self._transport.close()

    def close_writer(self) -> None:
        """The command has its own copy."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1
