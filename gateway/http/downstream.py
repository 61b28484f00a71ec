"""One client's connection: heads in, responses out, one request at a time.

A connection is in one phase. Bytes that come in the wrong phase wait, bounded, with reading paused:

    HANDSHAKE  TLS is not agreed on yet; the connection counts all the same
    HEAD    between requests: the next bytes begin a request head
    BODY    a request is under way and its body is still coming
    BUSY    the whole request is here; what comes now is pipelined and waits
    TUNNEL  after 101: bytes belong to nobody but the two ends
    LINGER  our last words are written; what still comes is thrown away for a while, so that the
            client can read them before a reset takes them away (RFC 9112 §9.6)

Requests are begun in the order of their bytes: while earlier bytes wait, later ones join them and are not
looked at. No request begins while the client does not read the answers to those before it.

A client that takes its answer slowly is left in peace as long as it takes anything (the kernel counts what it
has acknowledged); one that takes nothing for ``body_idle`` is cut off by a reset, so that a body that ends
with the connection cannot look whole.

A FIN from a client with a request under way means that the client is gone: nothing tells a client that
closed its socket from one that closed half of it, and work for clients that left is what overload
is made of.
"""

from __future__ import annotations

import asyncio
import re
from math import inf
from typing import TYPE_CHECKING, Final

from gateway.core.deadlines import Timed
from gateway.core.errors import BadRequest, GatewayError
from gateway.http.codec import HEAD_END
from gateway.http.forwarded import fresh_identity, peer_address
from gateway.http.framing import Body, FramingError, NoBody
from gateway.http.heads import RequestHead
from gateway.http.problem import render
from gateway.http.sockets import Progress, reset_on_close

if TYPE_CHECKING:
    from gateway.core.errors import Shed
    from gateway.http.callbacks import Exchange
    from gateway.http.door import Door

HEAD, BODY, BUSY, TUNNEL, LINGER, CLOSED, HANDSHAKE = range(7)
# nginx: lingering_timeout 5s, lingering_time 30s, and no bound on bytes
_LINGER_SECONDS: Final = 2.0
_LINGER_TOTAL: Final = 30.0
_LINGER_BYTES: Final = 64 * 1024 * 1024
_FLUSH_LOOK: Final = 0.05
_WINDOW: Final = 16 * 1024
_WRITE_BUFFER: Final = 64 * 1024
_NO_BODY: Final = NoBody()
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)+")
_HEAD_METHOD: Final = b"HEAD "
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientConnection(asyncio.Protocol, Timed):
    """One client's connection; see the top of this file for its phases.

    ``out_of_time_at`` is the deadline of the request under way; ``started_at`` the instant at which its
    head began to come; ``is_kept`` says that a request was answered here before.
    """

    __slots__ = (
        "_body",
        "_body_limit",
        "_body_size",
        "_door",
        "_drained",
        "_identity",
        "_identity_host",
        "_is_body_due",
        "_is_broken",
        "_is_reading_paused",
        "_is_write_paused",
        "_linger_until",
        "_partial",
        "_progress",
        "_transport",
        "_waiting",
        "exchange",
        "is_kept",
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
        self.is_kept = False
        self.out_of_time_at = inf
        self.started_at = 0.0
        self._partial: bytearray | None = None
        self._waiting: bytes | bytearray = b""
        self._body: Body = _NO_BODY
        self._body_size = 0
        self._body_limit = 0
        self._drained = 0
        self._is_body_due = True
        self._identity = b""
        self._identity_host: str | None = None
        self._is_reading_paused = False
        self._is_write_paused = False
        self._is_broken = False
        self._progress: Progress | None = None
        self._linger_until = 0.0

    # --- the transport tells ---------------------------------------------------------------------

    def arrive(self, transport: asyncio.Transport) -> Shed | None:
        """A client has connected; says why it may not stay. From here to :meth:`connection_lost` it counts."""
        self._transport = transport
        door = self._door
        self.peer = peer_address(transport.get_extra_info("peername"))
        self.is_trusted = door.trust.is_trusted(self.peer)
        self.started_at = door.clock.now()
        return door.enter(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or turn it away at once."""
        refused = None
        if self.phase == HANDSHAKE:
            self.phase = HEAD
            self._transport = transport  # type: ignore[assignment]  # servers give transports that read and write
        else:
            refused = self.arrive(transport)  # type: ignore[arg-type]  # the same
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        if refused is not None:
            self.refuse(refused)
        else:
            door = self._door
            door.wheel.set(self, door.clock.now() + door.timeouts.head)

    def data_received(self, data: bytes) -> None:
        """Sort bytes by the phase they come in."""
        door = self._door
        door.counts.client_in += len(data)
        phase = self.phase
        if phase == HEAD:
            partial = self._partial
            if self._waiting or self._is_write_paused:
                self._wait_turn(data)
            elif partial is None:
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
            self._wait_turn(data)
        elif phase == LINGER:
            self._drained += len(data)
            now = door.clock.now()
            if self._drained > _LINGER_BYTES or now >= self._linger_until:
                self._transport.abort()
            elif not self._is_broken:
                self.deadline = now + _LINGER_SECONDS

    def eof_received(self) -> bool:
        """The client ended its half."""
        if self.phase == TUNNEL and self.exchange is not None:
            self.exchange.on_client_eof()
            return True
        if self.phase in (BODY, BUSY):
            self._transport.abort()
        self._waiting = b""
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
        """The client reads more slowly than we write: stop making more, and look whether it reads at all."""
        self._is_write_paused = True
        if self.phase != TUNNEL:
            self._watch_progress()
        if self.exchange is not None:
            self.exchange.on_client_paused()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._is_write_paused = False
        phase = self.phase
        if phase in (BUSY, TUNNEL):
            self.deadline = self.out_of_time_at
        elif phase == BODY:
            self._arm(self._door.timeouts.body_idle)
        elif phase == HEAD:
            self._await_request(self._door.clock.now())
        if self.exchange is not None:
            self.exchange.on_client_resumed()

    def on_deadline(self, now: float) -> None:
        """Something took too long; which, the phase says."""
        phase = self.phase
        exchange = self.exchange
        if exchange is not None and now >= self.out_of_time_at:
            exchange.on_out_of_time()
        elif phase == LINGER:
            self._look_after_last_words(now)
        elif self._is_write_paused:
            if self._is_stalled(now):
                self._reset()  # connection_lost tells the exchange
        elif phase == BODY and exchange is not None:
            # Either the upstream is slow, and its own deadline watches it, or we have not asked for the body yet.
            if self._is_reading_paused or not self._is_body_due:
                self._arm(self._door.timeouts.body_idle)
            else:
                exchange.on_request_failed(BadRequest("body_timeout"))
        elif phase == HEAD:
            if self._partial is not None:
                self.refuse(BadRequest("head_timeout"), raw=self._partial)
            else:
                self._close()

    def on_fault(self) -> None:
        """Our own code failed: end the connection, and with it the request."""
        self._transport.abort()

    def _watch_progress(self) -> Progress:
        """Look from now on whether the client takes what is written."""
        now = self._door.clock.now()
        progress = self._progress = Progress(self._transport, now)
        self._door.wheel.set(self, min(progress.deadline(self._door.timeouts.body_idle, now), self.out_of_time_at))
        return progress

    def _is_stalled(self, now: float) -> bool:
        """Whether the client has taken nothing for ``body_idle``; else there will be another look."""
        progress = self._progress
        if progress is None:
            return False
        deadline = progress.deadline(self._door.timeouts.body_idle, now)
        if deadline <= now:
            return True
        self._door.wheel.set(self, min(deadline, self.out_of_time_at))
        return False

    # --- requests come in ------------------------------------------------------------------------

    def _wait_turn(self, data: bytes) -> None:
        """Keep bytes that come before their turn; stop reading when they are many."""
        waiting = self._waiting
        if type(waiting) is bytearray:
            waiting += data
        else:
            waiting = self._waiting = bytearray(data)
        if len(waiting) > self._door.limits.head:
            self._pause_reading()

    def _take_head(self, data: bytes | bytearray) -> None:
        door = self._door
        if data.startswith(b"\r\n"):
            data = self._without_empty_lines(data)
            if not data:
                return
        end = data.find(HEAD_END)
        if end < 0:
            self._wait_for_head(data)
            return
        end += 4
        rest: bytes | bytearray = b""
        if end != len(data):
            raw = bytes(data[:end])
            if type(data) is bytearray:  # in place, or a long pipeline would be copied once for each request in it
                del data[:end]
                rest = data
            else:
                rest = bytearray(data[end:])
        else:
            raw = data if type(data) is bytes else bytes(data)
        head = door.recent.get(raw)
        if head is None:
            try:
                head = RequestHead(door.heads.parse(raw), raw, door.pseudonym_bytes, door.scheme)
            except BadRequest as error:
                self.refuse(error, raw=raw)
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
        self._body_size, self._body_limit = 0, door.body_limit
        self._is_body_due = not head.expects_continue
        self._arm(door.timeouts.body_idle)
        door.begin(self, head, self.started_at)
        # a piece at a time, so that what belongs to later requests is not copied with each body
        window = min(head.length, _WINDOW) if head.length > 0 else _WINDOW
        while rest and self.phase == BODY:
            piece = bytes(rest[:window])
            del rest[:window]  # type: ignore[union-attr]  # a bytearray when it is not empty
            self._take_body(piece)
        if rest and self.phase in (BUSY, HEAD):
            waiting = self._waiting
            if type(waiting) is bytearray:
                waiting += rest
            else:
                self._waiting = rest
                if self.phase == HEAD and not self._is_write_paused:  # answered already, when nothing seemed to wait
                    door.loop.call_soon(self._take_waiting)

    def _without_empty_lines(self, data: bytes | bytearray) -> bytes | bytearray:
        """What follows the empty lines before a request line (RFC 9112 §2.2); they may not be more than a head."""
        if self._partial is None:
            self._drained = 0
        found = _EMPTY_LINES.match(data)
        end = 0 if found is None else found.end()
        self._drained += end
        if self._drained > self._door.limits.head:
            self.refuse(BadRequest("head_too_large", "empty lines, and no request"))
            return b""
        data = data[end:]
        if not data:
            self._wait_for_head(b"")
        return data

    def _wait_for_head(self, data: bytes | bytearray) -> None:
        door = self._door
        if self._partial is None:
            self._arm(door.timeouts.head)
        self._partial = data if type(data) is bytearray else bytearray(data)
        try:
            door.heads.check_partial(self._partial)
        except BadRequest as error:
            self.refuse(error, raw=data)

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
            if self._body_size > self._body_limit:
                exchange.on_request_failed(BadRequest("body_too_large", f"more than {self._body_limit} bytes"))
                return
            exchange.on_request_body(payload)
        if self.phase != BODY:
            return
        if body.done:
            self.phase = BUSY
            self.deadline = self.out_of_time_at
            if body.rest:
                self._waiting = bytearray(body.rest)
            self._body = _NO_BODY
            exchange.on_request_end()
        else:
            self.deadline = min(self._door.clock.now() + self._door.timeouts.body_idle, self.out_of_time_at)

    def _take_waiting(self) -> None:
        """Begin the next pipelined request, if its bytes are here and the client reads what it is answered."""
        if self.phase == HEAD and self._waiting and not self._is_write_paused:
            data = self._waiting
            self._waiting = b""
            if self._is_reading_paused:  # more has come since the last answer than may wait: now it does not wait
                self._read_on()
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

    def limit_body(self, size: int) -> None:
        """Take ``size`` bytes of this request's body at most, instead of what is usual."""
        self._body_limit = size

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
            self._read_on()
            if self.phase == BODY:
                self._arm(self._door.timeouts.body_idle)

    def enter_tunnel(self) -> bytes:
        """Switch to the tunnel; gives the bytes that the client sent ahead."""
        self.phase = TUNNEL
        ahead = bytes(self._waiting)
        self._waiting = b""
        return ahead

    @property
    def is_write_paused(self) -> bool:
        """Whether the client does not read as fast as we write."""
        return self._is_write_paused

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
        if keep and self.phase == BUSY and door.keeps_alive:  # what was promised holds while draining, too
            self.phase = HEAD
            self.is_kept = True
            if self._waiting or self._is_reading_paused or self._is_write_paused:
                if not self._is_write_paused:
                    self._await_request(now)
                return
            deadline = self.deadline = now + door.keepalive
            if deadline < self.looked_at:
                door.wheel.set(self, deadline)
        elif self.phase == BODY or self._waiting:
            self._linger()
        else:
            self._close()

    def _await_request(self, now: float) -> None:
        """Wait for the next request, or begin it if it is here already."""
        door = self._door
        deadline = self.deadline = now + door.keepalive
        if deadline < self.looked_at:
            door.wheel.set(self, deadline)
        if self._is_reading_paused:
            self._read_on()
        if self._waiting:
            door.loop.call_soon(self._take_waiting)

    def abort(self) -> None:
        """Reset the connection: the response cannot be completed, and must not look complete.

        A plain close would end a body that ends with the connection as if it were whole.
        """
        self.exchange = None
        if self.phase != CLOSED:
            self.phase = LINGER
            self._reset()

    def break_off(self) -> None:
        """Let the client have what is written, then reset the connection: its other end was broken off."""
        self.exchange = None
        if self.phase != CLOSED:
            self.phase = LINGER
            self._is_broken = True
            self.out_of_time_at = inf
            now = self._door.clock.now()
            self._drained = 0
            self._linger_until = now + _LINGER_TOTAL  # what the client still sends does not end it sooner
            self._watch_progress()
            self._look_after_last_words(now)

    def refuse(
        self,
        error: GatewayError,
        request_id: bytes = b"",
        *,
        keep: bool = False,
        is_head: bool = False,
        raw: bytes | bytearray = b"",
    ) -> None:
        """Answer with a problem of our own. Without ``keep`` the connection closes behind it.

        ``raw`` is what came of a head that is no request.
        """
        door = self._door
        if self.exchange is None:
            request_id = door.ids.next()
            door.report(self, error, request_id, bytes(raw))
            is_head = is_head or raw.startswith(_HEAD_METHOD)
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

    def address(self, head: RequestHead) -> str:
        """The client's address: the peer's, or the one that a trusted proxy tells of."""
        if not self.is_trusted:
            return self.peer
        trust = self._door.trust
        return trust.client(self.peer, (head.identity or ()) if trust.is_usual else head.raw_headers)

    def key(self, head: RequestHead) -> str:
        """What counts as one client: its address, or its prefix."""
        return self._door.trust.key(self.address(head))

    def close_if_quiet(self, since: float) -> None:
        """Close between requests, when nothing has come since that instant; before, a request may be on its way."""
        if self.phase == HANDSHAKE:
            if self.started_at <= since:
                self._transport.abort()
        elif self.is_idle:
            idle_since = self.deadline - self._door.keepalive if self.is_kept else self.started_at
            if idle_since <= since:
                self._close()

    def close_if_idle(self) -> None:
        """Close between requests; used when another client needs the place."""
        if self.phase == HANDSHAKE:
            self._transport.abort()
        elif self.is_idle:
            self._close()

    def close_now(self) -> None:
        """Close whatever is under way."""
        if self.phase != CLOSED:
            self._transport.abort()

    @property
    def is_idle(self) -> bool:
        """Whether it is open, and no byte of a request is here and none of an answer is left to be sent."""
        return self.phase == HEAD and self._partial is None and not self._waiting and not self._is_write_paused

    @property
    def state(self) -> str:
        """The word under which this connection is counted."""
        if self.phase == TUNNEL:
            return "tunnel"
        if self.phase == HANDSHAKE:
            return "handshake"
        return "idle" if self.is_idle else "active"

    # --- small change ----------------------------------------------------------------------------

    def _arm(self, seconds: float) -> None:
        self._door.wheel.set(self, min(self._door.clock.now() + seconds, self.out_of_time_at))

    def _pause_reading(self) -> None:
        if not self._is_reading_paused and self.phase != CLOSED:
            self._is_reading_paused = True
            self._transport.pause_reading()
            sock = self._transport.get_extra_info("socket")
            if sock is not None:
                # a tunnel's client may end its half and still be there
                self._door.departures.watch(self, sock.fileno(), may_half_close=self.phase == TUNNEL)

    def _read_on(self) -> None:
        self._is_reading_paused = False
        self._door.departures.forget(self)
        self._transport.resume_reading()

    def _close(self) -> None:
        self.phase = LINGER
        self._progress = None
        self._arm(_LINGER_SECONDS)
        self._transport.close()

    def _look_after_last_words(self, now: float) -> None:
        """Close for good, unless the client is still taking what was written before."""
        progress = self._progress or self._watch_progress()
        if not progress.look(now):
            if self._is_broken:
                self._reset()
            else:
                self._transport.abort()
        elif self._is_stalled(now):
            self._reset()
        elif self._is_broken:
            self._arm(_FLUSH_LOOK)

    def _reset(self) -> None:
        """End the connection at once and by a reset."""
        reset_on_close(self._transport)
        self._transport.abort()

    def _linger(self) -> None:
        if self.phase == CLOSED:
            return
        self.phase = LINGER
        self._partial = None
        self._waiting = b""
        self._progress = None
        self._drained = 0
        self.out_of_time_at = inf
        self._linger_until = self._door.clock.now() + _LINGER_TOTAL
        self._arm(_LINGER_SECONDS)
        if self._is_reading_paused:
            self._read_on()
        if self._transport.can_write_eof():
            self._transport.write_eof()  # over TLS the length of the answer has to say it

    def __repr__(self) -> str:
        phase = ("head", "body", "busy", "tunnel", "linger", "closed", "handshake")[self.phase]
        return f"<ClientConnection {self.peer} {phase}>"
