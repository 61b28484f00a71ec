"""What a pool process writes, line by line into our log, and never more than our loop can bear.

A line costs us 30 µs, and the process that writes it a fraction of that, so lines are bounded: a thousand at once and a
hundred a second after that, for each stream of each process, a long line counting as several. When that is used up,
everything is dropped for a second without a look at it; then a line says how many were lost, and the last ten follow,
because what a process says last is often why it ended. Lines are written a few at a time, so that other things come
between.

Rejected: to read more slowly, which would stop the service itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST: Final = 64 * 1024
BURST: Final = 1000
RATE: Final = 100.0
LAST: Final = 10
_STEP: Final = 50
_LARGE: Final = 2048
"""Bytes; a longer line counts as one more for each of these."""
_PAUSE: Final = 1.0


class Lines(asyncio.Protocol):
    """Calls ``write`` with each line that arrives on a pipe; longer lines than 64 KiB are cut into pieces.

    ``gone`` is called when the pipe has ended.
    """

    def __init__(self, write: Callable[[str], None], gone: Callable[[], None] | None = None) -> None:
        self._write = write
        self._gone = gone
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Take whole lines and keep the rest."""
        whole, end, self._rest = (self._rest + data).rpartition(b"\n")
        if end:
            self._take(whole)
        while len(self._rest) >= _LONGEST:
            self._take(self._rest[:_LONGEST])
            self._rest = self._rest[_LONGEST:]

    def connection_lost(self, _error: Exception | None) -> None:
        """Take a last line that has no end."""
        if self._rest:
            self._take(self._rest)
            self._rest = b""
        if self._gone is not None:
            self._gone()

    def _take(self, lines: bytes) -> None:
        for line in lines.split(b"\n"):
            self._hand_on(line)

    def _hand_on(self, line: bytes) -> None:
        line = line.rstrip(b"\r")
        if line:
            self._write(line.decode("utf-8", "backslashreplace"))


class Output(Lines):
    """The same for a stream that may flood us; ``dropped`` is called with how many lines were left out."""

    def __init__(self, write: Callable[[str], None], dropped: Callable[[int], None]) -> None:
        super().__init__(write)
        self._loop = asyncio.get_running_loop()
        self._tell = dropped
        self._waiting: deque[bytes] = deque()
        self._last: deque[bytes] = deque(maxlen=LAST)
        self._room = float(BURST)
        self._looked = self._loop.time()
        self._lost = 0
        self._turn: asyncio.Handle | None = None
        self._report: asyncio.TimerHandle | None = None

    def connection_lost(self, error: Exception | None) -> None:
        """Take a last line that has no end, and tell of what was dropped."""
        super().connection_lost(error)
        if self._report is not None:
            self._report.cancel()
            self._end_flood()

    def _take(self, lines: bytes) -> None:
        if self._report is not None:
            self._drop(lines)
            return
        now = self._loop.time()
        self._room = min(self._room + (now - self._looked) * RATE, BURST)
        self._looked = now
        room = max(int(self._room), 0)
        if lines.count(b"\n") < room:
            taken = lines.split(b"\n")
        else:
            *taken, rest = lines.split(b"\n", room)
            self._drop(rest)
            self._report = self._loop.call_later(_PAUSE, self._end_flood)
        self._room -= len(taken) + len(lines) // _LARGE
        self._put(taken)

    def _drop(self, lines: bytes) -> None:
        kept = len(self._last)
        self._last.extend(lines.rsplit(b"\n", LAST)[-LAST:])
        self._lost += lines.count(b"\n") + 1 + kept - len(self._last)

    def _end_flood(self) -> None:
        self._report = None
        if self._lost:
            self._tell(self._lost)
            self._lost = 0
        last = list(self._last)
        self._last.clear()
        self._room -= len(last)
        self._put(last)

    def _put(self, lines: list[bytes]) -> None:
        self._waiting.extend(lines)
        if self._turn is None and self._waiting:
            self._write_some()

    def _write_some(self) -> None:
        left = _STEP
        while self._waiting and left > 0:
            line = self._waiting.popleft()
            left -= 1 + len(line) // _LARGE
            self._hand_on(line)
        self._turn = self._loop.call_soon(self._write_some) if self._waiting else None
