"""A kept-alive connection may die just as we write to it: repeat only what is safe to repeat (RFC 9110 §9.2.2)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.behaviours import ends
from tests.support.world import World, assert_is_refusal, get, post

if TYPE_CHECKING:
    from tests.support.behaviours import Then
    from tests.support.origin import Exchange


def _stale(then: Then) -> object:
    """Answer the first request on each connection; end any other connection use without a word."""

    async def behave(exchange: Exchange) -> None:
        uses = sum(exchange.wire.received.count(word) for word in (b"GET /", b"POST /", b"PUT /"))
        if uses > 1:
            await ends(then)(exchange)
        else:
            await exchange.read_body()
            await exchange.answer(b"ok")

    return behave


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_get_is_repeated_once_on_a_new_connection(world: World, then: Then) -> None:
    world.origin.on("/case", _stale(then))  # type: ignore[arg-type]
    async with world.client() as client:
        for _ in range(2):
            await client.send(get())
            assert (await client.answer()).body == b"ok"
    # The first, the one that met the dying connection, and its repetition.
    assert [request.connection for request in world.origin.requests] == [0, 0, 1]
    world.expected += 3


@pytest.mark.parametrize("method", [b"POST", b"PATCH"])
@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_post_is_never_repeated(world: World, method: bytes, then: Then) -> None:
    await world.admitted(get())
    world.origin.on("/case", ends(then))
    async with world.client() as client:
        await client.send(post(b"Content-Length: 5\r\n", b"abcde").replace(b"POST", method, 1))
        assert_is_refusal(await client.answer(), {502}, {"upstream_closed"})
    assert len([request for request in world.origin.requests if request.method == method]) == 1
    world.expected += 1


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_get_on_a_new_connection_is_not_repeated(world: World, then: Then) -> None:
    """There the upstream has read it and chose to leave."""
    world.origin.on("/case", ends(then))
    async with world.client() as client:
        await client.send(get())
        assert_is_refusal(await client.answer(), {502}, {"upstream_closed"})
    assert len(world.origin.asked("/case")) == 1
    world.expected += 1


async def test_a_get_is_not_repeated_for_ever(world: World) -> None:
    """Every connection dies: one repetition, then 502."""
    await world.admitted(get(b"/first"))
    world.origin.on("/case", ends("close"))
    async with world.client() as client:
        await client.send(get())
        assert_is_refusal(await client.answer(), {502}, {"upstream_closed"})
    assert len(world.origin.asked("/case")) <= 2
    world.expected += len(world.origin.asked("/case"))


async def test_a_connection_that_the_origin_closed_is_not_used(world: World) -> None:
    """Seen in time, it costs nothing at all: no repetition, also for POST."""
    await world.admitted(get())
    world.origin.wires[0].hang_up()
    await asyncio.sleep(0.03)
    answer, request = await world.admitted(post(b"Content-Length: 5\r\n", b"abcde"))
    assert (answer.status, request.connection) == (200, 1)


async def test_an_origin_that_says_close_is_believed(world: World) -> None:
    async def once(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.answer(b"ok", fields=b"Connection: close\r\n")

    world.origin.on("/case", once)
    async with world.client() as client:
        for _ in range(2):
            await client.send(get())
            assert (await client.answer()).body == b"ok"
    assert [request.connection for request in world.origin.requests] == [0, 1]
    world.expected += 2
