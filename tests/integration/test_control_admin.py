"""The admin address answers everybody briefly and tells nobody more than it should."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from gateway import __version__
from tests.support.running import RunningGateway, running, toml

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
async def gateway() -> AsyncIterator[RunningGateway]:
    """A gateway whose upstream does not exist: the admin address does not mind."""
    async with running(toml(NOBODY)) as running_gateway:
        yield running_gateway


async def raw(gateway: RunningGateway, data: bytes) -> bytes:
    """What the admin address answers to these bytes until it closes."""
    host, port = urlsplit(gateway.admin).netloc.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


async def test_the_pages(gateway: RunningGateway) -> None:
    """Every page in the index answers 200, and status says what runs."""
    code, index = await gateway.ask("/")
    pages = [line.split()[0] for line in index.splitlines() if line.startswith("  /")]
    assert code == 200
    assert pages == [
        *("/healthz", "/readyz", "/metrics", "/v1/status", "/v1/decisions", "/v1/breakers", "/v1/signals", "/queue")
    ]
    for page in pages:
        assert (await gateway.ask(page))[0] == 200, page
    status = await gateway.status()
    assert status["version"] == __version__
    assert status["listen"] == [urlsplit(gateway.url).netloc]
    assert status["upstreams"] == {"app": {"endpoints": [NOBODY], "in_flight": 0, "pool": []}}
    assert [worker["state"] for worker in status["workers"]] == ["ready"]


async def test_get_is_all_there_is(gateway: RunningGateway) -> None:
    """Other methods are 405 with Allow, unknown paths 404, both problem+json; nothing says aiohttp."""
    for method, path, code in [("POST", "/metrics", 405), ("DELETE", "/", 405), ("GET", "/v1/%73tatus/x", 404)]:
        async with gateway.session.request(method, gateway.admin + path) as response:
            assert response.status == code
            assert response.headers["Content-Type"] == "application/problem+json"
            assert response.headers["Server"] == "gateway"
            assert json.loads(await response.text())["status"] == code
    async with gateway.session.get(gateway.admin + "/healthz") as response:
        assert response.headers["Server"] == "gateway"


@pytest.mark.parametrize(
    "data",
    [
        b"GET /evil<script> \x00\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01evil\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nevil\x1b[31m: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: evil\r\n\r\n",
        b"GET /" + b"evil" * 10000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: evil\r\n" * 20000 + b"\r\n",
    ],
)
async def test_nonsense_is_400_and_never_echoed(gateway: RunningGateway, data: bytes) -> None:
    """Bytes that are no request get 400 without a word of them, in the answer or in the log."""
    answer = await raw(gateway, data)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer
    assert b"evil" not in answer
    assert b"aiohttp" not in answer
    assert not [line for line in gateway.log if "evil" in line]
    assert (await gateway.ask("/healthz"))[0] == 200


async def test_slow_strangers_do_not_shut_out_the_operator(gateway: RunningGateway) -> None:
    """With 400 connections that never finish a request the admin address answers, and forgets them."""
    host, port = urlsplit(gateway.admin).netloc.split(":")
    strangers = [await asyncio.open_connection(host, int(port)) for _ in range(400)]
    for _, writer in strangers:
        writer.write(b"GET /metrics HTTP/1.1\r\nHost:")
    for _ in range(5):
        assert (await gateway.ask("/healthz"))[0] == 200
    assert (await gateway.metrics())["process_open_fds"] < 300  # the oldest of them had to go
    async with asyncio.timeout(30):
        assert await asyncio.gather(*(_rest(reader) for reader, _ in strangers)) == [b""] * 400
    for _, writer in strangers:
        writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_heads_and_pipelines(gateway: RunningGateway) -> None:
    """HEAD has no body, and requests on one connection are answered in order."""
    answer = await raw(
        gateway,
        b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    assert [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1")] == [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 404 Not Found",
    ] or answer.count(b"HTTP/1.1 ") == 3
    assert b"gateway_requests_total" not in answer
