"""An origin that records every byte and believes nothing.

It parses requests with :mod:`tests.support.grammar`, keeps every request, and every violation in ``dirty``.
What it does with a request is scripted per path: a :data:`Behaviour` gets the :class:`Exchange`, which is
the raw connection and the request whose head has arrived. Without a script it reads the body and
answers 200 with what it was asked for, so that answers can be matched with requests.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support import grammar
from tests.support.grammar import Dirty, Ended
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Request:
    """One request as it arrived; ``connection`` counts the origin's connections from 0."""

    method: bytes
    target: bytes
    fields: grammar.Fields
    connection: int
    body: bytearray = field(default_factory=bytearray)
    is_complete: bool = False
    is_abandoned: bool = False

    def value(self, name: bytes) -> bytes | None:
        """The field's only value, None without one; AssertionError when there are several."""
        found = self.values(name)
        assert len(found) < 2, f"{name!r} came {len(found)} times"
        return found[0] if found else None

    def values(self, name: bytes) -> list[bytes]:
        """All values of the field, in order."""
        return grammar.values(self.fields, name)


@dataclass
class Exchange:
    """One request and the connection it came on, for a behaviour to play with."""

    wire: Wire
    request: Request

    async def read_body(self) -> bytes:
        """Read the rest of the request; raises Dirty or Ended."""
        if not self.request.is_complete:
            head = grammar.RequestHead(self.request.method, self.request.target, self.request.fields)
            await grammar.read_body(self.wire, grammar.request_length(head), self.request.body)
            self.request.is_complete = True
        return bytes(self.request.body)

    async def answer(self, body: bytes = b"", status: bytes = b"200 OK", fields: bytes = b"") -> None:
        """Answer properly, with Content-Length; ``fields`` are whole lines with CRLF."""
        await self.wire.send(b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, fields, len(body), body))

    async def wait_until_abandoned(self) -> None:
        """Wait until the gateway leaves."""
        await self.wire.wait_for_end()
        self.request.is_abandoned = True


Behaviour = Callable[[Exchange], Awaitable[None]]


async def echo(exchange: Exchange) -> None:
    """Answer 200 with what was asked: id, method, target and body length, as JSON."""
    body = await exchange.read_body()
    request = exchange.request
    told = {
        "id": (request.value(b"X-Case") or b"").decode("latin-1"),
        "method": request.method.decode(),
        "target": request.target.decode(),
        "length": len(body),
    }
    text = json.dumps(told).encode()
    if request.method == b"HEAD":
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text))
    else:
        await exchange.answer(text, fields=b"Content-Type: application/json\r\n")


class Origin:
    """The listening side; see the module's docstring."""

    def __init__(self, sock: socket.socket) -> None:
        self._listener = sock
        self.port: int = sock.getsockname()[1]
        self.requests: list[Request] = []
        self.dirty: list[str] = []
        self.wires: list[Wire] = []
        self.default: Behaviour = echo
        self.is_deaf = False
        self._scripts: dict[bytes, Behaviour] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        """The counts that tests look at."""
        return f"<Origin {len(self.requests)} requests on {len(self.wires)} connections, {len(self.dirty)} dirty>"

    def on(self, path: str, behaviour: Behaviour) -> None:
        """Script the requests whose target is ``path``, query aside."""
        self._scripts[path.encode()] = behaviour

    def asked(self, path: str) -> list[Request]:
        """The requests whose target is ``path``, query aside."""
        return [request for request in self.requests if request.target.partition(b"?")[0] == path.encode()]

    @property
    def open_connections(self) -> int:
        """Connections on which no end was seen or made yet."""
        return sum(not wire.ending for wire in self.wires)

    async def accept_forever(self) -> None:
        """Serve until cancelled, one task a connection."""
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._listener)
            wire = Wire(sock)
            self.wires.append(wire)
            task = loop.create_task(self._serve(wire, len(self.wires) - 1))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End every connection and task; raises what a behaviour raised."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        for wire in self.wires:
            wire.close()
        for error in found:
            if isinstance(error, Exception):
                raise error

    async def _serve(self, wire: Wire, number: int) -> None:
        try:
            while await self._serve_one(wire, number):
                pass
        finally:
            wire.close()

    async def _serve_one(self, wire: Wire, number: int) -> bool:
        request: Request | None = None
        try:
            head = await grammar.read_request_head(wire)
            if head is None:
                return False
            request = Request(*head, number)
            self.requests.append(request)
            grammar.request_length(head)
            script = self._scripts.get(head.target.partition(b"?")[0], self.default)
            await script(Exchange(wire, request))
        except Dirty as dirty:
            self.dirty.append(str(dirty))
            return False
        except Ended:
            if request is None:
                self.dirty.append(f"a head that ends early: {bytes(wire.received[-200:])!r}")
            else:
                request.is_abandoned = True
            return False
        return not wire.ending


@asynccontextmanager
async def running_origin() -> AsyncIterator[Origin]:
    """An origin on a free loopback port, until the block ends."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    listener.setblocking(False)
    origin = Origin(listener)
    accepting = asyncio.get_running_loop().create_task(origin.accept_forever())
    try:
        yield origin
    finally:
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        listener.close()
        await origin.close()
