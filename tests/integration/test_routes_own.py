"""What a route says of itself: its prefix, its limits and timeouts, its streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.behaviours import answers
from tests.support.client import connected
from tests.support.plane import running_gateway

if TYPE_CHECKING:
    from tests.support.origin import Exchange, Origin

STRIPPED = """
[routes.all]
strip_prefix = "/api"
"""
TRUSTING = '[gateway.client_ip]\ntrusted_proxies = ["127.0.0.0/8"]\n'
MOVED = b"HTTP/1.1 302 Found\r\nLocation: /login\r\nDate: Fri, 27 Nov 2026 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"


async def test_the_service_learns_of_its_prefix(origin: Origin) -> None:
    """X-Forwarded-Prefix has what was taken from the path, behind what a trusted proxy has taken before."""
    origin.on("/case", answers(MOVED))
    async with running_gateway(origin.port, STRIPPED) as gateway, connected(gateway.port) as client:
        await client.send(b"GET /api/case HTTP/1.1\r\nHost: a\r\nX-Forwarded-Prefix: /evil\r\n\r\n")
        await client.answer()
        await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.answer()
    async with running_gateway(origin.port, STRIPPED + TRUSTING) as gateway, connected(gateway.port) as client:
        await client.send(
            b"GET /api/case HTTP/1.1\r\nHost: a\r\nx-forwarded-prefix: /outer/\r\nX-Forwarded-Prefix: /x\r\n\r\n"
        )
        await client.answer()
    removed = STRIPPED + 'remove_headers = ["x-forwarded-prefix"]\n'
    async with running_gateway(origin.port, removed) as gateway, connected(gateway.port) as client:
        await client.send(b"GET /api/case HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.answer()
    found = [request.values(b"X-Forwarded-Prefix") for request in origin.asked("/case")]
    assert found == [[b"/api"], [], [b"/outer/api"], []]


async def test_a_redirect_leads_back_under_the_prefix(origin: Origin) -> None:
    """Location gets the prefix where it was taken away, each time, and only there; unless the route forbids it."""
    origin.on("/case", answers(MOVED))
    async with running_gateway(origin.port, STRIPPED) as gateway, connected(gateway.port) as client:
        for target, expected in (("/case", "/login"), ("/api/case", "/api/login")) * 2:
            await client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert (await client.answer()).value("Location") == expected
    kept = STRIPPED + "rewrite_location = false\n"
    async with running_gateway(origin.port, kept) as gateway, connected(gateway.port) as client:
        await client.send(b"GET /api/case HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).value("Location") == "/login"


@pytest.mark.parametrize(
    "framing",
    ["Content-Length: 3000\r\n\r\n{body}", "Transfer-Encoding: chunked\r\n\r\nbb8\r\n{body}\r\n0\r\n\r\n"],
    ids=["length", "chunked"],
)
async def test_a_route_has_its_own_limit_on_bodies(origin: Origin, framing: str) -> None:
    """It may take more than the gateway does, and less; the rest of the gateway keeps its limit."""
    config = """
[gateway.limits]
body = "2kB"
[routes.all]
match = { path = "/*" }
[routes.more]
upstream = "origin"
match = { path = "/more/*" }
limits = { body = "4kB" }
[routes.less]
upstream = "origin"
match = { path = "/less/*" }
limits = { body = "1kB" }
"""
    async with running_gateway(origin.port, config) as gateway:
        for target, status in (("/more/x", 200), ("/x", 413), ("/less/x", 413), ("/more/y", 200)):
            async with connected(gateway.port) as client:
                head = f"POST {target} HTTP/1.1\r\nHost: a\r\n"
                await client.send((head + framing.format(body="x" * 3000)).encode())
                answer = await client.answer("POST")
                assert answer.status == status
                if status == 413:
                    assert answer.json["detail"] == f"more than {1000 if 'less' in target else 2000} bytes"


async def test_a_route_has_its_own_timeouts(origin: Origin) -> None:
    """A page that is slow to answer, or silent for long, has longer there, and shorter where that is said."""

    async def slow(exchange: Exchange) -> None:
        await exchange.read_body()
        await asyncio.sleep(0.4)
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n1")
        await asyncio.sleep(0.4)
        await exchange.wire.send(b"2")

    config = """
[upstreams.origin]
timeouts = { head = "200ms", idle = "200ms" }
retry = { attempts = 1 }
[routes.slow]
upstream = "origin"
match = { path = "/slow" }
timeouts = { head = "20s", idle = "20s" }
[routes.quiet]
upstream = "origin"
match = { path = "/quiet" }
timeouts = { head = "20s" }
"""
    for path in ("/slow", "/quiet", "/usual"):
        origin.on(path, slow)
    async with running_gateway(origin.port, config) as gateway:
        async with connected(gateway.port) as client:
            await client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.answer()).body == b"12"
            await client.send(b"GET /usual HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.answer()).json["reason"] == "upstream_head_timeout"
        async with connected(gateway.port) as client:
            await client.send(b"GET /quiet HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.rest()
        assert gateway.errors() == {"upstream_head_timeout": 1, "upstream_idle_timeout": 1}


async def test_a_silent_event_stream_gets_comments(origin: Origin) -> None:
    """Between two events, when the route asks for it; the events themselves come through whole."""
    asked = asyncio.Queue[bytes]()

    async def stream(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.wire.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while event := await asked.get():
            await exchange.wire.send(b"%x\r\n%b\r\n" % (len(event), event))
        await exchange.wire.send(b"0\r\n\r\n")

    origin.on("/case", stream)
    config = '[routes.all]\nstream_keepalive = "50ms"\n'
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n")
        got = b""
        async with asyncio.timeout(10):
            while got.count(b"3\r\n:\n\n\r\n") < 2:  # before the first event
                await client.wire.has_more()
                got += client.wire.take_available()
            asked.put_nowait(b"data: a")
            while b"data: a" not in got:
                await client.wire.has_more()
                got += client.wire.take_available()
            assert await client.is_silent(0.3)  # it is inside an event
            asked.put_nowait(b"\n\n")
            while not got.endswith(b"2\r\n\n\n\r\n3\r\n:\n\n\r\n"):
                await client.wire.has_more()
                got += client.wire.take_available()
            asked.put_nowait(b"")
            while not got.endswith(b"0\r\n\r\n"):
                await client.wire.has_more()
                got += client.wire.take_available()


async def test_without_the_key_nothing_is_added(origin: Origin) -> None:
    """A stream is passed on as it is unless its route asks for comments."""

    async def stream(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n")
        await exchange.wait_until_abandoned()

    origin.on("/case", stream)
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n")
        got = b""
        async with asyncio.timeout(10):
            while b"data: a\n\n" not in got:
                await client.wire.has_more()
                got += client.wire.take_available()
        assert await client.is_silent(0.3)
