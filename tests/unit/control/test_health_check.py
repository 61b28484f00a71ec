"""One active check, against a real server."""

from __future__ import annotations

import asyncio

from gateway.control.health import check
from gateway.upstream.address import parse_address
from gateway.upstream.settings import Health
from tests.support.origin import Exchange, running_origin


async def test_an_endpoint_by_number_is_asked_by_its_name() -> None:
    """Where a name was looked up the Host field is the name, with the port; without one it is the address."""
    async with running_origin() as origin:
        address = parse_address(f"http://127.0.0.1:{origin.port}")
        assert await check(address, Health(path="/healthz"), "shop.example.com")
        assert await check(address, Health(path="/healthz"))
    hosts = [request.value(b"Host") for request in origin.asked("/healthz")]
    assert hosts == [b"shop.example.com:%d" % origin.port, b"127.0.0.1:%d" % origin.port]


async def test_what_does_not_pass() -> None:
    """A status of 400 or more, an answer that breaks off, nobody there."""

    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(b"", b"503 Service Unavailable")

    async def cut(exchange: Exchange) -> None:
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        exchange.wire.close()

    async with running_origin() as origin:
        origin.on("/503", refuse)
        origin.on("/cut", cut)
        address = parse_address(f"http://127.0.0.1:{origin.port}")
        assert not await check(address, Health(path="/503"))
        assert not await check(address, Health(path="/cut"))
        assert await check(address, Health())
    await asyncio.sleep(0)
    assert not await check(address, Health())
