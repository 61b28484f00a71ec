"""Expect: 100-continue is our handshake, and no other expectation is understood (RFC 9110 §10.1.1)."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.behaviours import answers
from tests.support.world import SMUGGLED, World, assert_is_refusal, get, post

_EXPECT = b"Expect: 100-continue\r\nContent-Length: 5\r\n"
ONE_ROUTE = {"routes": {"all": {"match": {"path": "/victim"}}}}


async def test_an_admitted_upload_is_asked_for_once(world: World) -> None:
    async with world.client() as client:
        await client.send(post(_EXPECT))
        assert bytes(await asyncio.wait_for(client.wire.until(b"\r\n\r\n"), 2)) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"abcde")
        answer = await client.answer()
    assert (answer.status, answer.interim, answer.json["length"]) == (200, [], 5)
    # The handshake is ours, so the origin is not asked for another one.
    assert world.origin.requests[0].values(b"Expect") == []
    world.expected += 1


@pytest.mark.parametrize("value", [b"100-Continue", b"100-CONTINUE"])
async def test_the_expectation_has_no_case(world: World, value: bytes) -> None:
    answer, _ = await world.admitted(post(b"Expect: " + value + b"\r\nContent-Length: 5\r\n", b"abcde"))
    assert answer.status == 200


async def test_a_client_that_does_not_wait_is_served(world: World) -> None:
    answer, request = await world.admitted(post(_EXPECT, b"abcde"))
    assert answer.status == 200
    assert bytes(request.body) == b"abcde"


@pytest.mark.gateway(ONE_ROUTE)
async def test_a_refused_upload_is_not_asked_for(world: World) -> None:
    async with world.client() as client:
        await client.send(post(_EXPECT))
        answer = await client.answer()
        assert_is_refusal(answer, {404}, {"no_route"})
        assert answer.interim == []
        await client.send(b"abcde" + SMUGGLED)
        assert b"HTTP/1.1" not in await client.rest(1.5)


@pytest.mark.gateway({"gateway": {"limits": {"body": "4B"}}})
async def test_an_upload_that_is_too_large_is_not_asked_for(world: World) -> None:
    answer = await world.refused(post(_EXPECT), {413}, {"body_too_large"})
    assert answer.interim == []


@pytest.mark.parametrize(
    "lines",
    [
        b"Expect: evil\r\n",
        b"Expect: y 100-continue\r\n",
        b"Expect: 100-continue evil\r\n",
        b"Expect: 100-continue, evil\r\n",
        b"Expect: evil, 100-continue\r\n",
        b"Expect: 100-continue;evil=1\r\n",
        b"Expect: 100-continueevil\r\n",
        b'Expect: "100-continue"\r\n',
        b"Expect: 100\r\n",
        b"Expect:\r\n",
        b"Expect: 100-continue\r\nExpect: evil\r\n",
        b"Expect: evil\r\nExpect: 100-continue\r\n",
        b"Expect: 100-continue\x0b\r\n",
        b"Expect: \xa0100-continue\r\n",
    ],
    ids=repr,
)
async def test_another_expectation_is_refused(world: World, lines: bytes) -> None:
    answer = await world.refused(post(lines + b"Content-Length: 5\r\n", b"abcde"), {400, 417})
    assert answer.interim == []


@pytest.mark.parametrize("name", [b"E\xc3\x97pect", b"Expect ", b" Expect"], ids=repr)
async def test_an_obfuscated_expectation_is_refused(world: World, name: bytes) -> None:
    await world.refused(post(name + b": 100-continue\r\nContent-Length: 5\r\n", b"abcde"), {400})


async def test_an_expectation_without_a_body_starves_nobody(world: World) -> None:
    """Expect with 0.CL: what follows is the next request, not the body."""
    async with world.client() as client:
        await client.send(get(b"/a", b"Expect: 100-continue\r\n") + get(b"/b"))
        assert (await client.answer()).json["target"] == "/a"
        assert (await client.answer()).json["target"] == "/b"
    world.expected += 2


async def test_options_with_an_expectation_and_a_body_is_one_request(world: World) -> None:
    """CVE-2025-32094: the pair that desynchronised a large network."""
    raw = post(b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(SMUGGLED), SMUGGLED)
    _, request = await world.admitted(raw.replace(b"POST", b"OPTIONS", 1))
    assert bytes(request.body) == SMUGGLED


async def test_http_1_0_expects_nothing(world: World) -> None:
    """RFC 9110 §10.1.1: a 100-continue from an HTTP/1.0 client is ignored."""
    async with world.client() as client:
        await client.send(b"POST /case HTTP/1.0\r\nHost: a\r\n" + _EXPECT + b"\r\nabcde")
        answer = await client.answer()
    assert (answer.status, answer.interim) == (200, [])
    world.expected += 1


@pytest.mark.parametrize("status", [b"200 OK", b"417 Expectation Failed", b"401 Unauthorized"])
async def test_an_upstream_that_does_not_take_the_body_is_not_reused(world: World, status: bytes) -> None:
    """CVE-2024-24791: the body that was never sent must not become the next request's beginning."""
    world.origin.on("/case", answers(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nno", before_body=True))
    async with world.client() as client:
        await client.send(post(b"Expect: 100-continue\r\nContent-Length: 500\r\n"))
        answer = await client.answer()
        assert answer.status == int(status[:3])
        assert answer.body == b"no"
        await client.send(SMUGGLED)
        assert b"HTTP/1.1" not in await client.rest(1.5)
    world.expected += 1
    await world.victim()
    assert world.origin.requests[-1].connection != world.origin.requests[0].connection


async def test_a_100_from_the_upstream_is_not_the_answer(world: World) -> None:
    world.origin.on(
        "/case",
        answers(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", before_body=True),
    )
    async with world.client() as client:
        await client.send(get())
        assert (await client.answer()).body == b"ok"
    world.expected += 1
