"""What a pool process writes, line by line into our log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST: Final = 8192


class Output(asyncio.Protocol):
    """Calls ``write`` with each line that arrives on a pipe; longer lines are cut into pieces of 8 KiB.

    ``gone`` is called when the pipe has ended.
    """

    def __init__(self, write: Callable[[str], None], gone: Callable[[], None] | None = None) -> None:
        self._write = write
        self._gone = gone
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Hand on whole lines and keep the rest."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._hand_on(line)
        while len(self._rest) >= _LONGEST:
            self._hand_on(self._rest[:_LONGEST])
            self._rest = self._rest[_LONGEST:]

    def connection_lost(self, _error: Exception | None) -> None:
        """Hand on a last line that has no end."""
        self._hand_on(self._rest)
        self._rest = b""
        if self._gone is not None:
            self._gone()

    def _hand_on(self, line: bytes) -> None:
        line = line.rstrip(b"\r")
        if line:
            self._write(line.decode("utf-8", "backslashreplace"))
