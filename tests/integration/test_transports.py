"""TLS and unix sockets, on both sides."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest
from aiohttp import web

from tests.support.client import connected
from tests.support.plane import running_gateway
from tests.support.tls import certified, needs_openssl

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.origin import Origin


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    return certified(tmp_path)


@needs_openssl
async def test_clients_are_served_over_tls(origin: Origin, pair: tuple[Path, Path]) -> None:
    """A verified TLS client gets its answer, again on the same connection, and the upstream hears of https."""
    certificate, key = pair
    config = {"gateway": {"tls": {"certificate": str(certificate), "key": str(key)}}}
    async with running_gateway(origin.port, config) as gateway:
        trust = ssl.create_default_context(cafile=str(certificate))
        async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{gateway.port}", verify=trust) as client:
            for number in range(3):
                answer = await client.post("/case", content=b"x" * 100_000 * number)
                assert answer.json()["length"] == 100_000 * number
    request = origin.asked("/case")[0]
    assert request.value(b"X-Forwarded-Proto") == b"https"
    assert b"proto=https" in (request.value(b"Forwarded") or b"")


@needs_openssl
async def test_clear_text_to_a_tls_port_disturbs_nobody(origin: Origin, pair: tuple[Path, Path]) -> None:
    """Whoever speaks HTTP to it is cut off, and the next TLS client is served."""
    certificate, key = pair
    config = {"gateway": {"tls": {"certificate": str(certificate), "key": str(key)}}}
    async with running_gateway(origin.port, config) as gateway:
        async with connected(gateway.port) as client:
            await client.send(b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n")
            await client.rest()
        trust = ssl.create_default_context(cafile=str(certificate))
        async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{gateway.port}", verify=trust) as http:
            assert (await http.get("/case")).status_code == 200
    assert not origin.asked("/evil")


async def _serve_tls(pair: tuple[Path, Path]) -> tuple[web.AppRunner, int]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="over tls")

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*pair)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    return runner, runner.addresses[0][1]


@needs_openssl
async def test_an_upstream_over_tls_is_verified(
    origin: Origin, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that nobody vouches for is a 502 with its own word; one that is trusted serves."""
    runner, port = await _serve_tls(pair)
    try:
        config = {"upstreams": {"origin": {"endpoints": [f"https://127.0.0.1:{port}"], "timeouts": {"connect": "5s"}}}}
        async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
            await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = await client.answer()
            assert (answer.status, answer.json["reason"]) == (502, "tls_failed")
        monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
        async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
            for _ in range(2):
                await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await client.answer()).body == b"over tls"
    finally:
        await runner.cleanup()


async def test_an_upstream_on_a_unix_socket_serves(origin: Origin, tmp_path: Path) -> None:
    """``unix:/path`` is an endpoint like any other."""
    path = tmp_path / "app.sock"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Host: a\r\n" in head
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nunix")
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(answer, path)
    config = {"upstreams": {"origin": {"endpoints": [f"unix:{path}"]}}}
    async with server, running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.answer()).body == b"unix"
