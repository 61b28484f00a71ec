"""A name server on loopback that answers what a test tells it (RFC 1035 §4)."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_A = 1
_AAAA = 28
_SOA = 6


class NameServer(asyncio.DatagramProtocol):
    """``records`` are the addresses of each name, ``ttl`` is in seconds; ``is_deaf`` makes it say nothing.

    A name without records does not exist, for ``ttl`` seconds (RFC 2308). Of ``deaf_to`` families, 4 and 6, it says
    nothing.
    """

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.ttl = 1
        self.is_deaf = False
        self.deaf_to: set[int] = set()
        self.asked = 0
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # endpoints for datagrams get no other
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        if self.is_deaf or self._transport is None:
            return
        labels = []
        place = 12
        while data[place]:
            labels.append(data[place + 1 : place + 1 + data[place]].decode())
            place += data[place] + 1
        question = data[12 : place + 5]
        (kind,) = struct.unpack(">H", data[place + 1 : place + 3])
        if {_A: 4, _AAAA: 6}.get(kind) in self.deaf_to:
            return
        name = ".".join(labels)
        found = self._raw(name, kind)
        answers = b"".join(_record(kind, self.ttl, raw) for raw in found)
        code = 0x8180 if self.records.get(name) else 0x8183  # NXDOMAIN
        soa = b"" if found else _record(_SOA, self.ttl, b"\0\0" + struct.pack(">5I", 1, 600, 600, 600, self.ttl))
        head = data[:2] + struct.pack(">HHHHH", code, 1, len(found), int(not found), 0)
        self._transport.sendto(head + question + answers + soa, addr)

    def _raw(self, name: str, kind: int) -> list[bytes]:
        family = {_A: socket.AF_INET, _AAAA: socket.AF_INET6}.get(kind)
        some = self.records.get(name, [])
        return [socket.inet_pton(family, one) for one in some if family and (":" in one) is (kind == _AAAA)]


def _record(kind: int, ttl: int, raw: bytes) -> bytes:
    """A resource record of the name that was asked for."""
    return b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, ttl, len(raw)) + raw


@asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    """A name server on a free port, until the block ends."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()
