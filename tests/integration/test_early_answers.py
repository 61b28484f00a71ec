"""An endpoint may answer before it has read the request, and close: the answer counts, not the failed write."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.http.downstream import LINGER
from tests.support.client import Answer, connected
from tests.support.plane import running_gateway
from tests.support.tls import certified, needs_openssl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.origin import Exchange, Origin

_TOO_LARGE = b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_SIZE = 3_000_000
_PATIENT: dict[str, Any] = {
    "gateway": {"timeouts": {"body_idle": "5s"}, "limits": {"body": "16MiB"}},
    "upstreams": {"origin": {"timeouts": {"head": "5s", "idle": "5s", "connect": "5s"}}},
}


@contextmanager
def hasty_endpoint(context: ssl.SSLContext | None, *, answers_before: int) -> Iterator[int]:
    """Serves on a thread of its own: reads a head, answers 413 and closes with the body unread; gives its port.

    It answers well ``answers_before`` times on each connection first, so that the next request meets a kept one.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    is_over = threading.Event()

    def serve_one(bare: socket.socket) -> None:
        bare.settimeout(5)
        bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or Nagle keeps the answer, and the close drops it
        sock = bare if context is None else context.wrap_socket(bare, server_side=True)
        with sock:
            for _ in range(answers_before):
                _read_head(sock)
                sock.sendall(_OK)
            _read_head(sock)
            sock.sendall(_TOO_LARGE)
            time.sleep(0.001)  # the body arrives, unread: closing resets

    def serve() -> None:
        while not is_over.is_set():
            try:
                bare, _ = listener.accept()
            except OSError:
                return
            with bare:
                try:
                    serve_one(bare)
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        is_over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def _read_head(sock: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(1)
        if not piece:
            raise OSError("closed")
        data += piece


async def _upload(port: int, fields: bytes, body: bytes) -> Answer:
    async with connected(port) as client:
        await client.send(b"POST /u HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
        sending = asyncio.ensure_future(client.wire.send(body))
        answer = await client.answer()
        client.close()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return answer


_LENGTH = b"Content-Length: %d\r\n" % _SIZE
_KINDS = {
    "length": (_LENGTH, b"x" * _SIZE),
    "chunked": (b"Transfer-Encoding: chunked\r\n", b"2000\r\n" + b"x" * 0x2000 + b"\r\n"),
    "expect": (_LENGTH + b"Expect: 100-continue\r\n", b"x" * _SIZE),
}


@needs_openssl
@pytest.mark.parametrize("is_kept", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize("is_tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("kind", _KINDS)
async def test_the_answer_is_passed_on(kind: str, tmp_path: Path, *, is_tls: bool, is_kept: bool) -> None:
    """413 without reading, before uploads of every framing, over TLS too, on new and kept connections: 413, never 502."""
    context = None
    config = dict(_PATIENT)
    fields, body = _KINDS[kind]
    if kind == "chunked":
        body = body * 300 + b"0\r\n\r\n"
    if is_tls:
        certificate, key = certified(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    with (
        pytest.MonkeyPatch.context() as patch,
        hasty_endpoint(context, answers_before=int(is_kept)) as port,
    ):
        if is_tls:
            patch.setenv("SSL_CERT_FILE", str(tmp_path / "tls.crt"))
            url = f"https://127.0.0.1:{port}"
            config["upstreams"] = {"origin": {**_PATIENT["upstreams"]["origin"], "endpoints": [url]}}
        async with running_gateway(port, config) as gateway:
            statuses = []
            for _ in range(12):
                if is_kept:
                    async with connected(gateway.port) as client:
                        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                        assert (await client.answer()).status == 200
                answer = await _upload(gateway.port, fields, body)
                statuses.append((answer.status, answer.body))
            assert set(statuses) == {(413, b"large")}, gateway.errors()


@pytest.mark.parametrize("pause", [0.0, 0.02], ids=["fast", "slow"])
async def test_our_own_refusal_reaches_a_client_that_is_still_sending(pause: float) -> None:
    """The answer is there and whole although the client goes on sending for longer than any pause of ours."""
    config = {**_PATIENT, "routes": {"all": {"match": {"path": "/only"}}}}
    async with running_gateway(1, config) as gateway:
        async with connected(gateway.port) as client:
            await client.send(b"POST /nope HTTP/1.1\r\nHost: a\r\nContent-Length: 16000000\r\n\r\n")
            pieces = 150
            for _ in range(pieces):
                assert await client.send(bytes(16_000_000 // pieces if not pause else 100))
                await asyncio.sleep(pause)
            answer = await client.answer()
            assert (answer.status, answer.json["reason"]) == (404, "no_route")
        assert gateway.errors() == {"no_route": 1}


async def test_an_early_answer_reaches_a_client_that_is_still_sending(origin: Origin) -> None:
    """The service's answer ends the connection, which takes what still comes: a reset would take the answer away."""

    async def at_once(exchange: Exchange) -> None:
        await exchange.wire.send(_TOO_LARGE)
        await exchange.wait_until_abandoned()

    origin.default = at_once
    async with running_gateway(origin.port, _PATIENT) as gateway, connected(gateway.port) as client:
        await client.send(b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        async with asyncio.timeout(10):
            while not any(one.phase == LINGER for one in gateway.plane.door.connections):
                await asyncio.sleep(0.002)
        for _ in range(50):
            assert await client.send(bytes(1000))
            await asyncio.sleep(0.002)
        answer = await client.answer()
        assert (answer.status, answer.body, answer.value("Connection")) == (413, b"large", "close")


@needs_openssl
async def test_over_tls_too(tmp_path: Path) -> None:
    """A TLS client that sends on after the refusal still reads it: closing would end both directions."""
    certificate, key = certified(tmp_path)
    config = {
        "gateway": {**_PATIENT["gateway"], "tls": {"certificate": str(certificate), "key": str(key)}},
        "routes": {"all": {"match": {"path": "/only"}}},
    }
    trust = ssl.create_default_context(cafile=str(certificate))
    async with running_gateway(1, config) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, ssl=trust)
        writer.write(b"POST /nope HTTP/1.1\r\nHost: a\r\nContent-Length: 16000000\r\n\r\n")
        for _ in range(100):
            writer.write(bytes(100_000))
            await writer.drain()
            await asyncio.sleep(0.005)
        assert (await reader.readline()) == b"HTTP/1.1 404 Not Found\r\n"
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        assert b'"reason":"no_route"' in await reader.readexactly(size)
        writer.close()
