"""When a connection carries another request, on either side, and when it must not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.client import connected
from tests.support.plane import running_gateway

if TYPE_CHECKING:
    from tests.support.origin import Exchange, Origin

_GET = b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n"
_ANSWER = b"HTTP/1.1 200 OK\r\nDate: Fri, 27 Nov 2026 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("framing", [b"Content-Length: 6\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_bytes_behind_a_streamed_body_spend_the_connection(origin: Origin, framing: bytes) -> None:
    """They came after the body had begun to go on; they could be taken for the answer to the next request."""
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

    async def streams(exchange: Exchange) -> None:
        is_chunked = framing.startswith(b"T")
        await exchange.wire.send(
            b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n" + (b"3\r\nabc\r\n" if is_chunked else b"abc")
        )
        await asyncio.sleep(0.05)
        await exchange.wire.send((b"3\r\ndef\r\n0\r\n\r\n" if is_chunked else b"def") + poison)
        await exchange.wait_until_abandoned()

    origin.on("/streams", streams)
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        await client.send(b"GET /streams HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).body == b"abcdef"
        await client.send(_GET)
        assert (await client.answer()).json["target"] == "/case"
    assert [request.connection for request in origin.requests] == [0, 1]


@pytest.mark.parametrize("why", ["draining", "no keep-alive"])
async def test_an_answer_made_before_says_close_when_the_connection_will(origin: Origin, why: str) -> None:
    """The head that is kept from equal answers is not used when this connection is not kept."""
    held: list[Exchange] = []

    async def answers(exchange: Exchange) -> None:
        if exchange.request.target == b"/held":
            held.append(exchange)
            return
        await exchange.wire.send(_ANSWER)

    origin.default = answers
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        for _ in range(4):
            await client.send(_GET)
            assert (await client.answer()).value("Connection") is None
        await client.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(5):
            while not held:
                await asyncio.sleep(0.002)
        door = gateway.plane.door
        if why == "draining":
            door.is_draining = True
        else:
            door.keeps_alive = False
        await held[0].wire.send(_ANSWER)
        answer = await client.answer()
        assert answer.value("Connection") == "close"
        assert await client.ending() == "eof"
        door.is_draining, door.keeps_alive = False, True


async def test_the_connection_that_was_idle_longest_leaves_for_a_newcomer(origin: Origin) -> None:
    """Ten kept-alive connections fill the door: the eleventh client is served, and it is the first that goes."""
    config = {"gateway": {"limits": {"connections": 10}, "timeouts": {"keepalive": "20s"}}}
    async with running_gateway(origin.port, config) as gateway:
        clients = []
        for _ in range(10):
            context = connected(gateway.port)
            client = await context.__aenter__()
            clients.append((context, client))
            await client.send(_GET)
            assert (await client.answer()).status == 200
            await asyncio.sleep(0.003)
        async with connected(gateway.port) as newcomer:
            await newcomer.send(_GET)
            assert (await newcomer.answer()).status == 200
            assert await clients[0][1].ending() == "eof"
            await clients[1][1].send(_GET)
            assert (await clients[1][1].answer()).status == 200
        for context, _ in clients:
            await context.__aexit__(None, None, None)
        assert gateway.errors() == {}


async def test_busy_connections_stay_when_the_door_is_full(origin: Origin) -> None:
    """Where none is idle between two requests the newcomer is refused, with the reason."""

    async def never(exchange: Exchange) -> None:
        await exchange.wait_until_abandoned()

    origin.on("/hang", never)
    config = {"gateway": {"limits": {"connections": 2}}, "upstreams": {"origin": {"timeouts": {"head": "20s"}}}}
    async with (
        running_gateway(origin.port, config) as gateway,
        connected(gateway.port) as one,
        connected(gateway.port) as fresh,
        connected(gateway.port) as late,
    ):
        await one.send(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await late.answer()
        assert (answer.status, answer.json["reason"]) == (503, "connection_limit")
        await fresh.send(_GET)
        assert (await fresh.answer()).status == 200
        one.close()
