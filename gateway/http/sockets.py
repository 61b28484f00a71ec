"""What the kernel knows of a connection and a transport does not say."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

# The longest queue that a listening socket has (net.core.somaxconn is at most this).
_MOST_WAITING: Final = 65536
_RESET: Final = struct.pack("ii", 1, 0)
_COUNT: Final = struct.Struct("i")
_LOOKS: Final = 4
_PIECE: Final = 64 * 1024


def unsent(transport: asyncio.BaseTransport) -> int:
    """Bytes in the kernel that the other side has not acknowledged; 0 when nothing is known (SIOCOUTQ, tcp(7))."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return 0
    try:
        found: int = _COUNT.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
    except OSError:
        return 0
    return found


class Progress:
    """Whether the other side takes what was written to it, as far as the kernels know.

    A slow reader may leave our buffer untouched for minutes while it reads from the kernel's, so what counts is the sum
    of both.
    """

    __slots__ = ("_left", "_taken_at", "_transport")

    def __init__(self, transport: asyncio.WriteTransport, now: float) -> None:
        self._transport = transport
        self._left = self._measure()
        self._taken_at = now

    def _measure(self) -> int:
        return self._transport.get_write_buffer_size() + unsent(self._transport)

    def look(self, now: float) -> int:
        """Bytes that are not taken yet."""
        left = self._measure()
        if left < self._left:
            self._taken_at = now
        self._left = left
        return left

    def deadline(self, patience: float, now: float) -> float:
        """When to look next; now or earlier when nothing was taken for ``patience`` seconds."""
        self.look(now)
        return min(self._taken_at + patience, now + patience / _LOOKS)


def reset_on_close(transport: asyncio.BaseTransport) -> None:
    """Make the close of this connection a reset, so that what is missing cannot look complete."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0 and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def read_unread(transport: asyncio.BaseTransport) -> Iterator[bytes]:
    """What came on a connection whose write has failed, piece by piece.

    The kernel keeps it until the socket is closed, which happens after ``connection_lost``. How it ended cannot be
    known: an error is reported once, and afterwards its end looks clean.
    """
    sock = transport.get_extra_info("socket")
    while sock is not None and sock.fileno() >= 0:
        try:
            data = os.read(sock.fileno(), _PIECE)
        except OSError:
            return
        if not data:
            return
        yield data


def accept_waiting(listener: socket.socket) -> list[socket.socket]:
    """Accept every client that waits in the queue of a listening socket, without blocking."""
    accepted: list[socket.socket] = []
    for _ in range(_MOST_WAITING):
        try:
            one, _ = listener.accept()
        except ConnectionAbortedError:  # this one has left, the next may be there
            continue
        except OSError:  # nobody waits, or no descriptor is left
            break
        one.setblocking(False)  # noqa: FBT003 - its only form
        accepted.append(one)
    return accepted
