"""What targets know of days and weeks, in a small file beside the ledger: without it a restart would cost two days.

The file is written whole and put in the place of the old one, on a thread; a disk that takes nothing stops nobody.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import DecodeError, Struct, field, msgpack

from gateway.scaling.analyzers.season import SeasonState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.telemetry.logs import Logger

EVERY: Final = 600.0
"""Seconds between two writings: what a crash can cost."""
_AT_END: Final = 5.0
_SUFFIX: Final = ".seasons"


class _File(Struct, frozen=True):
    targets: dict[str, SeasonState] = field(default_factory=dict)
    version: int = 1


class Seasons:
    """Keeps the seasons of all targets beside ``ledger``; with None nothing is written, and nothing read."""

    def __init__(self, ledger: str | None, log: Logger) -> None:
        self._path = None if ledger is None else Path(ledger + _SUFFIX)
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._problem = ""

    def read(self) -> Mapping[str, SeasonState]:
        """What was written last; nothing when there is no such file, or it cannot be understood."""
        if self._path is None:
            return {}
        try:
            found = msgpack.decode(self._path.read_bytes(), type=_File)
        except FileNotFoundError:
            return {}
        except (OSError, DecodeError) as error:
            self._log.warning("seasons cannot be read", file=str(self._path), error=str(error))
            return {}
        return found.targets if found.version == 1 else {}

    def write(self, states: Mapping[str, SeasonState | None]) -> None:
        """Write these, unless the writing before has not ended."""
        if self._path is not None and (self._task is None or self._task.done()):
            known = {name: state for name, state in states.items() if state is not None}
            self._task = asyncio.create_task(self._write(self._path, known), name="seasons")

    async def stop(self, states: Mapping[str, SeasonState | None]) -> None:
        """Write these for the last time; a disk that hangs is not waited for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_AT_END):
                if self._task is not None:
                    await self._task
                self.write(states)
                if self._task is not None:
                    await self._task

    async def _write(self, path: Path, states: dict[str, SeasonState]) -> None:
        try:
            await asyncio.to_thread(_put, path, states)
        except OSError as error:
            problem = f"{path}: {error.strerror or type(error).__name__}"
            if problem != self._problem:
                self._log.warning("seasons cannot be written", problem=problem)
            self._problem = problem
        else:
            self._problem = ""

    def __repr__(self) -> str:
        return f"<Seasons {self._path}>"


def _put(path: Path, states: dict[str, SeasonState]) -> None:
    fresh = path.with_name(path.name + ".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    with os.fdopen(fd, "wb") as file:
        file.write(msgpack.encode(_File(states)))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
