"""What the RFCs say of versions, codings, HEAD, Max-Forwards and loops, where a stricter reading would do harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.client import connected
from tests.support.origin import running_origin
from tests.support.plane import HASTY, running_gateway
from tests.support.world import HOST, World, get, post

if TYPE_CHECKING:
    from tests.support.origin import Exchange


@pytest.mark.parametrize("minor", [2, 5, 9])
async def test_a_later_minor_version_is_served_as_1_1(world: World, minor: int) -> None:
    """RFC 9110 §2.5, and the connection is kept."""
    async with world.client() as client:
        for _ in range(2):
            await client.send(b"GET /case HTTP/1.%d\r\n" % minor + HOST + b"\r\n")
            assert (await client.answer()).status == 200
    world.expected += 2


async def test_a_later_minor_version_of_an_upstream_is_1_1_too(world: World) -> None:
    """The client gets HTTP/1.1, and the body ends where its length says."""

    async def answer(exchange: Exchange) -> None:
        await exchange.wire.send(b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok")

    world.origin.on("/case", answer)
    found, _ = await world.admitted(get())
    assert (found.status, found.body) == (200, b"ok")


@pytest.mark.parametrize(
    "version", [b"HTTP/1", b"HTTP/01.01", b"HTTP/1.32", b"HTTP/1.", b"HTTP/.1", b"http/1.1"], ids=repr
)
async def test_what_is_no_version_is_400(world: World, version: bytes) -> None:
    """RFC 9112 §2.3: one digit, a point, one digit."""
    await world.refused(b"GET /case " + version + b"\r\n" + HOST + b"\r\n", {400}, {"malformed_head"})


@pytest.mark.parametrize("coding", [b"identity", b"gzip, chunked", b"gzip", b"trailers , deflate"], ids=repr)
async def test_an_unknown_coding_is_501(world: World, coding: bytes) -> None:
    """RFC 9112 §6.1; the body, whose end nobody knows, is no request."""
    await world.refused(post(b"Transfer-Encoding: " + coding + b"\r\n", b"x"), {501}, {"unknown_coding"})


@pytest.mark.gateway(HASTY)
@pytest.mark.parametrize(
    "raw",
    [
        b"HEAD /case HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"HEAD /case HTTP/1.1\r\n" + HOST + b"A : b\r\n\r\n",
        b"HEAD /" + b"x" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"HEAD /case HTTP/1.1\r\n" + HOST + b"A: b\n",
        b"HEAD /case HTTP/1.1\r\nHost:",
    ],
    ids=["host", "field", "target", "partial", "never whole"],
)
async def test_a_head_that_is_refused_has_no_body(world: World, raw: bytes) -> None:
    """RFC 9110 §9.3.2, wherever in its head it is refused; Content-Length says how long a GET's would be."""
    async with world.client() as client:
        await client.send(raw)
        answer = await client.answer("HEAD")
        assert answer.status in {400, 408, 414}
        assert int(answer.value("Content-Length") or 0) > 0
        assert await client.rest() == b""


@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE"])
async def test_max_forwards_means_nothing_to_other_methods(world: World, method: bytes) -> None:
    """RFC 9110 §7.6.2: no number, and it passes unchanged."""
    _, request = await world.admitted(method + b" /case HTTP/1.1\r\n" + HOST + b"Max-Forwards: abc\r\n\r\n")
    assert request.value(b"Max-Forwards") == b"abc"


@pytest.mark.parametrize("method", [b"TRACE", b"OPTIONS"])
async def test_max_forwards_must_be_a_number_where_it_means_something(world: World, method: bytes) -> None:
    await world.refused(method + b" /case HTTP/1.1\r\n" + HOST + b"Max-Forwards: abc\r\n\r\n", {400})


# --- loops ---------------------------------------------------------------------------------------

_ROUTES = {
    "routes": {
        "all": {"match": {"path": "/*"}, "upstream": "origin"},
        **{name: {"match": {"path": f"/{name}/*"}, "upstream": "origin"} for name in ("a", "b", "c", "d", "e")},
    }
}


@pytest.mark.parametrize(
    ("via", "status"),
    [
        (b"", 200),
        (b"1.1 gateway-test (b)", 200),
        (b"1.1 gateway-test (b), 1.0 fred, 1.1 gateway-test (c)\r\nVia: 1.1 gateway-test (d)", 200),
        (b"1.1 gateway-test (b), 1.1 gateway-test (c), 1.1 gateway-test (d), 1.1 gateway-test (e)", 508),
        (b"1.1 gateway-test (b), 1.1 gateway-test (a)", 508),
        (b"1.1 gateway-test, 1.1 gateway-test", 200),
    ],
    ids=["none", "once", "three", "four", "same route", "no names"],
)
@pytest.mark.gateway(_ROUTES)
async def test_a_loop_is_the_same_route_twice_or_more_than_three_rounds(world: World, via: bytes, status: int) -> None:
    """A service that copies its headers and calls another route through us is no loop."""
    before = len(world.origin.requests)
    async with world.client() as client:
        await client.send(get(b"/a/x", b"Via: " + via + b"\r\n" if via else b""))
        answer = await client.answer()
    assert answer.status == status
    assert len(world.origin.requests) - before == (status == 200)
    if status == 200:
        assert world.origin.requests[-1].values(b"Via")[-1] == b"1.1 gateway-test (a)"
    else:
        assert answer.json["reason"] == "loop_detected"
    world.expected += status == 200


async def test_a_real_loop_ends_with_508() -> None:
    """The upstream is the gateway itself: the first round comes back on its own route, and is refused once."""
    async with running_origin() as origin, running_gateway(origin.port) as far:

        async def pass_back(exchange: Exchange) -> None:
            fields = b"".join(b"%b: %b\r\n" % (name, value) for name, value in exchange.request.fields)
            async with connected(far.port) as again:
                await again.send(b"GET /case HTTP/1.1\r\n" + fields + b"\r\n")
                answer = await again.answer()
            await exchange.answer(answer.body, status=b"%d Passed" % answer.status)

        origin.default = pass_back
        async with connected(far.port) as client:
            await client.send(get())
            answer = await client.answer()
        assert (answer.status, answer.json["reason"]) == (508, "loop_detected")
        assert len(origin.requests) == 1
