"""A gateway of our own for the time of a drill; it ends with us, however we end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.drill.watch import is_ready
from gateway.pool import warden
from gateway.pool.child import Child

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.core.clock import Clock

READY_WITHIN: Final = 90.0
"""Seconds; processes of pools may boot for long."""
_END_WITHIN: Final = 60.0
_TAIL: Final = 1500


class CannotStart(Exception):
    """The gateway did not become ready; the text carries the end of its log."""


class Started(NamedTuple):
    """Where it is: ``proxy`` and ``admin`` are URLs."""

    pid: int
    proxy: str
    admin: str


@asynccontextmanager
async def started(config: Path, clock: Clock) -> AsyncIterator[Started]:
    """``gateway run`` with this file until the block ends, once it is ready; raises :class:`CannotStart`.

    It begins from nothing, and what its limits learn from the drill is not what the next gateway begins with.
    """
    with tempfile.TemporaryFile() as log:
        status, status_end = os.pipe()
        output, output_end = os.pipe()
        command = [sys.executable, "-P", "-m", "gateway", "run", "--forget", str(config)]
        try:
            # the warden kills it should we be killed: then nobody could tell it to end
            child = Child(
                [sys.executable, "-I", "-S", str(Path(warden.__file__)), str(status_end), str(os.getpid()), *command],
                pass_fds=(status_end,),
                stdout=output_end,
                stderr=log.fileno(),
            )
        finally:
            os.close(status_end)
            os.close(output_end)
        told, said = await _reader(status), await _reader(output)
        pid = 0
        try:
            pid = int((await told.readline()).decode().removeprefix("pid ").strip() or "0")
            own = await _announced(said, pid, log.fileno())
            if not await is_ready(own.admin, clock, within=READY_WITHIN):
                raise _cannot("its admin address does not say that it is ready", log.fileno())
            yield own
        finally:
            await _end(child, pid)
            told._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - a reader has no end of its own
            said._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    return reader


async def _announced(said: asyncio.StreamReader, pid: int, log: int) -> Started:
    """Read what it says when it is ready."""
    proxy = ""
    try:
        async with asyncio.timeout(READY_WITHIN):
            while line := (await said.readline()).decode():
                word, _, address = line.strip().partition(" ")
                if word == "proxy":
                    proxy = proxy or address.strip()
                elif word == "metrics":
                    return Started(pid, proxy, address.strip().removesuffix("/metrics"))
    except TimeoutError:
        why = f"not ready within {READY_WITHIN:.0f} s"
    else:
        why = "it ended"
    raise _cannot(why, log)


def _cannot(why: str, log: int) -> CannotStart:
    return CannotStart(f"the gateway did not start: {why}; the end of its log:\n{_tail(log)}")


def _tail(log: int) -> str:
    length = os.fstat(log).st_size
    return os.pread(log, _TAIL, max(length - _TAIL, 0)).decode(errors="replace").strip()


async def _end(child: Child, pid: int) -> None:
    """Let it drain; kill it when it does not end."""
    if pid and child.status is None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    ended = asyncio.ensure_future(child.wait())
    done, _ = await asyncio.wait({ended}, timeout=_END_WITHIN if pid else 0.0)
    if not done:
        child.signal_group(signal.SIGKILL)
        await ended
