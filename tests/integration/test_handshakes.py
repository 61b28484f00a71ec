"""TLS handshakes with clients count at the door and end in time."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from gateway.http.handshake import Handshake
from tests.support.client import Client, connected
from tests.support.plane import running_gateway
from tests.support.tls import certified, needs_openssl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.origin import Origin
    from tests.support.plane import RunningGateway

pytestmark = needs_openssl


async def _ask(port: int) -> bytes:
    trust = ssl.create_default_context()
    trust.check_hostname = False
    trust.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    writer.write(b"GET /case HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n")[0]


def _config(folder: Path, **gateway: object) -> dict[str, object]:
    certificate, key = certified(folder)
    return {"gateway": {"tls": {"certificate": str(certificate), "key": str(key)}, **gateway}}


async def _until_empty(gateway: RunningGateway) -> None:
    async with asyncio.timeout(10):
        while gateway.plane.door.connections:
            await asyncio.sleep(0.01)


async def test_a_client_that_never_shakes_hands_is_counted_and_ends_in_time(origin: Origin, tmp_path: Path) -> None:
    """Silent connections are open as "handshake" and gone after the head timeout, each with a reason; others are served."""
    async with running_gateway(origin.port, _config(tmp_path, timeouts={"head": "500ms"})) as gateway:
        silent = [await Client.connect(gateway.port) for _ in range(5)]
        try:
            async with asyncio.timeout(5):
                while len(gateway.plane.door.connections) < 5:
                    await asyncio.sleep(0.005)
            assert {one.state for one in gateway.plane.door.connections} == {"handshake"}
            assert await _ask(gateway.port) == b"HTTP/1.1 200 OK"
            await _until_empty(gateway)
            assert gateway.errors() == {"tls_handshake_timeout": 5}
            assert [await client.rest() for client in silent] == [b""] * 5
        finally:
            for client in silent:
                client.close()


async def test_the_limit_on_connections_holds_for_handshakes(origin: Origin, tmp_path: Path) -> None:
    """With ten places, the eleventh silent client is closed at once; so is the third of one client that may have two."""
    for limits, most in (({"connections": 10}, 10), ({"connections_per_client": 2}, 2)):
        config = _config(tmp_path, limits=limits, timeouts={"head": "20s"})
        async with running_gateway(origin.port, config) as gateway:
            silent = [await Client.connect(gateway.port) for _ in range(most + 3)]
            async with asyncio.timeout(5):
                while sum(gateway.errors().values()) < 3:
                    await asyncio.sleep(0.005)
            assert len(gateway.plane.door.connections) == most
            for client in silent:
                client.close()
            await _until_empty(gateway)


async def test_what_is_no_tls_is_refused_with_a_reason(origin: Origin, tmp_path: Path) -> None:
    """Clear text is no handshake, and neither is a client that leaves: both are counted, and nothing stays."""
    async with running_gateway(origin.port, _config(tmp_path)) as gateway:
        async with connected(gateway.port) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.rest()
        (await Client.connect(gateway.port)).close()
        async with asyncio.timeout(5):
            while gateway.errors() != {"tls_handshake_failed": 2}:
                await asyncio.sleep(0.005)
        await _until_empty(gateway)


async def test_a_drain_does_not_wait_for_handshakes(origin: Origin, tmp_path: Path) -> None:
    """Who is still shaking hands when the gateway ends is let go at once, with the handshake's task."""
    async with running_gateway(origin.port, _config(tmp_path, timeouts={"head": "20s"})) as gateway:
        client = await Client.connect(gateway.port)
        async with asyncio.timeout(5):
            while not gateway.plane.door.connections:
                await asyncio.sleep(0.005)
        assert await gateway.plane.drain(10.0)
        client.close()


async def test_a_handshake_may_be_given_up_before_it_has_begun(origin: Origin, tmp_path: Path) -> None:
    """A drain in the very turn in which a client was accepted leaves no connection, no task and no descriptor."""
    async with running_gateway(origin.port, _config(tmp_path, timeouts={"head": "20s"})) as gateway:
        door = gateway.plane.door
        context = gateway.plane._tls
        assert context is not None
        ours, theirs = socket.socketpair()
        with ours:
            theirs.setblocking(False)
            Handshake(door, theirs, context, gateway.plane.start_task)
            (connection,) = door.connections
            connection.close_if_idle()
            await _until_empty(gateway)
            assert theirs.fileno() == -1


def _hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    shaking = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="a.test")
    with pytest.raises(ssl.SSLWantReadError):
        shaking.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_handshakes_that_are_cut_anywhere_leave_nothing(origin: Origin, tmp_path: Path, seed: int) -> None:
    """Clients that send a part of a greeting, noise, or too much, and leave in any way, before a drain or in it."""
    rng = random.Random(seed)
    hello = _hello()
    async with running_gateway(origin.port, _config(tmp_path, timeouts={"head": "300ms"})) as gateway:
        clients: list[Client] = []
        for _ in range(60):
            client = await Client.connect(gateway.port)
            clients.append(client)
            data = bytearray(hello[: rng.randrange(len(hello) + 1)])
            if data and rng.random() < 0.4:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            if rng.random() < 0.2:
                data += rng.randbytes(rng.randrange(1, 20_000))
            await client.send(bytes(data))
            if rng.random() < 0.5:
                rng.choice((client.reset, client.close, client.half_close))()
            if rng.random() < 0.2:
                await asyncio.sleep(0.005)
        if seed == 2:
            assert await gateway.plane.drain(5.0)
        elif seed == 3:
            await gateway.plane.close()
        await _until_empty(gateway)
        for client in clients:
            client.close()
