"""A bounded way out to standard error that never makes its callers wait.

``put`` appends to a buffer, which is written out 10 ms later, or at once where no event loop runs. A
reader that is slow or gone costs lines, which are counted, and never time.

To write without waiting, the descriptor must not block; but ``O_NONBLOCK`` on standard error itself would change it
for every other process on the same terminal or pipe. So a pipe or a terminal is opened a second time, for us alone; a
socket (systemd's journal) is asked not to wait with each send; a file does not block anyway. What belongs to another
user, as in a container that changed its user, is not ours to open: into a pipe lines are moved from a pipe of our own,
which does not wait (splice(2)); anything else a thread writes to, which may block. That is the last resort: under a
busy loop a thread gets the interpreter back only every 5 ms, after every write.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import socket
import stat
import termios
import threading
from collections import deque
from typing import Final, Protocol

# Linux writes up to this much to a pipe in one piece (pipe(7), PIPE_BUF), so the lines of several
# processes on one pipe never mix.
_PIECE: Final = 4096
_INTERVAL: Final = 0.01
# So many intervals a long line waits for a reader to catch up.
_PATIENCE: Final = 20
_WAITING: Final = 64 * 1024


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
        self._timer: asyncio.TimerHandle | None = None
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
        if self._timer is not None:
            self._timer.cancel()
        self._loop = self._timer = None
        self._write_out()
        if self._size and self._exit is not None:
            self._exit.wait(timeout)
            self._write_out()
        if self._exit is not None:
            self._exit.close(timeout)
            self._exit = None

    def _arm(self) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write_out()
        else:
            self._timer = self._loop.call_later(_INTERVAL, self._on_time)

    def _on_time(self) -> None:
        self._loop = self._timer = None
        self._write_out()
        if self._size:
            self._arm()

    def _write_out(self) -> None:
        if self._exit is None:
            self._exit = _exit(self._fd)
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


class _Exit(Protocol):
    """A descriptor that is written to without ever waiting."""

    def write(self, data: bytes) -> int:
        """Write what goes; all of it is taken as written when nobody can ever read it."""

    def wait(self, timeout: float) -> None:
        """Wait until something can be written."""

    def close(self, timeout: float) -> None:
        """Close what was opened here, never the descriptor itself."""


def _exit(fd: int) -> _Exit:
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        return _Socket(fd)
    if not stat.S_ISFIFO(mode) and not stat.S_ISCHR(mode):
        return _Plain(fd, is_own=False)
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return _Spliced(fd) if stat.S_ISFIFO(mode) else _Threaded(fd)
    return _Pipe(own) if stat.S_ISFIFO(mode) else _Plain(own, is_own=True)


class _Plain:
    """A file, or a pipe or terminal that we have opened for ourselves."""

    def __init__(self, fd: int, *, is_own: bool) -> None:
        self._fd = fd
        self._is_own = is_own

    def write(self, data: bytes) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    def wait(self, timeout: float) -> None:
        _wait(self._fd, timeout)

    def close(self, _timeout: float) -> None:
        if self._is_own:
            os.close(self._fd)


class _Pipe(_Plain):
    """A pipe that others may write to as well: what is longer than a piece waits for a moment until all of it fits in.

    Else a reader that is behind would leave room for a part of it, and another process's line would come between.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd, is_own=True)
        self._patience = _PATIENCE
        self._is_within = False

    def write(self, data: bytes) -> int:
        if len(data) > _PIECE and self._patience and not self._is_within and self._is_behind():
            self._patience -= 1
            return 0
        self._patience = _PATIENCE
        written = super().write(data)
        self._is_within = 0 < written < len(data) or (self._is_within and not written)
        return written

    def wait(self, timeout: float) -> None:
        super().wait(timeout)
        self._patience = 0  # there is no later

    def _is_behind(self) -> bool:
        """Whether anything waits to be read."""
        try:
            return fcntl.ioctl(self._fd, termios.FIONREAD, b"\0\0\0\0") != b"\0\0\0\0"
        except OSError:
            return False


class _Socket:
    """A socket, which is asked not to wait with each send."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=os.dup(fd))

    def write(self, data: bytes) -> int:
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    def wait(self, timeout: float) -> None:
        _wait(self._socket.fileno(), timeout)

    def close(self, _timeout: float) -> None:
        self._socket.close()


class _Spliced:
    """A pipe of another user's: what stands in a pipe of our own can be moved there without waiting."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def write(self, data: bytes) -> int:
        # Ours is empty, so a piece that fits into a page is moved as a whole or not at all.
        left = size = os.write(self._in, data)
        try:
            while left:
                left -= os.splice(self._out, self._fd, left, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            os.read(self._out, left)
            return size - left
        except OSError:
            os.read(self._out, left)
            return len(data)
        return size

    def wait(self, timeout: float) -> None:
        _wait(self._fd, timeout)

    def close(self, _timeout: float) -> None:
        os.close(self._out)
        os.close(self._in)


class _Threaded:
    """A terminal of another user's: a thread writes, and waits where we would; at most 64 KiB wait for it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._is_closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, data: bytes) -> int:
        with self._changed:
            if self._size >= _WAITING:
                return 0
            self._pieces.append(data)
            self._size += len(data)
            self._changed.notify_all()
        return len(data)

    def wait(self, timeout: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._pieces, timeout)

    def close(self, timeout: float) -> None:
        self.wait(timeout)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._is_closed)
                if self._is_closed:
                    return
                data = self._pieces[0]
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except OSError:
                pass  # nobody can ever read it
            with self._changed:
                self._size -= len(self._pieces.popleft())
                self._changed.notify_all()


def _wait(fd: int, timeout: float) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll(timeout * 1000)
