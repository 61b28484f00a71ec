"""Clients that take their time, or ours (of 300 ms)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.behaviours import ends, floods
from tests.support.plane import HASTY
from tests.support.world import World, assert_is_refusal, get, post

if TYPE_CHECKING:
    from tests.support.client import Client

pytestmark = pytest.mark.gateway(HASTY)

HEADS = {
    "one byte": b"G",
    "half a request line": b"GET /ev",
    "no empty line": get()[:-2],
    "all but the last byte": get()[:-1],
    "half a field": get()[:-2] + b"X-Evil: ",
}


@pytest.mark.parametrize("start", HEADS.values(), ids=HEADS)
async def test_a_head_that_stops_is_timed_out(world: World, start: bytes) -> None:
    async with world.client() as client:
        await client.send(start)
        assert_is_refusal(await client.answer(within=1.5), {408}, {"head_timeout"})
        await client.ending(within=1)


async def test_a_head_that_drips_has_one_deadline(world: World) -> None:
    """Every byte is no new lease of life."""

    async def drip(client: Client) -> None:
        for byte in get(fields=b"X-A: " + b"e" * 200 + b"\r\n"):
            if not await client.send(bytes([byte])):
                return
            await asyncio.sleep(0.02)

    async with world.client() as client:
        dripping = asyncio.ensure_future(drip(client))
        assert_is_refusal(await client.answer(within=1.5), {408}, {"head_timeout"})
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


async def test_the_second_head_has_a_deadline_too(world: World) -> None:
    async with world.client() as client:
        await client.send(get())
        assert (await client.answer()).status == 200
        await client.send(get()[:10])
        assert_is_refusal(await client.answer(within=1.5), {408}, {"head_timeout"})
        await client.ending(within=1)
    world.expected += 1


async def test_a_client_that_never_speaks_is_let_go(world: World) -> None:
    """Silently, or with 408 for those who wonder."""
    async with world.client() as client:
        rest = await client.rest(2)
    assert rest == b"" or rest.startswith(b"HTTP/1.1 408 ")


async def test_an_idle_connection_is_closed_without_a_word(world: World) -> None:
    async with world.client() as client:
        await client.send(get())
        await client.answer()
        assert await client.ending(within=2) == "eof"
    world.expected += 1


BODIES = {
    "length": post(b"Content-Length: 10\r\n", b"ab"),
    "no byte of it": post(b"Content-Length: 10\r\n"),
    "chunked": post(b"Transfer-Encoding: chunked\r\n", b"2\r\nab\r\n"),
    "half a chunk size": post(b"Transfer-Encoding: chunked\r\n", b"2\r\nab\r\n5"),
    "no last CRLF": post(b"Transfer-Encoding: chunked\r\n", b"2\r\nab\r\n0\r\n"),
}


@pytest.mark.parametrize("raw", BODIES.values(), ids=BODIES)
async def test_a_body_that_stops_is_timed_out(world: World, raw: bytes) -> None:
    async with world.client() as client:
        await client.send(raw)
        assert_is_refusal(await client.answer(within=1.5), {408}, {"body_timeout"})
        await client.ending(within=1)
    await world.gateway.settle()
    await asyncio.sleep(0.02)
    assert not any(request.is_complete for request in world.origin.requests)
    world.expected += len(world.origin.requests)


async def test_a_slow_but_steady_body_is_served(world: World) -> None:
    """The timeout is for silence between two pieces; this upload takes longer than it in all."""
    async with world.client() as client:
        await client.send(post(b"Content-Length: 8\r\n"))
        for byte in b"abcdefgh":
            await client.send(bytes([byte]))
            await asyncio.sleep(0.08)
        assert (await client.answer()).json["length"] == 8
    world.expected += 1


def _resident() -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS:"))


async def test_a_client_that_stops_reading_is_let_go_and_costs_no_memory(world: World) -> None:
    """100 MB on offer, nobody takes them: the origin is held up, then both sides are closed."""
    world.origin.on(
        "/case", floods(b"x" * 65536, first=b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n", most=1600)
    )
    before = _resident()
    async with world.client(receive_buffer=4096) as client:
        await client.send(get())
        await asyncio.wait_for(client.wire.until(b"\r\n\r\n"), 2)
        await asyncio.sleep(0.2)
        assert _resident() - before < 16 * 1024 * 1024
        await world.gateway.settle()
        await asyncio.sleep(0.1)
        assert world.origin.requests[0].is_abandoned
    world.expected += 1


async def test_a_slow_reader_gets_everything(world: World) -> None:
    """As long as it reads at all."""
    size = 3 * 1024 * 1024
    world.origin.on(
        "/case", floods(b"x" * 65536, first=b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, most=size // 65536)
    )
    async with world.client(receive_buffer=16384) as client:
        await client.send(get())
        await asyncio.wait_for(client.wire.until(b"\r\n\r\n"), 2)
        read, pause = 0, 0
        while read < size:
            read += len(await asyncio.wait_for(client.wire.some(65536), 2))
            pause += 1
            if pause % 40 == 0:
                await asyncio.sleep(0.01)
    assert read == size
    world.expected += 1


async def test_half_a_close_means_gone(world: World) -> None:
    """RFC 9112 §9.6 leaves it to us; a client that left looks the same, and is far more frequent."""
    world.origin.on("/case", ends("hang"))
    async with world.client() as client:
        await client.send(get())
        while not world.origin.requests:
            await asyncio.sleep(0.005)
        client.half_close()
        assert await client.rest(1) == b""
    await world.gateway.settle(1)
    await asyncio.sleep(0.02)
    assert world.origin.requests[0].is_abandoned
    assert world.gateway.errors().get("client_gone") == 1
    world.expected += 1


async def test_fifty_slow_heads_do_not_hold_up_anybody(world: World) -> None:
    clients = [world.client() for _ in range(50)]
    opened = [await client.__aenter__() for client in clients]
    await asyncio.gather(*(client.send(get()[:20]) for client in opened))
    await world.victim()
    for client in clients:
        await client.__aexit__(None, None, None)
