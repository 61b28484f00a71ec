"""One client's connection: heads in, responses out, one request at a time.

A connection is in one phase. Bytes that come in the wrong phase wait, bounded, with reading paused:

    HEAD    between requests: the next bytes begin a request head
    BODY    a request is under way and its body is still coming
    BUSY    the whole request is here; what comes now is pipelined and waits
    TUNNEL  after 101: bytes belong to nobody but the two ends
    LINGER  our last words are written; what still comes is thrown away for a while, so that the
            client can read them before a reset takes them away (RFC 9112 §9.6)

A FIN from a client with a request under way means that the client is gone: nothing tells a client that
closed its socket from one that closed half of it, and work for clients that left is what overload
is made of.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from math import inf
from typing import TYPE_CHECKING, Final

from gateway.core.deadlines import Timed
from gateway.core.errors import BadRequest, GatewayError
from gateway.http.codec import HEAD_END
from gateway.http.forwarded import fresh_identity, peer_address
from gateway.http.framing import Body, FramingError, NoBody
from gateway.http.heads import RequestHead
from gateway.http.problem import render

if TYPE_CHECKING:
    from gateway.http.callbacks import Exchange
    from gateway.http.door import Door

HEAD, BODY, BUSY, TUNNEL, LINGER, CLOSED = range(6)
_LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 1024 * 1024
_WRITE_BUFFER: Final = 64 * 1024
_RESET: Final = struct.pack("ii", 1, 0)
_NO_BODY: Final = NoBody()
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientConnection(asyncio.Protocol, Timed):
    """One client's connection; see the top of this file for its phases.

    ``out_of_time_at`` is the deadline of the request under way; ``started_at`` the instant at which its
    head began to come.
    """

    __slots__ = (
        "_body",
        "_body_size",
        "_door",
        "_drained",
        "_identity",
        "_identity_host",
        "_is_body_due",
        "_is_reading_paused",
        "_is_write_paused",
        "_partial",
        "_transport",
        "_waiting",
        "exchange",
        "is_trusted",
        "out_of_time_at",
        "peer",
        "phase",
        "started_at",
    )

    def __init__(self, door: Door) -> None:
        Timed.__init__(self)
        self._door = door
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set before anything else happens
        self.phase = HEAD
        self.exchange: Exchange | None = None
        self.peer = ""
        self.is_trusted = False
        self.out_of_time_at = inf
        self.started_at = 0.0
        self._partial: bytearray | None = None
        self._waiting = b""
        self._body: Body = _NO_BODY
        self._body_size = 0
        self._drained = 0
        self._is_body_due = True
        self._identity = b""
        self._identity_host: str | None = None
        self._is_reading_paused = False
        self._is_write_paused = False

    # --- the transport tells ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or turn it away at once."""
        self._transport = transport  # type: ignore[assignment]  # servers give transports that read and write
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        door = self._door
        self.peer = peer_address(transport.get_extra_info("peername"))
        self.is_trusted = door.trust.is_trusted(self.peer)
        now = self.started_at = door.clock.now()
        refused = door.enter(self)
        if refused is not None:
            self.refuse(refused)
        else:
            door.wheel.set(self, now + door.timeouts.head)

    def data_received(self, data: bytes) -> None:
        """Sort bytes by the phase they come in."""
        door = self._door
        door.counts.client_in += len(data)
        phase = self.phase
        if phase == HEAD:
            partial = self._partial
            if partial is None:
                self.started_at = door.clock.now()
                self._take_head(data)
            else:
                partial += data
                self._take_head(partial)
        elif phase == BODY:
            self._take_body(data)
        elif phase == TUNNEL:
            self.exchange.on_client_bytes(data)  # type: ignore[union-attr]  # a tunnel has an exchange
        elif phase == BUSY:
            self._waiting += data
            if len(self._waiting) > door.limits.head:
                self._pause_reading()
        elif phase == LINGER:
            self._drained += len(data)
            if self._drained > _LINGER_BYTES:
                self._transport.abort()

    def eof_received(self) -> bool:
        """The client ended its half."""
        if self.phase == TUNNEL and self.exchange is not None:
            self.exchange.on_client_eof()
            return True
        if self.phase in (BODY, BUSY):
            self._transport.abort()
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        """The connection is closed, by whichever side."""
        self.phase = CLOSED
        self._door.wheel.forget(self)
        self._door.leave(self)
        if self._is_reading_paused:
            self._door.departures.forget(self)
        exchange = self.exchange
        if exchange is not None:
            self.exchange = None
            exchange.on_client_gone()
        self._partial = None
        self._waiting = b""

    def pause_writing(self) -> None:
        """The client reads too slowly: stop making more, and give it a bounded time."""
        self._is_write_paused = True
        self._arm(self._door.timeouts.body_idle)
        if self.exchange is not None:
            self.exchange.on_client_paused()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._is_write_paused = False
        if self.phase in (BUSY, TUNNEL):
            self.deadline = self.out_of_time_at
        if self.exchange is not None:
            self.exchange.on_client_resumed()

    def on_deadline(self, now: float) -> None:
        """Something took too long; which, the phase says."""
        phase = self.phase
        exchange = self.exchange
        if exchange is not None and now >= self.out_of_time_at:
            exchange.on_out_of_time()
        elif phase == LINGER:
            self._give_up_lingering()
        elif self._is_write_paused:
            self._transport.abort()  # connection_lost tells the exchange
        elif phase == BODY and exchange is not None:
            # Either the upstream is slow, and its own deadline watches it, or we have not asked for the body yet.
            if self._is_reading_paused or not self._is_body_due:
                self._arm(self._door.timeouts.body_idle)
            else:
                exchange.on_request_failed(BadRequest("body_timeout"))
        elif phase == HEAD:
            if self._partial is not None:
                self.refuse(BadRequest("head_timeout"))
            else:
                self._close()

    # --- requests come in ------------------------------------------------------------------------

    def _take_head(self, data: bytes | bytearray) -> None:
        door = self._door
        while data.startswith(b"\r\n"):  # RFC 9112 §2.2: empty lines before a request line
            data = data[2:]
            if not data:
                self._wait_for_head(data)
                return
        end = data.find(HEAD_END)
        if end < 0:
            self._wait_for_head(data)
            return
        end += 4
        if end != len(data):
            raw = bytes(data[:end])
            rest = bytes(data[end:])
        else:
            raw = data if type(data) is bytes else bytes(data)
            rest = b""
        head = door.recent.get(raw)
        if head is None:
            try:
                head = RequestHead(door.heads.parse(raw), raw, door.pseudonym_bytes, door.scheme)
            except BadRequest as error:
                self.refuse(error)
                return
            door.recent.keep(raw, head)
        self._partial = None
        if head.length == 0:
            self.phase = BUSY
            self.deadline = inf
            self._waiting = rest
            door.begin(self, head, self.started_at)
            return
        self.phase = BODY
        self._body = head.body()
        self._body_size = 0
        self._is_body_due = not head.expects_continue
        self._arm(door.timeouts.body_idle)
        door.begin(self, head, self.started_at)
        if rest and self.phase == BODY:
            self._take_body(rest)

    def _wait_for_head(self, data: bytes | bytearray) -> None:
        door = self._door
        if self._partial is None:
            self._arm(door.timeouts.head)
        self._partial = data if type(data) is bytearray else bytearray(data)
        try:
            door.heads.check_partial(self._partial)
        except BadRequest as error:
            self.refuse(error)

    def _take_body(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            return
        body = self._body
        try:
            payload = body.feed(data)
        except FramingError as error:
            exchange.on_request_failed(BadRequest("bad_chunk", str(error)))
            return
        if payload:
            self._is_body_due = True
            self._body_size += len(payload)
            if self._body_size > self._door.limits.body:
                exchange.on_request_failed(BadRequest("body_too_large", f"more than {self._door.limits.body} bytes"))
                return
            exchange.on_request_body(payload)
        if self.phase != BODY:
            return
        if body.done:
            self.phase = BUSY
            self.deadline = self.out_of_time_at
            if body.rest:
                self._waiting = body.rest
            self._body = _NO_BODY
            exchange.on_request_end()
        else:
            self.deadline = min(self._door.clock.now() + self._door.timeouts.body_idle, self.out_of_time_at)

    def _take_waiting(self) -> None:
        """Begin the next pipelined request, if its bytes are here."""
        if self.phase == HEAD and self._waiting:
            data = self._waiting
            self._waiting = b""
            self.started_at = self._door.clock.now()
            self._take_head(data)

    # --- the exchange says -----------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes; they are buffered when the client is slow."""
        self._door.counts.client_out += len(data)
        self._transport.write(data)

    def ask_for_body(self) -> None:
        """Answer ``Expect: 100-continue``; from now on the body may be waited for (RFC 9110 §10.1.1)."""
        self._is_body_due = True
        self.write(_CONTINUE)
        if self.phase == BODY:
            self._arm(self._door.timeouts.body_idle)

    def limit_time(self, deadline: float) -> None:
        """Set the deadline of the whole request."""
        self.out_of_time_at = deadline
        if deadline < self.deadline:
            self._door.wheel.set(self, deadline)

    def pause_reading(self) -> None:
        """Stop taking the body: the upstream is slower than the client."""
        if self.phase in (BODY, TUNNEL):
            self._pause_reading()

    def resume_reading(self) -> None:
        """Take the body again."""
        if self._is_reading_paused and self.phase != CLOSED:
            self._is_reading_paused = False
            self._door.departures.forget(self)
            self._transport.resume_reading()
            if self.phase == BODY:
                self._arm(self._door.timeouts.body_idle)

    def enter_tunnel(self) -> bytes:
        """Switch to the tunnel; gives the bytes that the client sent ahead."""
        self.phase = TUNNEL
        ahead = self._waiting
        self._waiting = b""
        return ahead

    @property
    def has_waiting(self) -> bool:
        """Whether bytes of a next request are here."""
        return bool(self._waiting)

    def end_tunnel(self) -> None:
        """End our half of a tunnel."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def end_response(self, *, keep: bool, now: float) -> None:
        """The response is complete; go on to the next request, or close."""
        self.exchange = None
        self.out_of_time_at = inf
        door = self._door
        if self.phase == CLOSED:
            return
        if keep and self.phase == BUSY and door.keeps_alive and not door.is_draining:
            self.phase = HEAD
            deadline = self.deadline = now + door.keepalive
            if deadline < self.looked_at:
                door.wheel.set(self, deadline)
            if self._is_reading_paused:
                self.resume_reading()
            if self._waiting:
                door.loop.call_soon(self._take_waiting)
        elif self.phase == BODY or self._waiting:
            self._linger()
        else:
            self._close()

    def abort(self) -> None:
        """Reset the connection: the response cannot be completed, and must not look complete.

        A plain close would end a body that ends with the connection as if it were whole.
        """
        self.exchange = None
        if self.phase != CLOSED:
            self.phase = LINGER
            sock = self._transport.get_extra_info("socket")
            if sock is not None and sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()

    def refuse(
        self, error: GatewayError, request_id: bytes = b"", *, keep: bool = False, is_head: bool = False
    ) -> None:
        """Answer with a problem of our own. Without ``keep`` the connection closes behind it."""
        door = self._door
        if self.exchange is None:
            request_id = door.ids.next()
            door.report(self, error, request_id)
        keep = keep and self.phase == BUSY and door.keeps_alive and not door.is_draining
        self.write(
            render(
                error,
                request_id=request_id,
                pseudonym=door.pseudonym,
                date=door.date(),
                connection=b"" if keep else b"Connection: close\r\n",
                has_body=not is_head,
            )
        )
        if keep:
            self.end_response(keep=True, now=door.clock.now())
        else:
            self.exchange = None
            self._linger()

    def identity(self, host: str) -> bytes:
        """The forwarding fields for a client that is not trusted, made once for each Host on this connection."""
        if host != self._identity_host:
            self._identity_host = host
            self._identity = fresh_identity(self.peer, self._door.scheme, host)
        return self._identity

    def address(self, identity: list[tuple[bytes, bytes]] | None) -> str:
        """The client's address: the peer's, or the one that a trusted proxy tells of."""
        if identity is not None and self.is_trusted:
            return self._door.trust.client(self.peer, identity)
        return self.peer

    def key(self, identity: list[tuple[bytes, bytes]] | None) -> str:
        """What counts as one client: its address, or its prefix."""
        return self._door.trust.key(self.address(identity))

    def close_if_idle(self) -> None:
        """Close between requests; used when draining."""
        if self.phase == HEAD and self._partial is None and not self._waiting:
            self._close()

    def close_now(self) -> None:
        """Close whatever is under way."""
        if self.phase != CLOSED:
            self._transport.abort()

    @property
    def state(self) -> str:
        """The word under which this connection is counted."""
        if self.phase == TUNNEL:
            return "tunnel"
        return "idle" if self.phase == HEAD and self._partial is None else "active"

    # --- small change ----------------------------------------------------------------------------

    def _arm(self, seconds: float) -> None:
        self._door.wheel.set(self, min(self._door.clock.now() + seconds, self.out_of_time_at))

    def _pause_reading(self) -> None:
        if not self._is_reading_paused and self.phase != CLOSED:
            self._is_reading_paused = True
            self._transport.pause_reading()
            sock = self._transport.get_extra_info("socket")
            if sock is not None:
                self._door.departures.watch(self, sock.fileno())

    def _close(self) -> None:
        self.phase = LINGER
        self._body_size = -1
        self._arm(_LINGER_SECONDS)
        self._transport.close()

    def _give_up_lingering(self) -> None:
        """Close for good, unless the client is still taking what was written before."""
        left = self._transport.get_write_buffer_size()
        if left and left != self._body_size:
            self._body_size = left
            self._arm(self._door.timeouts.body_idle)
        else:
            self._transport.abort()

    def _linger(self) -> None:
        if self.phase == CLOSED:
            return
        self.phase = LINGER
        self._partial = None
        self._waiting = b""
        self._body_size = -1
        self.out_of_time_at = inf
        self._arm(_LINGER_SECONDS)
        if self._is_reading_paused:
            self._is_reading_paused = False
            self._door.departures.forget(self)
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def __repr__(self) -> str:
        phase = ("head", "body", "busy", "tunnel", "linger", "closed")[self.phase]
        return f"<ClientConnection {self.peer} {phase}>"
