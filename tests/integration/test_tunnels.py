"""Tunnels: both halves end on their own, nothing is missing at an end that looks clean, traffic keeps them open."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.client import Client, connected
from tests.support.plane import running_gateway
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_ASK = b"GET /t HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
_SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
_MANY = 6_000_000


@asynccontextmanager
async def tunnel(timeouts: Mapping[str, str] | None = None) -> AsyncIterator[tuple[Client, Wire, Any]]:
    """An open tunnel: the client's end, the endpoint's end, the gateway."""
    config = {
        "gateway": {"timeouts": {"body_idle": "300ms"}},
        "upstreams": {"origin": {"timeouts": {"idle": "300ms", "tunnel": "20s", **(timeouts or {})}}},
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        async with running_gateway(listener.getsockname()[1], config) as gateway, connected(gateway.port) as client:
            await client.send(_ASK)
            sock, _ = await asyncio.get_running_loop().sock_accept(listener)
            endpoint = Wire(sock)
            try:
                await endpoint.until(b"\r\n\r\n")
                await endpoint.send(_SWITCH)
                assert (await client.answer()).status == 101
                yield client, endpoint, gateway
            finally:
                endpoint.close()
                client.close()


async def _send_and_end(wire: Wire) -> None:
    assert await wire.send(b"x" * _MANY)
    wire.half_close()


async def _drain_slowly(wire: Wire) -> int:
    """How many bytes came before the end."""
    loop = asyncio.get_running_loop()
    got = 0
    while data := await loop.sock_recv(wire.socket, 65536):
        got += len(data)
        await asyncio.sleep(0.0005)
    return got


@pytest.mark.parametrize("is_other_half_ended", [False, True])
@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_half_that_ends_under_pressure_loses_nothing(direction: str, *, is_other_half_ended: bool) -> None:
    """One end sends 6 MB and a FIN, the other reads slowly, and may have ended its own half before: all of it comes."""
    async with tunnel() as (client, endpoint, _):
        source, sink = (client.wire, endpoint) if direction == "up" else (endpoint, client.wire)
        if is_other_half_ended:
            sink.half_close()
            await asyncio.sleep(0.05)
        sending = asyncio.ensure_future(_send_and_end(source))
        async with asyncio.timeout(20):
            assert await _drain_slowly(sink) == _MANY
            await sending


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_reset_is_passed_on_as_a_reset(direction: str) -> None:
    """An end that breaks off is not made to look like a clean end."""
    async with tunnel() as (client, endpoint, gateway):
        broken, other = (client.wire, endpoint) if direction == "up" else (endpoint, client.wire)
        await broken.send(b"abc")
        assert await asyncio.wait_for(other.exactly(3), 5) == b"abc"
        broken.reset()
        async with asyncio.timeout(5):
            assert await other.wait_for_end() == "reset"
        await gateway.settle()


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_traffic_in_one_direction_keeps_it_open(direction: str) -> None:
    """An end that only listens does not end the tunnel: it lives on for longer than its timeout."""
    async with tunnel({"tunnel": "2s"}) as (client, endpoint, _):
        source, sink = (client.wire, endpoint) if direction == "up" else (endpoint, client.wire)
        loop = asyncio.get_running_loop()
        end = loop.time() + 3
        while loop.time() < end:
            assert await source.send(b"tick")
            assert await asyncio.wait_for(sink.exactly(4), 20) == b"tick"
            await asyncio.sleep(0.05)


async def test_silence_ends_it_after_its_own_timeout() -> None:
    """Nothing passes for the tunnel's timeout: both ends see a clean end."""
    async with tunnel({"tunnel": "200ms"}) as (client, endpoint, gateway):
        async with asyncio.timeout(5):
            assert await client.wire.wait_for_end() == "eof"
            assert await endpoint.wait_for_end() == "eof"
        await gateway.settle()


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_pause_in_writing_leaves_the_tunnels_own_timeout(direction: str) -> None:
    """After a burst that filled the buffers, silence longer than idle and body_idle does not end the tunnel."""
    async with tunnel() as (client, endpoint, gateway):
        source, sink = (client.wire, endpoint) if direction == "up" else (endpoint, client.wire)
        sending = asyncio.ensure_future(source.send(b"x" * _MANY))
        await asyncio.sleep(0.8)  # nobody reads: writing is paused for longer than idle and body_idle
        await sink.exactly(_MANY)
        assert await sending
        await asyncio.sleep(0.8)
        assert not sink.ending
        await source.send(b"end")
        assert await asyncio.wait_for(sink.exactly(3), 5) == b"end"
        assert sum(gateway.snapshot().in_flight.values()) == 1


async def test_a_client_that_sends_on_after_a_reset_gets_what_came_before_it() -> None:
    """What the endpoint had sent is delivered, and then the reset, although the client has not stopped sending."""
    async with tunnel() as (client, endpoint, gateway):
        sending = asyncio.ensure_future(endpoint.send(b"x" * 30_000_000))
        async with asyncio.timeout(10):
            while not any(one.is_write_paused for one in gateway.plane.door.connections):
                await asyncio.sleep(0.005)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        endpoint.reset()
        await asyncio.sleep(0.05)
        for _ in range(5):
            await client.send(b"tick")
            await asyncio.sleep(0.02)
        async with asyncio.timeout(10):
            assert await client.wire.wait_for_end() == "reset"
        assert len(client.wire.take_available()) > 65_536
        await gateway.settle()
