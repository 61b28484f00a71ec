"""A bounded way out to standard error that never makes its callers wait.

``put`` appends to a buffer, which is written out 10 ms later, or at once where no event loop runs. A
reader that is slow or gone costs lines, which are counted, and never time.

To write without waiting, the descriptor must not block; but ``O_NONBLOCK`` on standard error itself
would change it for every other process on the same terminal or pipe. So a pipe or a terminal is opened
a second time, for us alone; a socket (systemd's journal) is asked not to wait with each send; a file
does not block anyway. Rejected: a thread that may block. Under a busy loop it gets the interpreter back
only every 5 ms, after every single write.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import stat
from contextlib import suppress
from typing import Final

# Linux writes up to this much to a pipe in one piece (pipe(7), PIPE_BUF), so the lines of several
# processes on one pipe never mix.
_PIECE: Final = 4096
_INTERVAL: Final = 0.01


class Lines:
    """Writes whole lines to the file descriptor ``fd``; holds at most ``capacity`` bytes.

    ``dropped`` counts the lines that found no room.
    """

    def __init__(self, fd: int = 2, capacity: int = 1 << 20) -> None:
        self._fd = fd
        self._capacity = capacity
        self._exit: _Exit | None = None
        self._buffer: list[bytes] = []
        self._size = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unwritten = b""
        self.dropped = 0
        self._reported = 0

    def __repr__(self) -> str:
        """Say how much waits and how much was lost."""
        return f"<Lines waiting={self._size} dropped={self.dropped}>"

    def put(self, line: bytes) -> None:
        """Take one line without its end; drop it when there is no room."""
        size = self._size + len(line) + 1
        if size > self._capacity:
            self.dropped += 1
            return
        self._size = size
        self._buffer.append(line)
        if self._loop is None or self._loop.is_closed():
            self._arm()

    def close(self, timeout: float = 1.0) -> None:
        """Write what is left, waiting at most ``timeout`` seconds for the reader."""
        self._write_out()
        if self._size and self._exit is not None:
            self._exit.wait(timeout)
            self._write_out()
        if self._exit is not None:
            self._exit.close()
            self._exit = None

    def _arm(self) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write_out()
        else:
            self._loop.call_later(_INTERVAL, self._on_time)

    def _on_time(self) -> None:
        self._loop = None
        self._write_out()
        if self._size:
            self._arm()

    def _write_out(self) -> None:
        if self._exit is None:
            self._exit = _Exit(self._fd)
        lines, self._buffer = self._buffer, []
        pieces = _pieces(lines)
        if self._unwritten:
            pieces.insert(0, self._unwritten)
            self._unwritten = b""
        for at, piece in enumerate(pieces):
            written = self._exit.write(piece)
            self._size -= written
            if written < len(piece):
                self._unwritten = piece[written:]
                # Kept as pieces: the next turn packs them again, each already ends its lines.
                self._buffer = [rest[:-1] for rest in pieces[at + 1 :]]
                return
        # Only now is there a reader to tell; while there is none, telling would fill the buffer.
        lost = self.dropped - self._reported
        if lost:
            self._reported = self.dropped
            report = b'{"level":"warning","event":"log lines dropped","n":%d}\n' % lost
            self._unwritten = report[self._exit.write(report) :]
            self._size += len(self._unwritten)


def _pieces(lines: list[bytes]) -> list[bytes]:
    """Pack lines, with their ends, into pieces of at most 4096 bytes; a longer line is its own piece."""
    pieces: list[bytes] = []
    packed: list[bytes] = []
    size = 0
    for line in lines:
        if packed and size + len(line) + 1 > _PIECE:
            pieces.append(b"\n".join(packed) + b"\n")
            packed, size = [], 0
        packed.append(line)
        size += len(line) + 1
    if packed:
        pieces.append(b"\n".join(packed) + b"\n")
    return pieces


class _Exit:
    """A descriptor that is written to without ever waiting."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._own: int | None = None
        self._socket: socket.socket | None = None
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(fd))
        elif stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            # It may not be ours to open (a terminal after su); then a full pipe can block, as it would anyone.
            with suppress(OSError):
                self._own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)

    def write(self, data: bytes) -> int:
        """Write what goes; all of it is taken as written when nobody can ever read it."""
        try:
            if self._socket is not None:
                return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            return os.write(self._fd if self._own is None else self._own, data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    def wait(self, timeout: float) -> None:
        """Wait until something can be written."""
        poll = select.poll()
        poll.register(self._fd if self._own is None else self._own, select.POLLOUT)
        poll.poll(timeout * 1000)

    def close(self) -> None:
        """Close what was opened here, never the descriptor itself."""
        if self._own is not None:
            os.close(self._own)
        if self._socket is not None:
            self._socket.close()
