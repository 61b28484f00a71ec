"""Runs a command once: no shell, bounded time, and its output line by line."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gateway.actuators.actuator import ActuatorFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

_LINES: Final = 200
_LONGEST: Final = 4096


class Output(asyncio.Protocol):
    """Keeps the first lines that arrive on a pipe, and counts the others; ``ended`` is set when it is closed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.dropped = 0
        self.ended = asyncio.Event()
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
        self._take(self._rest)
        self.ended.set()

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace").strip()
        if text and len(self.lines) < _LINES:
            self.lines.append(text)
        elif text:
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
        lines = self.errors.lines or self.output.lines
        return lines[-1] if lines else ""

    def __repr__(self) -> str:
        return f"<Ran {self.status} {self.last}>"


async def run(argv: Sequence[str], *, timeout: float) -> Ran:  # noqa: ASYNC109 - what outlasts it is killed
    """Run a command and wait for its end; ActuatorFailed when it cannot start or outlasts its time.

    It has a session of its own, and all of it is killed when the time is over or nobody waits any more. What it leaves
    running in the background goes on, but is not listened to.
    """
    async with _Pipe() as output, _Pipe() as errors:
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
        try:
            async with asyncio.timeout(timeout):
                status = await process.wait()
        except TimeoutError as error:
            raise ActuatorFailed("timeout", f"{argv[0]} did not end in {timeout:g} s, and was killed") from error
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        # it has ended, so all that it wrote is in the pipes; who holds them open is somebody else
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await output.protocol.ended.wait()
                await errors.protocol.ended.wait()
        return Ran(status, output.protocol, errors.protocol)


class _Pipe:
    """One end for the command, the other for us."""

    def __init__(self) -> None:
        self.protocol = Output()
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
