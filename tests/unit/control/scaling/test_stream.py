"""A reader of the stream that does not read is dropped, and holds up nobody meanwhile."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from gateway.control.connections import Server
from gateway.control.scaling.stream import Stream
from tests.support.running import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.unit.control.scaling.conftest import Stage

ASK = b"GET /v1/signals/stream HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def serving(stream: Stream) -> AsyncIterator[int]:
    server = Server(stream.answer)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        stream.close()
        listening.close()
        await server.shutdown(1.0)


async def test_a_slow_reader_is_dropped(stage: Callable[..., Stage]) -> None:
    """With its buffers full it gets its patience and goes; another reader has every event meanwhile."""
    it = stage()
    await it.live(3, 10.0)
    targets: dict[str, Any] = {f"app-{number}": it.target for number in range(300)}
    stream = Stream(patience=0.2)
    async with serving(stream) as port:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)
        await asyncio.get_running_loop().sock_connect(slow, ("127.0.0.1", port))
        await asyncio.get_running_loop().sock_sendall(slow, ASK)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
        writer.write(ASK)
        await until(lambda: stream.readers == 2)
        seen = 0
        while not stream.dropped:
            stream.publish(targets)
            async with asyncio.timeout(5):
                while not (await reader.readline()).startswith(b"id:"):
                    pass
            seen += 1
        assert stream.dropped == 1
        assert stream.readers == 1
        assert seen > 1
        writer.close()
        slow.close()
        await until(lambda: _publish(stream, targets) or not stream.readers)


def _publish(stream: Stream, targets: dict[str, Any]) -> bool:
    stream.publish(targets)
    return False


async def test_nobody_reads_and_nothing_is_made(stage: Callable[..., Stage]) -> None:
    """Without readers an event costs nothing, and the number goes on all the same."""
    stream = Stream()
    stream.publish({"app": stage().target})
    assert stream._event == b""
    assert stream._number == 1
