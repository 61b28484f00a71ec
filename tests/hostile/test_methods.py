"""Methods that ask something of the proxy itself, and methods that nobody knows (RFC 9110 §9)."""

from __future__ import annotations

import pytest

from tests.support.world import HOST, World, get


@pytest.mark.parametrize("target", [b"gateway.test:443", b"127.0.0.1:22", b"/case", b"evil.test", b"[::1]:25"])
async def test_connect_is_refused(world: World, target: bytes) -> None:
    await world.refused(b"CONNECT " + target + b" HTTP/1.1\r\n" + HOST + b"\r\nevil", {400, 405, 501})


@pytest.mark.parametrize(
    "method",
    [
        b"FOO",
        b"EVIL",
        b"get",
        b"Get",
        b"GETX",
        b"G",
        b"!",
        b"A" * 3000,
        b"G\xcbT",
        b"GET\x00",
        b'"GET"',
        b"(GET)",
        b"GE,T",
    ],
    ids=lambda method: repr(method[:12]),
)
async def test_an_unknown_method_is_refused(world: World, method: bytes) -> None:
    await world.refused(method + b" /case HTTP/1.1\r\n" + HOST + b"\r\n", {400, 501})


async def test_a_method_of_100_kb_is_refused(world: World) -> None:
    await world.refused(b"A" * 100_000 + b" /case HTTP/1.1\r\n" + HOST + b"\r\n", {400, 414, 431, 501})


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_the_methods_of_the_web_pass(world: World, method: str) -> None:
    answer, request = await world.admitted(method.encode() + get()[3:], method)
    assert answer.status == 200
    assert request.method == method.encode()


async def test_options_star_is_forwarded_or_answered(world: World) -> None:
    async with world.client() as client:
        await client.send(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n" + get())
        assert (await client.answer()).status in {200, 204, 404}
        assert (await client.answer()).json["target"] == "/case"
    world.expected += len(world.origin.requests)
    assert all(request.target in {b"*", b"/case"} for request in world.origin.requests)


@pytest.mark.parametrize("method", [b"GET", b"POST", b"TRACE"])
async def test_star_is_for_options_only(world: World, method: bytes) -> None:
    await world.refused(method + b" * HTTP/1.1\r\n" + HOST + b"\r\n", {400})


async def test_trace_with_no_hops_left_is_answered_here(world: World) -> None:
    """RFC 9110 §9.3.8; what it reflects must not give away credentials."""
    raw = b"TRACE /case HTTP/1.1\r\n" + HOST + b"Max-Forwards: 0\r\nAuthorization: secret\r\nCookie: secret\r\n\r\n"
    async with world.client() as client:
        await client.send(raw)
        answer = await client.answer()
    assert answer.status in {200, 405, 501}
    assert b"secret" not in answer.body
    assert world.origin.requests == []


@pytest.mark.parametrize("method", [b"TRACE", b"OPTIONS"])
async def test_a_hop_is_taken_from_max_forwards(world: World, method: bytes) -> None:
    _, request = await world.admitted(method + get()[3:-2] + b"Max-Forwards: 3\r\n\r\n")
    assert request.value(b"Max-Forwards") == b"2"


async def test_options_with_no_hops_left_is_answered_here(world: World) -> None:
    async with world.client() as client:
        await client.send(b"OPTIONS /case HTTP/1.1\r\n" + HOST + b"Max-Forwards: 0\r\n\r\n")
        assert (await client.answer()).status in {200, 204}
    assert world.origin.requests == []


@pytest.mark.parametrize("value", [b"evil", b"-1", b"+1", b"1.5", b"9" * 40, b"", b"0x1"], ids=repr)
async def test_a_bad_max_forwards_is_refused_or_never_passed_on(world: World, value: bytes) -> None:
    request = await world.refused_or_admitted(b"TRACE" + get()[3:-2] + b"Max-Forwards: " + value + b"\r\n\r\n")
    if request is not None:
        assert request.values(b"Max-Forwards") == []
