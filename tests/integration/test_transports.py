"""TLS and unix sockets, on both sides."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from typing import TYPE_CHECKING

import httpx
import pytest
from aiohttp import web

from gateway.upstream.settings import EndpointSettings
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


async def _serve_tls(pair: tuple[Path, Path], asked: list[str] | None = None) -> tuple[web.AppRunner, int]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="over tls")

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*pair)
    if asked is not None:
        context.sni_callback = lambda _socket, name, _context: asked.append(name)
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


@needs_openssl
async def test_an_endpoint_that_gets_another_name_is_asked_under_it(
    origin: Origin, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS is spoken to the new name, and no connection that was verified under the old one is used again."""
    asked: list[str] = []
    runner, port = await _serve_tls(pair, asked)
    monkeypatch.setenv("SSL_CERT_FILE", str(pair[0]))
    url = f"https://127.0.0.1:{port}"
    config = {"upstreams": {"origin": {"endpoints": [url], "timeouts": {"connect": "5s"}}}}
    try:
        async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:

            async def ask() -> bytes:
                await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n")
                return (await client.answer()).body

            for name in ("a.test", "a.test", "b.test", "nobody.test", "b.test"):
                gateway.plane.set_endpoints("origin", [EndpointSettings(url, 1.0, name)])
                assert (await ask() == b"over tls") is (name != "nobody.test")
            assert asked == ["a.test", "b.test", "nobody.test", "b.test"]
            gateway.plane.set_endpoints(
                "origin", [EndpointSettings(url, 1.0, "b.test"), EndpointSettings(f"{url}#a.test", 1.0, "a.test")]
            )
            for _ in range(40):
                assert await ask() == b"over tls"
            assert asked[4:] == ["a.test"], "the second one is an endpoint of its own, at the same address"
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


async def test_a_proxy_on_our_unix_socket_can_be_trusted(origin: Origin, tmp_path: Path) -> None:
    """What it forwards is believed where ``unix`` is trusted, and by no network; our own address is not asked for."""
    for trusted, believed in ((["unix"], True), (["0.0.0.0/0", "::/0"], False)):
        path = tmp_path / f"gateway-{believed}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)
        config = {"gateway": {"client_ip": {"trusted_proxies": trusted}}}
        async with running_gateway(origin.port, config) as gateway:
            opened = await gateway.plane.open_door([listener])
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET /%d HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n" % believed)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
            writer.close()
            gateway.plane.close_door(opened)
            lines = [json.loads(line) for line in await gateway.lines()]
        [request] = origin.asked(f"/{believed:d}")
        assert request.value(b"X-Forwarded-For") == (b"203.0.113.7" if believed else None)
        assert [line["client"] for line in lines] == ["203.0.113.7" if believed else "unix"]
        assert b"for=unknown" in (request.value(b"Forwarded") or b"")


@needs_openssl
@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_door_can_be_opened_beside_the_own_one_and_closed_again(
    origin: Origin, pair: tuple[Path, Path], *, is_tls: bool
) -> None:
    """A worker accepts for another one with the same TLS, and leaves nothing open where it no longer does."""
    tls = {"tls": {"certificate": str(pair[0]), "key": str(pair[1])}} if is_tls else {}
    scheme = "https" if is_tls else "http"
    trust = ssl.create_default_context(cafile=str(pair[0]))
    async with running_gateway(origin.port, {"gateway": tls}) as gateway:
        beside = socket.create_server(("127.0.0.1", 0))
        port = beside.getsockname()[1]
        opened = await gateway.plane.open_door([beside])
        async with httpx.AsyncClient(base_url=f"{scheme}://127.0.0.1:{port}", verify=trust) as client:
            assert (await client.get("/before")).status_code == 200
            gateway.plane.close_door(opened)
            assert (await client.get("/after")).status_code == 200, "who is in may stay"
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        async with httpx.AsyncClient(base_url=f"{scheme}://127.0.0.1:{gateway.port}", verify=trust) as client:
            assert (await client.get("/own")).status_code == 200
