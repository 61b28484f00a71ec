"""The ledger: every decision, and what became of it, as lines of JSON in a file that is only appended to.

Writing is done on a thread. A disk that is full or a folder that is not ours must not hold up a decision: lines wait in
a bounded buffer, the failure is logged and counted, and writing is tried again after a while. At ``LARGEST`` bytes the
file becomes ``NAME.1``, and the one before that goes.

A restart reads the newest 2 MiB of both. So that a pin, a freeze and the number of the last decision outlive any number
of lines, the state of every target is written again after each MiB.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import json

from gateway.control.scaling.past import Pasts
from gateway.control.scaling.wall import wall_text
from gateway.telemetry.reading import LedgerReading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.control.scaling.past import Past
    from gateway.core.clock import Clock
    from gateway.telemetry.logs import Logger

LARGEST: Final = 16 * 1024 * 1024
"""Bytes: some twenty thousand decisions."""
_MOST_WAITING: Final = 10_000
_AGAIN: Final = 5.0
_TAIL: Final = 2 * 1024 * 1024
STATE_EVERY: Final = 1024 * 1024
"""Bytes between two times at which the state of every target is written."""


class Ledger:
    """Appends to ``path``; with None nothing is written, and nothing read."""

    def __init__(self, path: str | None, *, clock: Clock, log: Logger, largest: int = LARGEST) -> None:
        self._path = None if path is None else Path(path)
        self._clock = clock
        self._log = log
        self._largest = largest
        self._waiting: deque[bytes] = deque()
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._pasts = Pasts()
        self._since_state = 0
        self.errors = 0
        self.dropped = 0
        self.problem = ""

    def write(self, record: Mapping[str, object]) -> None:
        """Add one line, with the time of day; never waits and never fails."""
        if self._path is None:
            return
        if self._since_state >= STATE_EVERY:
            self._since_state = 0
            for line in self._pasts.lines():
                self._put(line)
        self._put(record)

    def _put(self, record: Mapping[str, object]) -> None:
        full = {"wall": wall_text(self._clock.wall()), **record}
        self._pasts.take(full)
        line = json.encode(full) + b"\n"
        self._since_state += len(line)
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            self._drop()
        self._waiting.append(line)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._keep_writing(), name="ledger")

    def _drop(self) -> None:
        """A line is lost; what it said is said again with the next one."""
        self.dropped += 1
        self._since_state = STATE_EVERY

    def read_past(self) -> dict[str, Past]:
        """What an earlier process left: the last state of every target that was ever decided on."""
        for record in () if self._path is None else read_records(self._path):
            self._pasts.take(record)
        return dict(self._pasts.states)

    @property
    def reading(self) -> LedgerReading:
        """How it goes, for metrics."""
        return LedgerReading(self.errors, self.dropped)

    async def stop(self) -> None:
        """Write what waits, tried once more if need be; a disk that hangs is not waited for."""
        self._stopping.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_AGAIN):
                if self._task is not None:
                    await self._task
                if self._waiting:
                    await self._flush()

    async def _keep_writing(self) -> None:
        while self._waiting:
            if not await self._flush():
                with suppress(TimeoutError):
                    async with asyncio.timeout(_AGAIN):
                        await self._stopping.wait()
                if self._stopping.is_set():
                    return

    async def _flush(self) -> bool:
        lines, self._waiting = self._waiting, deque()
        try:
            await asyncio.to_thread(self._append, b"".join(lines))
        except OSError as error:
            self._put_back(lines)
            self.errors += 1
            problem = f"{self._path}: {error.strerror or type(error).__name__}"
            if problem != self.problem:
                self.problem = problem
                self._log.error("the ledger cannot be written", problem=problem, waiting=len(lines))
            return False
        if self.problem:
            self._log.warning("the ledger is written again", after=self.problem, dropped=self.dropped)
            self.problem = ""
        return True

    def _put_back(self, lines: deque[bytes]) -> None:
        """Let lines wait that could not be written, before those that came meanwhile."""
        lines.extend(self._waiting)
        while len(lines) > _MOST_WAITING:
            lines.popleft()
            self._drop()
        self._waiting = lines

    def _append(self, data: bytes) -> None:
        path: Path = self._path  # type: ignore[assignment]  # asked by write
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            begin = os.fstat(fd).st_size
            try:
                # what was torn off by a full disk or a crash must not swallow the line after it
                _write_all(fd, b"\n" + data if begin and _lacks_end(path) else data)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(fd, begin)  # all of it or nothing, so that trying again writes no line twice
                raise
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        if size >= self._largest:
            path.replace(path.with_name(path.name + ".1"))

    def __repr__(self) -> str:
        return f"<Ledger {self._path} waiting={len(self._waiting)} {self.problem}>"


def read_records(path: Path | str) -> Iterable[dict[str, object]]:
    """The records of the newest lines, oldest first; what is no record is passed over, a file that is not there too."""
    path = Path(path)
    for file in (path.with_name(path.name + ".1"), path):
        try:
            with file.open("rb") as stream:
                stream.seek(max(stream.seek(0, os.SEEK_END) - _TAIL, 0))
                lines = stream.read().split(b"\n")
        except OSError:
            continue
        for line in lines:
            with suppress(Exception):  # half a line, or anybody's edit
                record = json.decode(line)
                if isinstance(record, dict):
                    yield record


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _lacks_end(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) != b"\n"
