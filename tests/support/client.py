"""A client that says exactly the bytes it is told, and reads answers strictly."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support import grammar
from tests.support.grammar import Dirty, Ended, ResponseHead
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

PATIENCE = 20.0


@dataclass
class Answer:
    """One final response; ``interim`` are the 1xx heads before it, ``is_complete`` whether its body ended well."""

    status: int
    reason: bytes
    fields: grammar.Fields
    body: bytes
    is_complete: bool
    interim: list[ResponseHead] = field(default_factory=list)

    def value(self, name: str) -> str | None:
        """The field's only value, None without one; AssertionError when there are several."""
        found = self.values(name)
        assert len(found) < 2, f"{name} came {len(found)} times"
        return found[0] if found else None

    def values(self, name: str) -> list[str]:
        """All values of the field, in order."""
        return [value.decode("latin-1") for value in grammar.values(self.fields, name.encode())]

    @property
    def json(self) -> dict[str, Any]:
        """The body as JSON."""
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


class Client:
    """One connection to the gateway."""

    def __init__(self, sock: socket.socket) -> None:
        self.wire = Wire(sock)

    @classmethod
    async def connect(cls, port: int, *, receive_buffer: int = 0) -> Client:
        """Connect; a small ``receive_buffer`` makes a reader whose window closes soon."""
        sock = socket.socket()
        try:
            sock.setblocking(False)
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port)), PATIENCE)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    async def send(self, data: bytes) -> bool:
        """Send; False when the gateway is gone, which is no error for a hostile client."""
        return await asyncio.wait_for(self.wire.send(data), PATIENCE)

    async def send_split(self, data: bytes, at: Iterable[int], pause: float = 0.0) -> None:
        """Send in pieces that end at these offsets, in separate segments."""
        edges = [0, *at, len(data)]
        for start, end in itertools.pairwise(edges):
            await self.send(data[start:end])
            await asyncio.sleep(pause)

    async def answer(self, method: str = "GET", within: float = PATIENCE) -> Answer:
        """The next final response; raises Dirty, Ended or TimeoutError."""
        interim: list[ResponseHead] = []
        async with asyncio.timeout(within):
            while True:
                head = await grammar.read_response_head(self.wire)
                length = grammar.response_length(head, method.encode())
                if head.status >= 200 or head.status == 101:
                    break
                interim.append(head)
            body = bytearray()
            try:
                await grammar.read_body(self.wire, length, body)
            except Ended:
                return Answer(*head, bytes(body), is_complete=False, interim=interim)
        return Answer(*head, bytes(body), is_complete=True, interim=interim)

    async def ending(self, within: float = PATIENCE) -> str:
        """Wait for the end of the connection, "eof" or "reset"; AssertionError when bytes come first."""
        async with asyncio.timeout(within):
            more = await self.wire.has_more()
        assert not more, f"unexpected bytes: {self.wire.take_available()[:200]!r}"
        return self.wire.ending

    async def rest(self, within: float = PATIENCE) -> bytes:
        """Everything until the connection ends."""
        async with asyncio.timeout(within):
            await self.wire.wait_for_end()
        return self.wire.take_available()

    async def is_silent(self, during: float = 0.05) -> bool:
        """Whether nothing at all comes within ``during`` seconds."""
        try:
            async with asyncio.timeout(during):
                await self.wire.has_more()
        except TimeoutError:
            return True
        return False

    def half_close(self) -> None:
        """Send FIN; reading goes on."""
        self.wire.half_close()

    def reset(self) -> None:
        """Send RST."""
        self.wire.reset()

    def close(self) -> None:
        """Close both directions."""
        self.wire.close()


@asynccontextmanager
async def connected(port: int, *, receive_buffer: int = 0) -> AsyncIterator[Client]:
    """A client that is closed when the block ends."""
    client = await Client.connect(port, receive_buffer=receive_buffer)
    try:
        yield client
    finally:
        client.close()


__all__ = ["Answer", "Client", "Dirty", "Ended", "connected"]
