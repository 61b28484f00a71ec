"""The faults of the wire: a TCP proxy before each endpoint that breaks what passes through it.

Requests always go on to the endpoint, so that its log knows them all; what is broken is the way back:

``refuse``  nobody listens, and all connections are reset;
``reset``   an answer is reset in the middle of its body;
``hang``    connections are accepted and nothing ever comes back;
``drip``    the head comes at once, the body byte by byte, four a second.

Run as ``python -m benchmarks.faults_wire CONTROL_PORT PORT:ENDPOINT …``. The control port takes lines ``PORT FAULT``,
with ``none`` for none; each is answered by ``done``.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import Final, Literal, cast

import uvloop

Fault = Literal["none", "refuse", "reset", "hang", "drip"]

_DRIP: Final = 0.25
# a reset may overtake what was written just before it
_BEFORE_RESET: Final = 0.005
_RESET_AT_ONCE: Final = struct.pack("ii", 1, 0)


def spoil(fault: Fault, answer: bytes) -> tuple[bytes, bytes]:
    """What of an answer is passed on at once, and what byte by byte; the rest is lost."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if fault == "hang":
        return b"", b""
    if fault == "reset":
        return head + found + body[: len(body) // 2], b""
    if fault == "drip":
        return head + found, body
    return answer, b""


class Gate:
    """Listens before one endpoint; ``fault`` is what it does to it now."""

    def __init__(self, port: int, endpoint: int) -> None:
        self.fault: Fault = "none"
        self.pairs: set[_Near] = set()
        self._port = port
        self.endpoint = endpoint
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: _Near(self), "127.0.0.1", self._port, backlog=4096)

    async def set(self, fault: Fault) -> None:
        """Break things this way from now on; connections that were broken another way are reset."""
        before, self.fault = self.fault, fault
        if fault == "refuse" and self._server is not None:
            self._server.close()
            self._server = None
        if fault == "refuse" or before != "none":
            for pair in list(self.pairs):
                pair.reset()
        if fault != "refuse":
            await self.open()


class _Near(asyncio.Protocol):
    """The side of whoever asks."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._far: _Far | None = None
        self._early: list[bytes] = []
        self._drops = b""
        self._drip: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.gate.pairs.add(self)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, far = await loop.create_connection(lambda: _Far(self), "127.0.0.1", self.gate.endpoint)
        except OSError:
            self.reset()
            return
        if self._is_lost:
            far.transport.abort()
            return
        self._far = far
        for data in self._early:
            far.transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self._far is None:
            self._early.append(data)
        else:
            self._far.transport.write(data)

    def answer(self, data: bytes) -> None:
        """Pass on what the endpoint says, or what is to be left of it."""
        fault = self.gate.fault
        now, slowly = spoil(fault, data)
        if now and not self._is_lost:
            self.transport.write(now)
        if fault == "reset":
            asyncio.get_running_loop().call_later(_BEFORE_RESET, self.reset)
        if slowly:
            self._drops = slowly
            self._let_drop()

    def _let_drop(self) -> None:
        if self._drops and not self._is_lost:
            self.transport.write(self._drops[:1])
            self._drops = self._drops[1:]
            self._drip = asyncio.get_running_loop().call_later(_DRIP, self._let_drop)

    def reset(self) -> None:
        """Break the connection off."""
        if not self._is_lost:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._is_lost = True
        self.gate.pairs.discard(self)
        if self._drip is not None:
            self._drip.cancel()
        if self._far is not None:
            self._far.transport.abort()


class _Far(asyncio.Protocol):
    """The side of the endpoint; its answers come whole, because it writes them whole and they are small."""

    def __init__(self, near: _Near) -> None:
        self._near = near

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._near.answer(data)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._near.reset()


async def _obey(gates: dict[int, Gate], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        port, fault = line.decode().split()
        await gates[int(port)].set(cast("Fault", fault))
        writer.write(b"done\n")
    writer.close()


async def _serve(control_port: int, pairs: list[str]) -> None:
    gates: dict[int, Gate] = {}
    control = await asyncio.start_server(lambda *both: _obey(gates, *both), "127.0.0.1", control_port)
    # the gates come last: who finds them open may give orders
    for pair in pairs:
        port, _, endpoint = pair.partition(":")
        gate = gates[int(port)] = Gate(int(port), int(endpoint))
        await gate.open()
    await control.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), sys.argv[2:]))
