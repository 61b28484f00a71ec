"""A raw connection that remembers every byte it received."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import weakref

from tests.support.grammar import Dirty, Ended

_LONGEST_LINE = 1024 * 1024
# The tests' own ends, so that a check for sockets left open does not count them.
_OURS: weakref.WeakSet[Wire] = weakref.WeakSet()


class Wire:
    """One TCP connection; ``received`` is everything that came, ``ending`` is "", "eof" or "reset"."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.received = bytearray()
        self.ending = ""
        self._taken = 0
        _OURS.add(self)

    async def send(self, data: bytes) -> bool:
        """Send all of it; False when the other side is gone."""
        try:
            await asyncio.get_running_loop().sock_sendall(self.socket, data)
        except (ConnectionError, OSError):
            return False
        return True

    async def _receive(self) -> bool:
        if self.ending:
            return False
        try:
            data = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
        except OSError:
            self.ending = "reset"
            return False
        if not data:
            self.ending = "eof"
        self.received += data
        return bool(data)

    async def has_more(self) -> bool:
        """Wait for at least one byte that was not taken yet; False when the connection ended first."""
        return len(self.received) > self._taken or await self._receive()

    def take_available(self) -> bytes:
        """Everything received and not taken yet, without waiting."""
        data = bytes(self.received[self._taken :])
        self._taken = len(self.received)
        return data

    async def some(self, most: int) -> bytes:
        """At least one byte, at most ``most``; raises Ended."""
        if not await self.has_more():
            raise Ended(self.ending)
        data = bytes(self.received[self._taken : self._taken + most])
        self._taken += len(data)
        return data

    async def exactly(self, size: int) -> bytes:
        """``size`` bytes; raises Ended."""
        while len(self.received) - self._taken < size:
            if not await self._receive():
                raise Ended(self.ending)
        return await self.some(size)

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and with ``mark``; raises Ended, or Dirty after a mebibyte without it."""
        start = self._taken
        while (at := self.received.find(mark, start)) < 0:
            if len(self.received) - self._taken > _LONGEST_LINE:
                raise Dirty("a line without an end")
            start = max(self._taken, len(self.received) - len(mark) + 1)
            if not await self._receive():
                raise Ended(self.ending)
        return await self.some(at + len(mark) - self._taken)

    async def wait_for_end(self) -> str:
        """Read to the end of the connection; how it ended, "eof" or "reset"."""
        while await self._receive():
            pass
        return self.ending

    def half_close(self) -> None:
        """Send FIN; reading goes on."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def hang_up(self) -> None:
        """End both directions, as seen from the other side; whoever reads here sees the end and closes."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Send RST."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close both directions."""
        if self.socket.fileno() >= 0:
            loop = asyncio.get_running_loop()
            # A reader of sock_recv may still be registered when its task was cancelled.
            loop.remove_reader(self.socket.fileno())
            loop.remove_writer(self.socket.fileno())
            self.socket.close()
        self.ending = self.ending or "closed"


def our_sockets() -> set[str]:
    """The open sockets of all wires, as /proc/self/fd names them."""
    return {f"socket:[{os.fstat(wire.socket.fileno()).st_ino}]" for wire in _OURS if wire.socket.fileno() >= 0}
