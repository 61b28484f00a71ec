"""A gibibyte passes in both directions through a real worker without staying in its memory."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.origin import Origin, running_origin
from tests.support.running import running, toml

if TYPE_CHECKING:
    from tests.support.origin import Exchange
    from tests.support.running import RunningGateway

GIB = 1024**3
PIECE = bytes(256 * 1024)
GROWTH = 20 * 1024 * 1024


async def _send_gibibyte(exchange: Exchange) -> None:
    await exchange.read_body()
    await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIB)
    for _ in range(GIB // len(PIECE)):
        await exchange.wire.send(PIECE)


class _Sink(asyncio.Protocol):
    """Counts an upload and answers when all of it has come; the recording origin would keep it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.seen = 0

    def data_received(self, data: bytes) -> None:
        self.seen += len(data) if self.seen else len(data.partition(b"\r\n\r\n")[2])
        if self.seen >= GIB:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n%010d" % self.seen)


async def _worker_peak(gateway: RunningGateway) -> int:
    return _peak((await gateway.status())["workers"][0]["pid"])


def _peak(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.timeout(180)
async def test_a_gibibyte_down() -> None:
    """The worker's peak memory grows by less than 20 MiB."""
    async with running_origin() as origin:
        await _down(origin)


async def _down(origin: Origin) -> None:
    origin.on("/big", _send_gibibyte)
    async with running(toml(f"http://127.0.0.1:{origin.port}")) as gateway:
        await gateway.get("/warm")
        before = await _worker_peak(gateway)
        seen = 0
        async with gateway.session.get(gateway.url + "/big") as response:
            async for piece in response.content.iter_chunked(1 << 20):
                seen += len(piece)
        assert seen == GIB
        assert await _worker_peak(gateway) - before < GROWTH


@pytest.mark.timeout(180)
async def test_a_gibibyte_up() -> None:
    """The worker's peak memory grows by less than 20 MiB, and every byte arrives."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(_Sink, sock=listener)
    config = toml(f"http://127.0.0.1:{listener.getsockname()[1]}") + '[gateway.limits]\nbody = "2GiB"\n'

    async def body() -> object:
        for _ in range(GIB // len(PIECE)):
            yield PIECE

    async with server, running(config) as gateway:
        before = await _worker_peak(gateway)
        headers = {"Content-Length": str(GIB)}
        async with gateway.session.post(gateway.url + "/big", data=body(), headers=headers) as response:
            assert int(await response.text()) == GIB
        assert await _worker_peak(gateway) - before < GROWTH
