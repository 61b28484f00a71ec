"""A client that resets in any phase releases what it held, at once and exactly once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.behaviours import answers, ends, floods, sends_pieces
from tests.support.plane import running_gateway
from tests.support.silence import black_hole
from tests.support.world import SMUGGLED, World, get, post

if TYPE_CHECKING:
    from tests.support.origin import Origin

_OK = b"HTTP/1.1 200 OK\r\n"


async def _until_asked(world: World) -> None:
    async with asyncio.timeout(2):
        while not world.origin.requests:
            await asyncio.sleep(0.002)


async def _assert_released(world: World) -> None:
    """Within a second nothing is in flight and the origin's connection is gone."""
    await world.gateway.settle(1)
    async with asyncio.timeout(1):
        while not world.origin.wires[0].ending:
            await asyncio.sleep(0.005)
    assert not world.origin.requests[0].is_complete or world.origin.requests[0].is_abandoned
    assert world.gateway.errors() == {"client_gone": 1}
    assert world.gateway.snapshot().in_flight == {"origin": 0}


async def test_while_waiting_for_the_answer(world: World) -> None:
    world.origin.on("/case", ends("hang"))
    async with world.client() as client:
        await client.send(get())
        await _until_asked(world)
        client.reset()
        await _assert_released(world)
    world.expected += 1


@pytest.mark.parametrize(
    "raw",
    [post(b"Content-Length: 100000\r\n", b"x" * 70_000), post(b"Transfer-Encoding: chunked\r\n", b"5\r\nabcde\r\n")],
    ids=["length", "chunked"],
)
async def test_while_uploading(world: World, raw: bytes) -> None:
    async with world.client() as client:
        await client.send(raw)
        await _until_asked(world)
        client.reset()
        await _assert_released(world)
    assert not world.origin.requests[0].is_complete
    world.expected += 1


async def test_while_downloading(world: World) -> None:
    world.origin.on("/case", floods(b"x" * 65536, first=_OK + b"Content-Length: 104857600\r\n\r\n", most=1600))
    async with world.client() as client:
        await client.send(get())
        await asyncio.wait_for(client.wire.until(b"\r\n\r\n"), 2)
        client.reset()
        await _assert_released(world)
    world.expected += 1


async def test_while_the_answer_drips(world: World) -> None:
    world.origin.on("/case", sends_pieces(_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", then="hang"))
    async with world.client() as client:
        await client.send(get())
        await asyncio.wait_for(client.wire.until(b"abc"), 2)
        client.reset()
        await _assert_released(world)
    world.expected += 1


async def test_while_its_upload_is_not_read(world: World) -> None:
    """The FIN or RST hides behind unread data: it must be seen all the same."""

    async def stall(exchange: object) -> None:
        del exchange
        await asyncio.sleep(1.5)

    world.origin.on("/case", stall)
    async with world.client() as client:
        await client.send(post(b"Content-Length: 1000000\r\n"))
        await _until_asked(world)
        sending = asyncio.ensure_future(client.wire.send(b"x" * 900_000))
        await asyncio.sleep(0.1)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        client.reset()
        await world.gateway.settle(1)
    assert not world.origin.requests[0].is_complete
    world.expected += 1


async def test_with_requests_still_in_the_pipe(world: World) -> None:
    world.origin.on("/case", ends("hang"))
    async with world.client() as client:
        await client.send(get() + SMUGGLED * 10)
        await _until_asked(world)
        client.reset()
        await _assert_released(world)
    world.expected += 1


async def test_while_connecting(origin: Origin) -> None:
    """The endpoint's backlog is full, so the connection attempt hangs; the client does not wait for it."""
    with black_hole() as port:
        config = {
            "upstreams": {"full": {"endpoints": [f"http://127.0.0.1:{port}"], "timeouts": {"connect": "5s"}}},
            "routes": {"full": {"upstream": "full", "match": {"path": "/full"}}},
        }
        async with running_gateway(origin.port, config) as gateway:
            world = World(origin, gateway)
            async with world.client() as client:
                await client.send(get(b"/full"))
                await asyncio.sleep(0.1)
                assert gateway.in_flight == 1
                client.reset()
                await gateway.settle(1)
            assert gateway.errors() == {"client_gone": 1}
            await world.verify()


async def test_before_the_request_is_complete(world: World) -> None:
    async with world.client() as client:
        await client.send(get()[:-5])
        client.reset()
    await asyncio.sleep(0.02)


async def test_a_hundred_at_once(world: World) -> None:
    """Chaos: some reset, some wait; afterwards everything is back at zero."""
    world.origin.on("/slow", sends_pieces(_OK + b"Content-Length: 4\r\n\r\n", b"ok", b"ok", pause=0.03))

    async def ask(number: int) -> None:
        async with world.client() as client:
            await client.send(get(b"/slow"))
            if number % 2:
                await asyncio.sleep(0.001 * (number % 80))
                client.reset()
            else:
                assert (await client.answer()).body == b"okok"

    await asyncio.gather(*map(ask, range(100)))
    await world.gateway.settle(1)
    world.expected += len(world.origin.requests)


@pytest.mark.parametrize("status", [b"413 Too Much", b"503 Busy"])
async def test_an_early_answer_stops_the_upload(world: World, status: bytes) -> None:
    """The answer is delivered, the upload stops, both connections are spent."""
    raw = b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nno"
    world.origin.on("/case", answers(raw, then="hang", before_body=True))
    async with world.client() as client:
        await client.send(post(b"Content-Length: 1000000\r\n", b"x" * 1000))
        answer = await client.answer()
        assert (answer.status, answer.body) == (int(status[:3]), b"no")
        await client.send(SMUGGLED)
        assert b"HTTP/1.1" not in await client.rest()
    world.expected += 1
    await world.victim()
    assert world.origin.requests[-1].connection != world.origin.requests[0].connection


async def test_an_early_answer_with_a_reset_is_delivered_or_a_failure(world: World) -> None:
    """The origin's reset may overtake its answer; a hang or a clean half-answer it is never."""
    raw = b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    world.origin.on("/case", answers(raw, then="reset", before_body=True))
    async with world.client() as client:
        await client.send(post(b"Content-Length: 500000\r\n", b"x" * 300_000))
        answer = await client.answer()
        assert answer.status in {413, 502}
    world.expected += 1
