"""A tunnel only when both sides agreed on one (RFC 9110 §7.8)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.behaviours import answers
from tests.support.world import SMUGGLED, World, assert_is_refusal, get, post

if TYPE_CHECKING:
    from tests.support.origin import Exchange

_UPGRADE = b"Connection: Upgrade\r\nUpgrade: foo\r\n"
_SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n"
_WEBSOCKET = (
    b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


async def _shout(exchange: Exchange) -> None:
    """Switch, then send everything back in capitals until the other side ends."""
    await exchange.wire.send(_SWITCH)
    while await exchange.wire.has_more():
        await exchange.wire.send(exchange.wire.take_available().upper())
    exchange.wire.close()


async def _read(world: World, client_wire: object, size: int) -> bytes:
    del world
    return await asyncio.wait_for(client_wire.exactly(size), 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("fields", [_UPGRADE, _WEBSOCKET], ids=["foo", "websocket"])
async def test_a_real_101_opens_a_tunnel(world: World, fields: bytes) -> None:
    world.origin.on("/case", _shout)
    async with world.client() as client:
        await client.send(get(fields=fields))
        answer = await client.answer()
        assert answer.status == 101
        assert (answer.value("Upgrade"), (answer.value("Connection") or "").lower()) == ("foo", "upgrade")
        await client.send(b"hello")
        assert await _read(world, client.wire, 5) == b"HELLO"
        await client.send(SMUGGLED)
        assert await _read(world, client.wire, len(SMUGGLED)) == SMUGGLED.upper()
        client.close()
    request = world.origin.requests[0]
    assert b"upgrade" in (request.value(b"Connection") or b"").lower()
    assert request.value(b"Upgrade") in {b"foo", b"websocket"}
    world.expected += 1


async def test_bytes_after_an_upgrade_wait_for_the_101(world: World) -> None:
    """CVE-2026-2833: they are the tunnel's once it exists."""

    async def hesitate(exchange: Exchange) -> None:
        assert not exchange.wire.take_available()
        await asyncio.sleep(0.05)
        assert not exchange.wire.take_available(), "bytes of the tunnel came before the tunnel"
        await _shout(exchange)

    world.origin.on("/case", hesitate)
    async with world.client() as client:
        await client.send(get(fields=_UPGRADE) + b"early")
        assert (await client.answer()).status == 101
        assert await _read(world, client.wire, 5) == b"EARLY"
    world.expected += 1


REFUSING = {
    "200": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
    "200 with Upgrade": b"HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 2\r\n\r\nno",
    "403": b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno",
    "426": b"HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: bar\r\nContent-Length: 2\r\n\r\nno",
}


@pytest.mark.parametrize("raw", REFUSING.values(), ids=REFUSING)
async def test_bytes_after_a_refused_upgrade_are_nobodys_request(world: World, raw: bytes) -> None:
    """CVE-2024-23326: anything but 101 leaves HTTP as it was, without the bytes that were meant for a tunnel."""
    world.origin.on("/case", answers(raw))
    async with world.client() as client:
        await client.send(get(fields=_UPGRADE) + SMUGGLED)
        answer = await client.answer()
        assert (answer.status, answer.body) == (int(raw[9:12]), b"no")
        await client.ending()
    world.expected += 1


@pytest.mark.parametrize("raw", REFUSING.values(), ids=REFUSING)
async def test_a_refused_upgrade_returns_to_http(world: World, raw: bytes) -> None:
    """The next request is either served as HTTP or the connection is closed: never a tunnel."""
    world.origin.on("/case", answers(raw))
    async with world.client() as client:
        await client.send(get(fields=_WEBSOCKET.replace(b"13", b"777")))
        answer = await client.answer()
        assert (answer.status, answer.body) == (int(raw[9:12]), b"no")
        await client.send(get(b"/next"))
        if await client.wire.has_more():
            assert (await client.answer()).json["target"] == "/next"
            world.expected += 1
    world.expected += 1


H2C = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    "h2c without settings": b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    "upper case": b"Connection: Upgrade\r\nUpgrade: H2C\r\n",
    "in a list": b"Connection: Upgrade\r\nUpgrade: foo, h2c\r\n",
    "first in a list": b"Connection: Upgrade\r\nUpgrade: h2c, foo\r\n",
    "on two lines": b"Connection: Upgrade\r\nUpgrade: foo\r\nUpgrade: h2c\r\n",
    "with a version": b"Connection: Upgrade\r\nUpgrade: h2c/1\r\n",
    "settings not nominated": b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
}


@pytest.mark.parametrize("fields", H2C.values(), ids=H2C)
async def test_h2c_never_reaches_the_origin(world: World, fields: bytes) -> None:
    request = await world.refused_or_admitted(get(fields=fields))
    if request is not None:
        assert not any(b"h2c" in value.lower() for value in request.values(b"Upgrade"))
        assert request.values(b"HTTP2-Settings") == []


NO_UPGRADE = {
    "not nominated": get(fields=b"Upgrade: foo\r\n"),
    "with a length": post(_UPGRADE + b"Content-Length: 5\r\n", b"abcde"),
    "chunked": post(_UPGRADE + b"Transfer-Encoding: chunked\r\n", b"5\r\nabcde\r\n0\r\n\r\n"),
    "nominated without a field": get(fields=b"Connection: Upgrade\r\n"),
    "empty": get(fields=b"Connection: Upgrade\r\nUpgrade:\r\n"),
    "HTTP/1.0": b"GET /case HTTP/1.0\r\nHost: a\r\n" + _UPGRADE + b"\r\n",
}


@pytest.mark.parametrize("raw", NO_UPGRADE.values(), ids=NO_UPGRADE)
async def test_what_is_no_upgrade_is_not_forwarded_as_one(world: World, raw: bytes) -> None:
    """CVE-2026-58055: an upgrade with a body is not one."""
    request = await world.refused_or_admitted(raw)
    if request is not None:
        assert request.values(b"Upgrade") == []
        assert b"upgrade" not in b",".join(request.values(b"Connection")).lower()


@pytest.mark.parametrize("raw", [get(), *NO_UPGRADE.values()], ids=["plain", *NO_UPGRADE])
async def test_a_101_that_nobody_asked_for_is_a_failure(world: World, raw: bytes) -> None:
    world.origin.on("/case", answers(_SWITCH + b"evil", then="hang"))
    async with world.client() as client:
        await client.send(raw)
        answer = await client.answer()
        assert_is_refusal(answer, {*range(400, 500), 502})
    world.expected += len(world.origin.requests)


async def test_a_101_for_another_protocol_is_a_failure(world: World) -> None:
    """RFC 9110 §7.8: a server must not switch to a protocol that was not indicated."""
    world.origin.on("/case", answers(_SWITCH.replace(b"foo", b"evil"), then="hang"))
    async with world.client() as client:
        await client.send(get(fields=_UPGRADE))
        answer = await client.answer()
        assert answer.status in {101, 502}
        if answer.status == 502:
            assert_is_refusal(answer, {502})
    world.expected += 1


async def test_a_tunnel_ends_when_the_client_leaves(world: World) -> None:
    world.origin.on("/case", _shout)
    async with world.client() as client:
        await client.send(get(fields=_UPGRADE))
        assert (await client.answer()).status == 101
        client.reset()
    world.expected += 1
    await world.gateway.settle()
    assert world.origin.wires[0].ending


async def test_a_tunnel_ends_when_the_origin_leaves(world: World) -> None:
    world.origin.on("/case", answers(_SWITCH + b"last words", then="close"))
    async with world.client() as client:
        await client.send(get(fields=_UPGRADE))
        assert (await client.answer()).status == 101
        assert await client.rest() == b"last words"
    world.expected += 1
