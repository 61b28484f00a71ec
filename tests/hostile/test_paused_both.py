"""Both sides of one exchange are slow at once, or become so at an odd instant."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Any

from tests.support.client import connected
from tests.support.plane import running_gateway
from tests.support.running import until
from tests.support.upstreams import head

if TYPE_CHECKING:
    from tests.support.origin import Exchange, Origin
    from tests.support.plane import RunningGateway

PATIENT: dict[str, Any] = {
    "gateway": {"timeouts": {"body_idle": "20s"}},
    "upstreams": {"origin": {"timeouts": {"head": "20s", "idle": "20s"}}},
}
PIECE = b"x" * 65536
PIECES = 400


def _shrink(gateway: RunningGateway) -> None:
    """The kernel keeps little for each client, as before a long way."""
    (server,) = gateway.plane._servers
    (listener,) = server.sockets  # type: ignore[union-attr]  # a server of the loop
    with socket.socket(fileno=os.dup(listener.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)


async def test_a_client_that_reads_nothing_of_interim_responses_costs_no_memory(origin: Origin) -> None:
    """Hints fill the client's window before the answer begins; the answer's body waits at its service."""
    sent = 0

    async def floods(exchange: Exchange) -> None:
        nonlocal sent
        hint = b"HTTP/1.1 103 Early Hints\r\n" + b"Link: </%b>; rel=preload\r\n" % (b"y" * 7000) * 2 + b"\r\n"
        for _ in range(16):
            await exchange.wire.send(hint)
        await asyncio.sleep(0.1)
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (PIECES * len(PIECE)))
        for _ in range(PIECES):
            if not await exchange.wire.send(PIECE):
                return
            sent += 1

    origin.on("/floods", floods)
    async with running_gateway(origin.port, PATIENT) as gateway:
        _shrink(gateway)
        async with connected(gateway.port, receive_buffer=2048) as client:
            await client.send(head("GET", "/floods"))
            await until(lambda: sent > 3)
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.2)
            (connection,) = gateway.plane.door.connections
            assert connection.is_write_paused
            assert connection._transport.get_write_buffer_size() < 1024 * 1024
            answer = await client.answer(within=20)
            assert answer.is_complete
            assert len(answer.body) == PIECES * len(PIECE)
            assert len(answer.interim) == 16
