"""Upstreams that do not answer, or hardly (of 300–400 ms)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.behaviours import drips, ends, sends_pieces
from tests.support.plane import HASTY, running_gateway
from tests.support.silence import black_hole, unused_port
from tests.support.world import World, assert_is_refusal, get, post

if TYPE_CHECKING:
    from tests.support.origin import Origin

pytestmark = pytest.mark.gateway(HASTY)

_OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("raw", [get(), post(b"Content-Length: 5\r\n", b"abcde")], ids=["GET", "POST"])
async def test_no_answer_is_a_timeout(world: World, raw: bytes) -> None:
    world.origin.on("/case", ends("hang"))
    async with world.client() as client:
        await client.send(raw)
        assert_is_refusal(await client.answer(), {504}, {"upstream_head_timeout"})
        # The client did nothing wrong, and its request was read to its end.
        await client.send(get(b"/next"))
        assert (await client.answer()).json["target"] == "/next"
    world.expected += 2
    assert world.origin.requests[0].is_abandoned


async def test_a_head_that_drips_has_one_deadline(world: World) -> None:
    world.origin.on("/case", drips(_OK + b"X-A: " + b"e" * 100, every=0.02))
    async with world.client() as client:
        await client.send(get())
        assert_is_refusal(await client.answer(), {504}, {"upstream_head_timeout"})
    world.expected += 1


async def test_interim_answers_do_not_buy_time(world: World) -> None:
    world.origin.on("/case", drips(b"HTTP/1.1 102 Processing\r\n\r\n" * 30, every=0.05, size=27))
    async with world.client() as client:
        await client.send(get())
        assert_is_refusal(await client.answer(), {502, 504})
    world.expected += 1


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (_OK + b"Content-Length: 10\r\n\r\n", b"abc"),
        (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n"),
        (_OK + b"\r\n", b"abc"),
    ],
    ids=["length", "chunked", "until close"],
)
async def test_a_body_that_stops_is_broken_off(world: World, head: bytes, body: bytes) -> None:
    world.origin.on("/case", sends_pieces(head, body, then="hang"))
    async with world.client() as client:
        await client.send(get())
        answer = await client.answer()
        assert (answer.status, answer.body, answer.is_complete) == (200, b"abc", False)
    await world.gateway.settle()
    assert world.gateway.errors() == {"upstream_idle_timeout": 1}
    world.expected += 1


@pytest.mark.gateway({"upstreams": {"origin": {"timeouts": {"idle": "1s"}}}})
async def test_a_body_that_drips_steadily_is_relayed(world: World) -> None:
    """No bound on the whole without one in the configuration."""
    world.origin.on("/case", drips(_OK + b"Content-Length: 8\r\n\r\nabcdefgh", every=0.08, size=20))
    answer, _ = await world.admitted(get())
    assert answer.status == 200


@pytest.mark.gateway(
    {"routes": {"all": {"timeout": "500ms"}}, "upstreams": {"origin": {"timeouts": {"head": "5s", "idle": "5s"}}}}
)
@pytest.mark.parametrize("path", ["/head", "/body"])
async def test_the_time_for_the_whole_request_is_bounded(world: World, path: str) -> None:
    world.origin.on("/head", ends("hang"))
    world.origin.on("/body", drips(_OK + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000, every=0.05, size=60))
    async with world.client() as client:
        await client.send(get(path.encode()))
        answer = await client.answer()
        if path == "/head":
            assert_is_refusal(answer, {504}, {"request_timeout"})
        else:
            assert (answer.status, answer.is_complete) == (200, False)
    await world.gateway.settle()
    assert world.gateway.errors() == {"request_timeout": 1}
    world.expected += 1


async def _ask_endpoint(origin: Origin, url: str, statuses: set[int], reasons: set[str]) -> None:
    config = {
        "upstreams": {"bad": {"endpoints": [url]}},
        "routes": {"bad": {"upstream": "bad", "match": {"path": "/bad"}}},
    }
    async with running_gateway(origin.port, config) as gateway:
        world = World(origin, gateway)
        async with world.client() as client:
            await client.send(post(b"Content-Length: 5\r\n", b"abcde", b"/bad"))
            assert_is_refusal(await client.answer(), statuses, reasons)
            await client.send(get(b"/next"))
            if await client.wire.has_more():
                assert (await client.answer()).status == 200
                world.expected += 1
        await world.verify()


async def test_nobody_listens(origin: Origin) -> None:
    await _ask_endpoint(origin, f"http://127.0.0.1:{unused_port()}", {502}, {"connect_refused"})


async def test_a_name_that_does_not_exist(origin: Origin) -> None:
    """RFC 2606 reserves .invalid; where resolving takes too long, that is a timeout."""
    await _ask_endpoint(origin, "http://evil.invalid:80", {502, 504}, {"dns_failed", "connect_timeout"})


async def test_nobody_accepts(origin: Origin) -> None:
    """A black hole: a listener whose backlog is full answers no SYN."""
    with black_hole() as port:
        await _ask_endpoint(origin, f"http://127.0.0.1:{port}", {504}, {"connect_timeout"})


async def test_one_stuck_request_does_not_hold_up_others(world: World) -> None:
    world.origin.on("/case", ends("hang"))
    async with world.client() as client:
        await client.send(get())
        await asyncio.sleep(0.02)
        await world.victim()
        client.close()
    world.expected += 1
