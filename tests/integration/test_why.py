"""Why a connection failed, and what a request looked like that was none: in the answer, the log and the status."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.client import connected
from tests.support.plane import running_gateway
from tests.support.running import HEAD, running, until
from tests.support.tls import certified, needs_openssl
from tests.support.upstreams import ask

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.plane import RunningGateway


async def _told(gateway: RunningGateway) -> tuple[str, str]:
    """The reason word and the detail of one request's refusal, which the log and the snapshot say too."""
    answer = await ask(gateway)
    found = json.loads(answer.body)
    lines = [json.loads(line) for line in await gateway.lines()]
    last = lines[-1]
    assert (last["reason"], last["detail"]) == (found["reason"], found["detail"])
    endpoints = gateway.snapshot().resilience["origin"].endpoints
    failures = [one.failure for url, one in endpoints.items() if url]
    assert [(one.reason, one.detail) for one in failures if one] == [(found["reason"], found["detail"])]
    return found["reason"], found["detail"]


def _before(url: str) -> dict[str, Any]:
    return {"upstreams": {"origin": {"endpoints": [url]}}}


@pytest.mark.parametrize(
    ("url", "reason", "detail"),
    [
        ("http://127.0.0.1:1", "connect_refused", "Connection refused (ECONNREFUSED)"),
        ("http://localhost:1", "connect_refused", "Connection refused (ECONNREFUSED)"),
        ("unix:/nowhere/app.sock", "connect_failed", "file: No such file or directory (ENOENT)"),
    ],
)
async def test_an_errno_or_a_file(url: str, reason: str, detail: str) -> None:
    """What the system says, in its words and by its name; that it was a file where it was one."""
    async with running_gateway(1, _before(url)) as gateway:
        assert await _told(gateway) == (reason, detail)


async def test_a_file_that_nobody_serves(tmp_path: Path) -> None:
    """A unix socket that its process has left behind."""
    server = await asyncio.start_unix_server(lambda _reader, writer: writer.close(), tmp_path / "s")
    server.close()
    await server.wait_closed()
    (tmp_path / "s").touch()
    async with running_gateway(1, _before(f"unix:{tmp_path}/s")) as gateway:
        assert await _told(gateway) == ("connect_refused", "file: Connection refused (ECONNREFUSED)")


async def test_a_name() -> None:
    """One that no resolver can be asked for; those that a resolver does not know are a test of the words alone."""
    async with running_gateway(1, _before(f"http://{'x' * 64}.example:80")) as gateway:
        assert await _told(gateway) == ("dns_failed", "name: it cannot be written as DNS writes names")


@needs_openssl
async def test_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody vouches for, and one of another name."""
    certificate, key = certified(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context
    ) as server:
        port = server.sockets[0].getsockname()[1]
        async with running_gateway(1, _before(f"https://127.0.0.1:{port}")) as gateway:
            reason, detail = await _told(gateway)
            assert reason == "tls_failed"
            assert detail.startswith("certificate: self")
            assert "signed certificate" in detail
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        endpoint = {"url": f"https://127.0.0.1:{port}", "host": "shop.example"}
        async with running_gateway(1, {"upstreams": {"origin": {"endpoints": [endpoint]}}}) as gateway:
            assert await _told(gateway) == (
                "tls_failed",
                "certificate: Hostname mismatch, certificate is not valid for 'shop.example'",
            )


async def test_an_endpoint_that_speaks_plain_http() -> None:
    """https:// before a port that knows no TLS is told apart from a bad certificate."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with running_gateway(1, _before(f"https://127.0.0.1:{port}")) as gateway:
            reason, detail = await _told(gateway)
            assert (reason, detail.endswith("does it speak plain HTTP?")) == ("tls_failed", True)


async def test_a_breaker_that_opens_says_what_went_wrong() -> None:
    """Its line has the last failure, and GET /v1/breakers keeps it with its time."""
    breaker = "breaker = { min_calls = 3 }\nretry = { attempts = 1 }\n"
    config = HEAD.format(workers=1, drain="2s") + f'[upstreams.app]\nendpoints = ["http://127.0.0.1:1"]\n{breaker}'
    config += '[routes.web]\nupstream = "app"\n'
    async with running(config) as gateway:

        async def is_open() -> bool:
            return json.loads((await gateway.get())[1])["reason"] == "breaker_open"

        await until(is_open)
        line = (await until(lambda: [one for one in gateway.events("breaker") if one["after"] == "open"]))[0]
        assert (line["failure"], line["detail"]) == ("connect_refused", "Connection refused (ECONNREFUSED)")

        async def is_shown() -> dict[str, Any] | None:
            breakers = json.loads((await gateway.ask("/v1/breakers"))[1])["breakers"]
            return next((one["failure"] for one in breakers if one["endpoint"] and one["failure"]), None)

        failure = await until(is_shown)
        assert (failure["reason"], failure["detail"]) == ("connect_refused", "Connection refused (ECONNREFUSED)")
        assert failure["at"] > 1.7e9


@pytest.mark.parametrize(
    ("raw", "method", "target"),
    [
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/a b"),
        (b"FETCH /x HTTP/1.1\r\nHost: a\r\n\r\n", "FETCH", "/x"),
        (b"GET /x?token=s3cret HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET", "/x?token=***"),
        (b"GET /\x1b[31m\xff HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/\\x1b[31m\\udcff"),
        (b"password=hunter2\r\n\r\n", "password=***", ""),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "\\x16\\x03\\x01\\x02\\x00\\x01\\x00", ""),
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/" + "x" * 1023 + "…"),
        (b"A" * 300 + b" / HTTP/1.1\r\nHost: a\r\n\r\n", "A" * 64, "/"),
    ],
)
async def test_a_request_that_is_none_is_logged_with_what_can_be_read_of_it(
    raw: bytes, method: str, target: str
) -> None:
    """Method and target, without secrets, escaped and cut; and what was wrong with it."""
    async with running_gateway(1) as gateway:
        async with connected(gateway.port) as client:
            await client.send(raw)
            status = (await client.answer()).status
        (line,) = [json.loads(one) for one in await gateway.lines()]
    assert status >= 400
    assert (line["status"], line.get("method"), line.get("target", "")) == (status, method, target)
    assert line["reason"]


async def test_a_head_that_never_ends_is_logged_too() -> None:
    """What has come of it when its time is up."""
    async with running_gateway(1, {"gateway": {"timeouts": {"head": "200ms"}}}) as gateway:
        async with connected(gateway.port) as client:
            await client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n")
            assert (await client.answer()).status == 408
        (line,) = [json.loads(one) for one in await gateway.lines()]
    assert (line["reason"], line["method"], line["target"]) == ("head_timeout", "GET", "/slow")
