"""The admin address answers everybody briefly and tells nobody more than it should."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from gateway import __version__
from tests.support.running import RunningGateway, running, toml, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
async def gateway() -> AsyncIterator[RunningGateway]:
    """A gateway whose upstream does not exist: the admin address does not mind."""
    async with running(toml(NOBODY)) as running_gateway:
        yield running_gateway


async def raw(gateway: RunningGateway, data: bytes) -> bytes:
    """What the admin address answers to these bytes until it closes; what it has not read may make that a reset."""
    host, port = urlsplit(gateway.admin).netloc.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    try:
        answer = b""
        async with asyncio.timeout(20):
            with suppress(ConnectionResetError):
                while piece := await reader.read(65536):
                    answer += piece
        return answer
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
    await until(lambda: _answers(gateway, "/queue"))  # as soon as the worker's first report is there
    for page in pages:
        assert (await gateway.ask(page))[0] == 200, page
    status = await gateway.status()
    assert status["version"] == __version__
    assert status["listen"] == [urlsplit(gateway.url).netloc]
    assert status["upstreams"] == {"app": {"endpoints": [NOBODY], "in_flight": 0, "pool": []}}
    assert [worker["state"] for worker in status["workers"]] == ["ready"]


async def _answers(gateway: RunningGateway, page: str) -> bool:
    return (await gateway.ask(page))[0] == 200


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


async def one(gateway: RunningGateway, host: str, target: str = "/healthz") -> bytes:
    """The status line of one GET with this Host field."""
    answer = await raw(gateway, f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert b"evil" not in answer
    return answer.partition(b"\r\n")[0]


async def test_a_page_that_gave_us_its_own_name_reads_nothing(gateway: RunningGateway) -> None:
    """A Host that the public DNS may have (DNS rebinding) is 421, in the target too; addresses and private names are not."""
    port = urlsplit(gateway.admin).port
    for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "127.0.0.1.evil.example"):
        for page in ("/v1/status", "/metrics", "/nope"):
            assert await one(gateway, host, page) == b"HTTP/1.1 421 Misdirected Request"
    assert await one(gateway, "localhost", "http://evil.example/v1/status") == b"HTTP/1.1 421 Misdirected Request"
    for host in ("localhost", f"LOCALHOST.:{port}", f"127.0.0.1:{port}", "[::1]", "gateway", "gateway.default.svc"):
        assert await one(gateway, host) == b"HTTP/1.1 200 OK", host


async def test_names_can_be_configured() -> None:
    """The names in admin.hosts are ours, with any port; others stay strange."""
    config = toml(NOBODY).replace("[admin]\n", '[admin]\nhosts = ["gateway.example.com"]\n')
    async with running(config) as gateway:
        assert await one(gateway, "Gateway.Example.com:8443") == b"HTTP/1.1 200 OK"
        assert await one(gateway, "other.example.com") == b"HTTP/1.1 421 Misdirected Request"


@pytest.mark.parametrize(
    "line", [b"GET /v1/status", b"GET /v1/status HTTP/0.9", b"GET /v1/status HTTP/2.0", b"PRI * HTTP/2.0"]
)
async def test_other_protocols_are_refused(gateway: RunningGateway, line: bytes) -> None:
    """HTTP/0.9 and HTTP/2 get an error and nothing else, and the connection is closed."""
    answer = await raw(gateway, line + b"\r\nHost: localhost\r\n\r\n" if b"HTTP" in line else line + b"\r\n\r\n")
    assert answer.partition(b" ")[2][:3] in {b"400", b"505"}, answer
    assert b"workers" not in answer
    assert answer.count(b"HTTP/") == 1


async def test_an_order_may_come_in_any_pieces(tmp_path: Path) -> None:
    """However its bytes are cut, an order is carried out; one that is too large is 413."""
    token = tmp_path / "token"
    token.write_text("secret")
    async with running(toml(NOBODY).replace("[admin]\n", f'[admin]\ntoken_file = "{token}"\n')) as gateway:
        host, port = urlsplit(gateway.admin).netloc.split(":")
        body = json.dumps({"upstream": "app", "action": "reset", "actor": "ada", "reason": "well again"}).encode()
        head = b"POST /v1/breakers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nConnection: close\r\n"

        async def order(*pieces: bytes) -> bytes:
            reader, writer = await asyncio.open_connection(host, int(port))
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.02)  # so that they come one by one
            async with asyncio.timeout(20):
                answer = await reader.read()
            writer.close()
            return answer[:12]

        sized = head + b"Content-Length: %d\r\n\r\n" % len(body)
        assert await order(sized + body) == b"HTTP/1.1 202"
        assert await order(sized + body[:20], body[20:]) == b"HTTP/1.1 202"
        assert await order(sized, *(body[at : at + 9] for at in range(0, len(body), 9))) == b"HTTP/1.1 202"
        chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])]
        assert await order(head + b"Transfer-Encoding: chunked\r\n\r\n", *chunks, b"0\r\n\r\n") == b"HTTP/1.1 202"
        assert await order(head + b"Content-Length: 5000\r\n\r\n", b" " * 2500, b" " * 2500) == b"HTTP/1.1 413"
