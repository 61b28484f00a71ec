"""At the end of a data plane everybody who has connected gets an answer, and nobody else holds it up."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from tests.support.client import Client
from tests.support.plane import running_gateway

if TYPE_CHECKING:
    from tests.support.origin import Origin

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_who_waits_in_the_kernels_queue_is_served(origin: Origin) -> None:
    """Clients that are connected and not yet accepted when the drain begins are answered, not reset."""
    async with running_gateway(origin.port) as gateway:
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        await gateway.plane.open_door([listener])
        callers = []
        for _ in range(20):  # the loop does not turn here, so nobody accepts
            caller = socket.create_connection(listener.getsockname())
            caller.sendall(GET)
            caller.setblocking(False)
            callers.append(caller)
        assert await gateway.plane.drain(20.0, [listener])
        loop = asyncio.get_running_loop()
        for caller in callers:
            assert (await loop.sock_recv(caller, 65536)).startswith(b"HTTP/1.1 200 ")
            caller.close()


async def test_a_connection_that_was_just_made_may_still_ask(origin: Origin) -> None:
    """One on which nothing has come yet is no idle one: its request is answered, with the end of the connection."""
    async with running_gateway(origin.port) as gateway:
        fresh = await Client.connect(gateway.port)
        kept = await Client.connect(gateway.port)
        await kept.send(GET)
        assert (await kept.answer()).status == 200
        draining = asyncio.create_task(gateway.plane.drain(20.0, quiet=20.0))
        await asyncio.sleep(0)
        for client in (fresh, kept):
            await client.send(GET)
            response = await client.answer()
            assert response.status == 200
            assert response.value("connection") == "close"
            client.close()
        assert await draining


async def test_quiet_connections_are_closed(origin: Origin) -> None:
    """Who has been quiet for long enough is not waited for."""
    async with running_gateway(origin.port) as gateway:
        client = await Client.connect(gateway.port)
        await client.send(GET)
        assert (await client.answer()).status == 200
        assert await gateway.plane.drain(20.0, quiet=0.0)
        assert await client.ending() == "eof"
        client.close()
