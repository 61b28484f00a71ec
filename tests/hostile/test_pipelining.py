"""Many requests on one connection: order, ownership, and splits at every offset (RFC 9112 §9.3.2)."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.world import SMUGGLED, World, get, post


def _numbered(number: int) -> bytes:
    return get(b"/n/%d" % number, b"X-Case: %d\r\n" % number)


@pytest.mark.parametrize("count", [2, 50, 2000])
async def test_pipelined_requests_are_answered_in_order(world: World, count: int) -> None:
    """2,000 in one go wait their turn; reading is paused meanwhile, so sending takes its time."""
    async with world.client() as client:
        sending = asyncio.ensure_future(client.wire.send(b"".join(map(_numbered, range(count)))))
        for number in range(count):
            answer = await client.answer()
            assert (answer.status, answer.json["id"]) == (200, str(number))
        assert await sending
    world.expected += count


async def test_bodies_and_requests_alternate(world: World) -> None:
    raw = b"".join(
        post(b"X-Case: %d\r\nContent-Length: %d\r\n" % (n, len(SMUGGLED)), SMUGGLED)
        if n % 2
        else post(
            b"X-Case: %d\r\nTransfer-Encoding: chunked\r\n" % n, b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
        )
        for n in range(20)
    )
    async with world.client() as client:
        await client.send(raw)
        for number in range(20):
            answer = await client.answer()
            assert answer.json == {"id": str(number), "method": "POST", "target": "/case", "length": len(SMUGGLED)}
    world.expected += 20


async def test_a_request_after_a_broken_one_is_not_served(world: World) -> None:
    async with world.client() as client:
        await client.send(_numbered(1) + get(fields=b"X-A : evil\r\n") + SMUGGLED)
        assert (await client.answer()).json["id"] == "1"
        assert (await client.answer()).status == 400
        await client.ending()
    world.expected += 1


async def test_a_request_after_close_is_not_served(world: World) -> None:
    """RFC 9112 §9.6: nothing is processed after a request that said close."""
    async with world.client() as client:
        await client.send(get(fields=b"Connection: close\r\n") + SMUGGLED)
        answer = await client.answer()
        assert answer.value("Connection") == "close"
        await client.ending()
    world.expected += 1


async def test_a_request_may_be_cut_anywhere(world: World) -> None:
    raw = post(b"X-Case: cut\r\nTransfer-Encoding: chunked\r\n", b"5;a=b\r\nabcde\r\n1\r\nf\r\n0\r\nX-T: y\r\n\r\n")

    async def ask(cut: int) -> None:
        async with world.client() as client:
            await client.send_split(raw, [cut], pause=0.002)
            assert (await client.answer()).json == {"id": "cut", "method": "POST", "target": "/case", "length": 6}

    for start in range(1, len(raw), 40):
        cuts = range(start, min(start + 40, len(raw)))
        await asyncio.gather(*map(ask, cuts))
        world.expected += len(cuts)


async def test_a_request_may_come_byte_by_byte(world: World) -> None:
    raw = post(b"X-Case: drip\r\nContent-Length: 3\r\n", b"abc")
    async with world.client() as client:
        await client.send_split(raw, range(1, len(raw)), pause=0.0005)
        assert (await client.answer()).json["length"] == 3
    world.expected += 1


async def test_answers_match_questions_under_concurrency(world: World) -> None:
    """Hundreds of requests over shared upstream connections, each with its own answer."""

    async def ask(number: int) -> None:
        async with world.client() as client:
            for turn in range(5):
                await client.send(_numbered(number * 10 + turn))
                assert (await client.answer()).json["id"] == str(number * 10 + turn)

    await asyncio.gather(*map(ask, range(60)))
    world.expected += 300
