"""A request is sent again only when that cannot do a thing twice."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.client import connected
from tests.support.plane import running_gateway

if TYPE_CHECKING:
    from tests.support.origin import Exchange, Origin


def _request(method: str, path: str, body: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return b"%b %b HTTP/1.1\r\nHost: a\r\n%b\r\n%b" % (method.encode(), path.encode(), length, body)


async def _close_on_second_use(exchange: Exchange) -> None:
    """Answer the first request on a connection; close at the second, as a server does whose patience ended."""
    await exchange.read_body()
    if exchange.wire.received.count(b"HTTP/1.1\r\n") > 1:
        exchange.wire.close()
    else:
        await exchange.answer(b"ok")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
async def test_an_idempotent_request_survives_a_stale_connection(origin: Origin, method: str) -> None:
    """A kept-alive connection that the upstream closes as the request goes out is replaced once."""
    origin.default = _close_on_second_use
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        for _ in range(3):
            await client.send(_request(method, "/case"))
            assert (await client.answer(method)).status == 200
    assert gateway.errors() == {}


@pytest.mark.parametrize(("method", "body"), [("POST", b""), ("POST", b"pay"), ("PATCH", b"x")])
async def test_what_could_be_done_twice_is_not_repeated(origin: Origin, method: str, body: bytes) -> None:
    """POST and PATCH get 502 and reach the upstream once."""
    origin.default = _close_on_second_use
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        await client.send(_request("GET", "/first"))
        assert (await client.answer()).status == 200
        await client.send(_request(method, "/case", body))
        answer = await client.answer()
        assert (answer.status, answer.json["reason"]) == (502, "upstream_closed")
    assert len(origin.asked("/case")) == 1


async def test_a_request_that_was_never_sent_goes_to_another_endpoint(origin: Origin) -> None:
    """A refused connection proves that nothing was sent, so even a POST with a body goes elsewhere, whole."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        refusing = free.getsockname()[1]
        config = {
            "upstreams": {
                "origin": {
                    "endpoints": [f"http://127.0.0.1:{refusing}", f"http://127.0.0.1:{origin.port}"],
                    "retry": {"attempts": 2},
                }
            }
        }
        async with running_gateway(origin.port, config) as gateway:
            for number in range(10):
                async with connected(gateway.port) as client:
                    await client.send(_request("POST", "/case", b"body %d" % number))
                    answer = await client.answer()
                    assert answer.json["length"] == len(b"body %d" % number)
    assert len(origin.asked("/case")) == 10


async def test_all_endpoints_refusing_is_said(origin: Origin) -> None:
    """When nobody can be reached the client hears of the last failure."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        config = {"upstreams": {"origin": {"endpoints": [f"http://127.0.0.1:{free.getsockname()[1]}"]}}}
        async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
            for _ in range(2):  # the client's connection goes on
                await client.send(_request("GET", "/case"))
                answer = await client.answer()
                assert (answer.status, answer.json["reason"]) == (502, "connect_refused")
                assert 'error=connection_refused; details="connect_refused"' in (answer.value("Proxy-Status") or "")


async def test_an_endpoint_that_closes_an_idle_connection_is_noticed(origin: Origin) -> None:
    """A connection closed between requests is not used again, so even a POST succeeds."""

    async def answer_and_close(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.answer(b"ok")
        exchange.wire.close()

    origin.on("/first", answer_and_close)
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        for _ in range(5):
            await client.send(_request("GET", "/first"))
            assert (await client.answer()).status == 200
            await asyncio.sleep(0.02)
            await client.send(_request("POST", "/case", b"pay"))
            assert (await client.answer()).status == 200
