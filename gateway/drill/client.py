"""Requests over kept-alive connections, sent when they are due; what came back, read by the gateway's own parsers."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from msgspec import DecodeError, json

from gateway.core.errors import UpstreamFailed
from gateway.http.codec import HEAD_END, ResponseHeads
from gateway.http.framing import FramingError
from gateway.http.heads import ResponseHead

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.core.clock import Clock
    from gateway.http.framing import ChunkedBody, LengthBody, NoBody, UntilCloseBody
    from gateway.upstream.address import Address

    Body = ChunkedBody | LengthBody | NoBody | UntilCloseBody

GAVE_UP: Final = 0
BROKEN: Final = -1
NOT_SENT: Final = -2
MOST_OPEN: Final = 2000
"""Connections at a time; what comes while so many wait is not sent, and the drill says so."""
_HEAD: Final = 64 * 1024
_KEPT: Final = 4 * 1024 * 1024
_OK: Final = 200


class Answer(NamedTuple):
    """What came back: an HTTP status or one of the words above, its reason word if it has one, and its body."""

    status: int
    reason: str = ""
    body: bytes = b""


class Ask:
    """One request that is due at an instant; ``told`` is called once with what became of it."""

    __slots__ = ("connection", "due", "request", "told")

    def __init__(self, request: bytes, due: float, told: Callable[[Ask, Answer], None]) -> None:
        self.request = request
        self.due = due
        self.told = told
        self.connection: Connection | None = None


class Connection(asyncio.Protocol):
    """One connection to the gateway; serves one request at a time."""

    def __init__(self, client: Client, ask: Ask) -> None:
        self.ask: Ask | None = ask
        self.transport: asyncio.Transport | None = None
        self._client = client
        self._received = bytearray()
        self._head: ResponseHead | None = None
        self._body: Body | None = None
        self._content = bytearray()
        self._has_served = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what it was opened for."""
        # not isinstance: the transports of other loops do not inherit from asyncio's
        self.transport = cast("asyncio.Transport", transport)
        if self.ask is None:
            self.transport.abort()
        else:
            self.transport.write(self.ask.request)

    def serve(self, ask: Ask) -> None:
        """Send another one; only while nothing is under way."""
        self.ask = ask
        assert self.transport is not None  # noqa: S101 - it is in the list of free ones
        self.transport.write(ask.request)

    def data_received(self, data: bytes) -> None:
        """Read as much of an answer as there is."""
        if self.ask is None:
            self.close()
            return
        try:
            self._read(data)
        except (UpstreamFailed, FramingError):
            self._finish(Answer(BROKEN, "not_http"), keeps_open=False)

    def _read(self, data: bytes) -> None:
        while self._body is None:
            self._received += data
            end = self._received.find(HEAD_END)
            if end < 0:
                self._client.heads.check_partial(self._received)
                return
            raw = bytes(self._received[: end + len(HEAD_END)])
            data = bytes(self._received[end + len(HEAD_END) :])
            self._received.clear()
            head = ResponseHead(self._client.heads.parse(raw), raw, "GET")
            if head.status >= _OK:
                self._head, self._body = head, head.body()
        content = self._body.feed(data)
        if len(self._content) < _KEPT:
            self._content += content
        if self._body.done:
            self._complete()

    def _complete(self) -> None:
        head = self._head
        assert head is not None  # noqa: S101 - a body has a head
        content = bytes(self._content)
        reason = problem_reason(content) if b"application/problem+json" in head.fields.lower() else ""
        self._finish(Answer(head.status, reason, content), keeps_open=not head.wants_close)

    def eof_received(self) -> None:
        """The answer is whole when nothing but the end could say so."""
        if self._body is not None and self._head is not None and self._head.length == -2 and self.ask is not None:  # noqa: PLR2004
            self._head.wants_close = True
            self._complete()

    def connection_lost(self, error: Exception | None) -> None:
        """What waited for an answer gets none; a connection that was idle before may just have been closed."""
        del error
        self._client.forget(self)
        ask, self.ask = self.ask, None
        if ask is None:
            return
        ask.connection = None
        if self._has_served and self._body is None and not self._received:
            # closed just as it was used: every client library asks again on a new connection
            self._client.send_again(ask)
        else:
            ask.told(ask, Answer(BROKEN, "broken"))

    def _finish(self, answer: Answer, *, keeps_open: bool) -> None:
        ask, self.ask = self.ask, None
        self._head = self._body = None
        self._content.clear()
        self._has_served = True
        if keeps_open:
            self._client.free(self)
        else:
            self.close()
        if ask is not None:
            ask.connection = None
            ask.told(ask, answer)

    def close(self) -> None:
        """Nobody waits for anything on it any more."""
        self.ask = None
        if self.transport is not None:
            self.transport.abort()


class Client:
    """Opens connections as they are needed; whoever waits longer than ``patience`` seconds gives up and leaves."""

    def __init__(self, address: Address, *, clock: Clock, patience: float) -> None:
        loop = asyncio.get_running_loop()
        self.heads = ResponseHeads(loop, limit=_HEAD)
        self._loop = loop
        self._address = address
        self._clock = clock
        self._patience = patience
        self._tls = ssl.create_default_context() if address.scheme == "https" else None
        self._open: set[Connection] = set()
        self._free: list[Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._asks: deque[Ask] = deque()
        self._waiting: set[Ask] = set()

    @property
    def waiting(self) -> int:
        """Requests without an answer yet."""
        return len(self._waiting)

    def send(self, request: bytes, due: float, told: Callable[[Ask, Answer], None]) -> None:
        """Send it now; ``told`` is called exactly once."""
        ask = Ask(request, due, self._telling(told))
        self._waiting.add(ask)
        self._asks.append(ask)
        self._dispatch(ask)

    def _telling(self, told: Callable[[Ask, Answer], None]) -> Callable[[Ask, Answer], None]:
        def tell(ask: Ask, answer: Answer) -> None:
            if ask in self._waiting:
                self._waiting.discard(ask)
                told(ask, answer)

        return tell

    def send_again(self, ask: Ask) -> None:
        """Once more, on another connection."""
        if ask in self._waiting:
            self._dispatch(ask)

    def _dispatch(self, ask: Ask) -> None:
        while self._free:
            connection = self._free.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                ask.connection = connection
                connection.serve(ask)
                return
        if len(self._open) + len(self._opening) >= MOST_OPEN:
            ask.told(ask, Answer(NOT_SENT, "not_sent"))
            return
        task = self._loop.create_task(self._connect(ask))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, ask: Ask) -> None:
        connection = Connection(self, ask)
        ask.connection = connection
        address = self._address
        try:
            async with asyncio.timeout(self._patience):
                if address.path:
                    await self._loop.create_unix_connection(lambda: connection, address.path)
                else:
                    await self._loop.create_connection(lambda: connection, address.host, address.port, ssl=self._tls)
        except ConnectionRefusedError:
            ask.told(ask, Answer(BROKEN, "connect_refused"))
        except (OSError, TimeoutError):
            ask.told(ask, Answer(BROKEN, "connect_failed"))
        else:
            self._open.add(connection)

    def free(self, connection: Connection) -> None:
        """It may serve the next one."""
        self._free.append(connection)

    def forget(self, connection: Connection) -> None:
        """It is closed."""
        self._open.discard(connection)

    def expire(self) -> None:
        """Give up what has waited too long."""
        now = self._clock.now()
        asks = self._asks
        while asks and (asks[0] not in self._waiting or asks[0].due + self._patience <= now):
            ask = asks.popleft()
            if ask in self._waiting:
                connection, ask.connection = ask.connection, None
                ask.told(ask, Answer(GAVE_UP, "gave_up"))
                if connection is not None:
                    connection.close()

    async def close(self) -> None:
        """Close everything; whatever waits has given up."""
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for ask in list(self._waiting):
            ask.told(ask, Answer(GAVE_UP, "gave_up"))
        for connection in list(self._open):
            connection.close()
        await asyncio.sleep(0)  # aborted transports tell their connections in the next turn

    async def get(self, path: str) -> Answer:
        """One answer, for whoever asks few questions; nobody else need look at the time."""
        done: asyncio.Future[Answer] = self._loop.create_future()

        def tell(_ask: Ask, answer: Answer) -> None:
            if not done.done():
                done.set_result(answer)

        self.send(write_request(path, self._address.authority), self._clock.now(), tell)
        while not done.done():
            await asyncio.wait({done}, timeout=self._patience / 10)
            self.expire()
        return done.result()


def write_request(path: str, host: str) -> bytes:
    """A GET of ``path``."""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: gateway-drill\r\nAccept: */*\r\n\r\n".encode("ascii")


def problem_reason(body: bytes) -> str:
    """The reason word of a problem; empty when it has none."""
    try:
        found = json.decode(body)
    except DecodeError:
        return ""
    reason = found.get("reason") if isinstance(found, dict) else None
    return reason if isinstance(reason, str) else ""
