"""Services that misbehave in TLS: before, in and right after the handshake."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.client import connected
from tests.support.plane import running_gateway
from tests.support.tls import certified, needs_openssl
from tests.support.upstreams import head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

pytestmark = needs_openssl
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Service:
    """One connection of a service that speaks TLS by hand, so that it may do anything between any two bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
        self.reader, self.writer = reader, writer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    async def shake(self, *, then: bytes = b"") -> None:
        """Shake hands; ``then`` leaves in one segment with our last words of it."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                await self.flush()
                self.incoming.write(await self.receive())
                continue
            break
        if then:
            self.tls.write(then)
        await self.flush()

    async def receive(self) -> bytes:
        data = await self.reader.read(65536)
        if not data:
            raise ConnectionResetError
        return data

    async def flush(self) -> None:
        if self.outgoing.pending:
            self.writer.write(self.outgoing.read())
            await self.writer.drain()

    async def request(self) -> bytes:
        """Read until something is decrypted."""
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                self.incoming.write(await self.receive())

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@asynccontextmanager
async def serving(context: ssl.SSLContext, behave: Callable[[Service], Awaitable[None]]) -> AsyncIterator[int]:
    """Its port, until the block ends."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ssl.SSLError):
            await behave(Service(reader, writer, context))
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    certificate, key = certified(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.load_cert_chain(certificate, key)
    return found


def _config(port: int) -> dict[str, Any]:
    return {"upstreams": {"origin": {"endpoints": [f"https://127.0.0.1:{port}"], "timeouts": {"connect": "500ms"}}}}


async def _ask(port: int, request: bytes) -> tuple[int, str]:
    async with connected(port) as client:
        await client.send(request)
        answer = await client.answer()
        return answer.status, "" if answer.status == 200 else answer.json["reason"]


async def test_a_service_that_speaks_before_it_is_asked_hurts_nobody_else(context: ssl.SSLContext) -> None:
    """What comes in one segment with the end of the handshake is for the first request at most, and never for another."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # there the service has the last word of a handshake

    async def chatty(service: Service) -> None:
        await service.shake(then=ANSWER * 2)
        await service.request()

    async with serving(context, chatty) as port, running_gateway(port, _config(port)) as gateway:
        for _ in range(5):
            assert (await _ask(gateway.port, head("GET")))[0] in {200, 502}
            assert not gateway.plane._groups["origin"].endpoints[0]._idle


async def _is_silent(service: Service) -> None:
    await service.receive()
    await service.reader.read()


async def _resets_at_once(service: Service) -> None:
    service.reset()


async def _resets_in_it(service: Service) -> None:
    await service.receive()
    service.reset()


async def _cuts_its_greeting(service: Service) -> None:
    service.incoming.write(await service.receive())
    with suppress(ssl.SSLWantReadError):
        service.tls.do_handshake()
    service.writer.write(service.outgoing.read()[:100])


async def _makes_noise(service: Service) -> None:
    await service.receive()
    service.writer.write(random.Random(1).randbytes(5000))
    await service.reader.read()


async def _leaves_after_it(service: Service) -> None:
    await service.shake()


async def _resets_after_it(service: Service) -> None:
    await service.shake()
    service.reset()


async def _resets_when_asked(service: Service) -> None:
    await service.shake()
    await service.request()
    service.reset()


async def _answers_without_reading(service: Service) -> None:
    await service.shake()
    await service.request()
    service.tls.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
    await service.flush()
    service.reset()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("behave", "reasons"),
    [
        (_is_silent, {"connect_timeout"}),
        (_resets_at_once, {"connect_failed", "tls_failed"}),
        (_resets_in_it, {"connect_failed", "tls_failed"}),
        (_cuts_its_greeting, {"connect_failed", "tls_failed"}),
        (_makes_noise, {"tls_failed"}),
        (_leaves_after_it, {"connect_failed", "upstream_closed"}),
        (_resets_after_it, {"connect_failed", "upstream_closed"}),
        (_resets_when_asked, {"upstream_closed"}),
    ],
)
async def test_whatever_a_service_does_in_tls_its_request_is_answered(
    context: ssl.SSLContext,
    behave: Callable[[Service], Awaitable[None]],
    reasons: set[str],
    version: ssl.TLSVersion,
) -> None:
    """With a reason that names it, with a body and without, and nothing stays open behind it."""
    context.maximum_version = version
    async with serving(context, behave) as port, running_gateway(port, _config(port)) as gateway:
        for request in (head("GET"), head("POST", body=b"x" * 10), head("POST", body=b"x" * 300_000)):
            status, reason = await _ask(gateway.port, request)
            assert status in {502, 504}
            assert reason in reasons


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_clients_that_leave_while_tls_is_made_leave_nothing(context: ssl.SSLContext, seed: int) -> None:
    """The attempt ends wherever it is: connecting, shaking hands, sending, or waiting."""
    rng = random.Random(seed)

    async def slow(service: Service) -> None:
        await asyncio.sleep(rng.choice((0.0, 0.005, 0.02)))
        await service.shake()
        await asyncio.sleep(rng.choice((0.0, 0.005, 0.02)))
        await service.request()
        service.tls.write(ANSWER)
        await service.flush()

    async with serving(context, slow) as port, running_gateway(port, _config(port)) as gateway:

        async def leave() -> None:
            async with connected(gateway.port) as client:
                await client.send(rng.choice((head("GET"), head("POST", body=b"x" * 200_000))))
                await asyncio.sleep(rng.random() * 0.05)
                client.reset()

        await asyncio.gather(*(leave() for _ in range(60)))
        await gateway.settle()
        assert (await _ask(gateway.port, head("GET")))[0] == 200
