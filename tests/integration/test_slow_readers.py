"""Progress counts: a reader that is slow but steady is left in peace, one that takes nothing is cut by a reset."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from gateway.http.downstream import BODY, HEAD
from tests.support.client import connected
from tests.support.plane import running_gateway
from tests.support.running import until

if TYPE_CHECKING:
    from tests.support.origin import Exchange, Origin

_SIZE = 8_000_000
_HASTY = {
    "gateway": {"timeouts": {"body_idle": "400ms"}},
    "upstreams": {"origin": {"timeouts": {"idle": "200ms", "head": "5s"}}},
}


async def _big(exchange: Exchange) -> None:
    await exchange.answer(b"x" * _SIZE)


async def test_a_steady_slow_reader_gets_everything(origin: Origin) -> None:
    """A small piece every few milliseconds, for many times body_idle and idle: the kernel's buffers hide it, progress not."""
    origin.default = _big
    async with running_gateway(origin.port, _HASTY) as gateway:
        async with connected(gateway.port, receive_buffer=16384) as client:
            await client.send(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.wire.until(b"\r\n\r\n")
            loop = asyncio.get_running_loop()
            got = len(client.wire.take_available())
            for _ in range(60):
                got += len(await loop.sock_recv(client.wire.socket, 8192))
                await asyncio.sleep(0.05)
            async with asyncio.timeout(20):
                while got < _SIZE:
                    data = await loop.sock_recv(client.wire.socket, 1 << 20)
                    assert data, f"cut after {got}"
                    got += len(data)
        assert gateway.errors() == {}


async def test_a_body_that_ends_with_the_connection_is_cut_by_a_reset(origin: Origin) -> None:
    """HTTP/1.0: a clean close would make half a file look whole."""

    async def chunked(exchange: Exchange) -> None:
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"186a0\r\n" + b"x" * 100_000 + b"\r\n"
        for _ in range(200):
            if not await exchange.wire.send(piece):
                return
        await exchange.wire.send(b"0\r\n\r\n")

    origin.default = chunked
    async with running_gateway(origin.port, _HASTY) as gateway:
        async with connected(gateway.port, receive_buffer=16384) as client:
            await client.send(b"GET /b HTTP/1.0\r\nHost: a\r\n\r\n")
            async with asyncio.timeout(10):
                while not gateway.errors():
                    await asyncio.sleep(0.02)
                assert await client.wire.wait_for_end() == "reset"
        assert gateway.errors() == {"client_gone": 1}


async def test_a_pause_leaves_no_deadline_behind(origin: Origin) -> None:
    """After a pause that the client made up for, body_idle does not end its wait for the rest of the answer."""
    go_on = asyncio.Event()

    async def in_two(exchange: Exchange) -> None:
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (_SIZE + 4) + b"x" * _SIZE)
        await go_on.wait()
        await exchange.wire.send(b"last")

    origin.default = in_two
    config = {"gateway": {"timeouts": {"body_idle": "300ms"}}, "upstreams": {"origin": {"timeouts": {"idle": "20s"}}}}
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port, receive_buffer=16384) as client:
        await client.send(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.wire.until(b"\r\n\r\n")
        await asyncio.sleep(0.1)
        await asyncio.wait_for(client.wire.exactly(_SIZE), 20)
        await asyncio.sleep(0.9)
        go_on.set()
        assert await asyncio.wait_for(client.wire.exactly(4), 5) == b"last"


async def test_idle_does_not_count_while_the_client_is_slow(origin: Origin) -> None:
    """The endpoint waits for us, not we for it: its idle timeout, shorter than the client's pause, convicts nobody."""
    origin.default = _big
    config = {"gateway": {"timeouts": {"body_idle": "20s"}}, "upstreams": {"origin": {"timeouts": {"idle": "100ms"}}}}
    async with running_gateway(origin.port, config) as gateway:
        async with connected(gateway.port, receive_buffer=16384) as client:
            await client.send(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.wire.until(b"\r\n\r\n")
            await asyncio.sleep(0.6)
            await asyncio.wait_for(client.wire.exactly(_SIZE), 20)
        assert gateway.errors() == {}


async def test_what_comes_in_spite_of_a_pause_sets_no_deadline(origin: Origin) -> None:
    """Bytes that were under way when reading stopped begin no idle timeout: none could end it while the client is slow."""

    async def all_but_one(exchange: Exchange) -> None:
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (_SIZE + 1) + b"x" * _SIZE)
        await exchange.wait_until_abandoned()

    origin.default = all_but_one
    config = {"gateway": {"timeouts": {"body_idle": "20s"}}, "upstreams": {"origin": {"timeouts": {"idle": "20s"}}}}
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port, receive_buffer=16384) as client:
        await client.send(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")
        (connection,) = await until(lambda: gateway.plane._groups["origin"].endpoints[0]._open)
        await until(lambda: connection._is_reading_paused)
        assert connection.deadline == inf
        connection.data_received(b"y")
        assert connection.deadline == inf
        client.reset()
        await gateway.settle()


async def test_a_pause_leaves_the_deadline_of_the_request(origin: Origin) -> None:
    """The client made up for its pause, the rest of the answer never comes: the route's timeout ends the request."""

    async def never_whole(exchange: Exchange) -> None:
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (_SIZE + 4) + b"x" * _SIZE)
        await exchange.wait_until_abandoned()

    origin.default = never_whole
    config = {
        "gateway": {"timeouts": {"body_idle": "2s"}},
        "upstreams": {"origin": {"timeouts": {"idle": "60s"}}},
        "routes": {"all": {"timeout": "4s"}},
    }
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port, receive_buffer=16384) as client:
        await client.send(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n")
        (connection,) = await until(lambda: gateway.plane.door.connections)
        await until(lambda: connection.is_write_paused)
        await client.wire.until(b"\r\n\r\n")
        await asyncio.wait_for(client.wire.exactly(_SIZE), 20)
        assert await client.ending(within=30) == "reset"
        assert gateway.errors() == {"request_timeout": 1}


async def test_after_a_pause_the_body_has_its_whole_time(origin: Origin) -> None:
    """The client read an early answer slowly while it was sending: body_idle counts from when it has caught up."""
    size = 1_000_000

    async def answers_early(exchange: Exchange) -> None:
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (_SIZE + 4) + b"x" * _SIZE)
        await exchange.read_body()
        await exchange.wire.send(b"last")

    origin.default = answers_early
    config = {
        "gateway": {"timeouts": {"body_idle": "20s"}},
        "upstreams": {"origin": {"timeouts": {"idle": "60s", "head": "60s"}}},
    }
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port, receive_buffer=16384) as client:
        await client.send(b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        await client.send(bytes(size // 2))
        (connection,) = gateway.plane.door.connections
        await until(lambda: connection.is_write_paused)
        assert connection.phase == BODY
        await client.wire.until(b"\r\n\r\n")
        await asyncio.wait_for(client.wire.exactly(_SIZE), 20)
        await until(lambda: not connection.is_write_paused)
        assert connection.deadline - gateway.plane.clock.now() > 10
        await client.send(bytes(size - size // 2))
        assert await asyncio.wait_for(client.wire.exactly(4), 20) == b"last"


async def test_after_a_pause_the_requests_that_wait_are_begun(origin: Origin) -> None:
    """A client that pipelines and then reads: what waited for it to read goes on, to the last request."""
    count = 2000
    body = b"x" * 4096

    async def answers(exchange: Exchange) -> None:
        await exchange.answer(body)

    origin.default = answers
    config = {"gateway": {"timeouts": {"body_idle": "20s", "keepalive": "20s"}, "limits": {"head": "256KiB"}}}
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port, receive_buffer=16384) as client:
        await client.send(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n" * count)
        (connection,) = gateway.plane.door.connections
        await until(lambda: connection.is_write_paused and connection.phase == HEAD)
        assert connection.has_waiting
        for _ in range(count):
            assert (await client.answer(within=20)).body == body
