"""The body of a request that we turn away is never read as the next request."""

from __future__ import annotations

import pytest

from tests.support.behaviours import answers
from tests.support.world import SMUGGLED, World, assert_is_refusal, get, post

ONE_ROUTE = {"routes": {"all": {"match": {"path": "/victim"}}}}
SMALL_BODY = {"gateway": {"limits": {"body": "1KiB"}}}
_LENGTH = b"Content-Length: %d\r\n" % len(SMUGGLED)
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)

BODIES = {"length": post(_LENGTH, SMUGGLED), "chunked": post(_CHUNKED, _CHUNKS)}


@pytest.mark.gateway(ONE_ROUTE)
@pytest.mark.parametrize("raw", BODIES.values(), ids=BODIES)
async def test_a_body_that_came_with_its_head_is_not_a_request(world: World, raw: bytes) -> None:
    async with world.client() as client:
        await client.send(raw)
        assert_is_refusal(await client.answer(), {404}, {"no_route"})
        assert b"HTTP/1.1" not in await client.rest(1.5)


@pytest.mark.gateway(ONE_ROUTE)
@pytest.mark.parametrize("raw", BODIES.values(), ids=BODIES)
async def test_a_body_that_comes_after_the_refusal_is_not_a_request(world: World, raw: bytes) -> None:
    head, _, body = raw.partition(b"\r\n\r\n")
    async with world.client() as client:
        await client.send(head + b"\r\n\r\n")
        assert_is_refusal(await client.answer(), {404}, {"no_route"})
        await client.send(body)
        assert b"HTTP/1.1" not in await client.rest(1.5)


@pytest.mark.gateway(SMALL_BODY)
async def test_a_declared_body_that_is_too_large_is_refused_at_once(world: World) -> None:
    await world.refused(post(b"Content-Length: 1025\r\n", SMUGGLED * 30), {413}, {"body_too_large"})


@pytest.mark.gateway(SMALL_BODY)
async def test_a_chunked_body_that_grows_too_large_is_broken_off(world: World) -> None:
    chunk = b"%x\r\n%b\r\n" % (len(SMUGGLED), SMUGGLED)
    answer = await world.broken_off(post(_CHUNKED, chunk * 100 + b"0\r\n\r\n"), {413})
    assert answer.json["reason"] == "body_too_large"


@pytest.mark.gateway(SMALL_BODY)
async def test_a_body_of_exactly_the_limit_passes(world: World) -> None:
    _, request = await world.admitted(post(b"Content-Length: 1024\r\n", b"x" * 1024))
    assert len(request.body) == 1024


@pytest.mark.gateway(SMALL_BODY)
async def test_a_huge_chunk_size_is_refused_before_its_data(world: World) -> None:
    await world.broken_off(post(_CHUNKED, b"7fffffffffffffff\r\nevil"), {400, 413})


async def test_an_answer_before_the_body_does_not_free_the_connection(world: World) -> None:
    """The origin answers early and closes; what is left of the body belongs to nobody."""
    world.origin.on("/case", answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", then="close", before_body=True))
    async with world.client() as client:
        await client.send(post(b"Content-Length: %d\r\n" % (100_000 + len(SMUGGLED)), b"x" * 10))
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"ok")
        await client.send(b"x" * 99_990 + SMUGGLED + SMUGGLED)
        # If the connection lives on, only the request after the whole body may be served.
        rest = await client.rest(1.5)
    assert rest.count(b"HTTP/1.1 200") == 0
    world.expected += 1


async def test_an_early_answer_on_a_living_upstream_connection_spends_it(world: World) -> None:
    """The origin never read the body: the connection to it must not carry the next request."""
    world.origin.on("/case", answers(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", then="hang", before_body=True))
    async with world.client() as client:
        await client.send(post(b"Content-Length: 500000\r\n", b"x" * 10))
        assert (await client.answer()).status == 403
    world.expected += 1
    await world.victim()
    assert world.origin.requests[-1].connection != world.origin.requests[0].connection


async def test_a_complete_body_keeps_the_connection(world: World) -> None:
    """The other side of the coin: after a request that was read to its end the next one is served."""
    async with world.client() as client:
        for _ in range(3):
            await client.send(post(_LENGTH, SMUGGLED))
            assert (await client.answer()).json["length"] == len(SMUGGLED)
        await client.send(get())
        assert (await client.answer()).status == 200
    world.expected += 4
    assert {request.connection for request in world.origin.requests} == {0}
