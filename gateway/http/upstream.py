"""One connection to an endpoint: heads out, responses in, one request at a time.

Whatever an upstream sends is judged before it goes on: a malformed head becomes a 502, a malformed
body breaks the client's connection, bytes behind the end of a response close this connection, because
they could be taken for the answer to somebody else's request.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Final

from gateway.core.deadlines import Timed
from gateway.core.errors import UpstreamFailed
from gateway.http.codec import HEAD_END, end_of_bare_head, with_crlf
from gateway.http.framing import Body, FramingError, NoBody, UntilCloseBody
from gateway.http.heads import ResponseHead
from gateway.http.sockets import Progress, read_unread, reset_on_close

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.http.callbacks import Attempt
    from gateway.http.line import Line, Times

IDLE, HEAD, BODY, TUNNEL, FLUSH, CLOSED = range(6)
_WRITE_BUFFER: Final = 64 * 1024
_TOGETHER: Final = 16 * 1024
_MAX_INTERIM: Final = 16
_NO_BODY: Final = NoBody()
_SWITCHING: Final = 101
_FINAL: Final = 200


class UpstreamConnection(asyncio.Protocol, Timed):
    """One connection to an endpoint.

    ``on_free`` is called when it can carry another request, ``on_closed`` when it never will again, ``on_load`` when a
    response says how loaded the endpoint is;
    ``served`` counts complete responses, ``is_write_paused`` says that the endpoint does not read as fast as we write.
    """

    __slots__ = (
        "_attempt",
        "_body",
        "_held",
        "_interim",
        "_is_reading_paused",
        "_is_request_done",
        "_is_reusable",
        "_line",
        "_method",
        "_out",
        "_partial",
        "_progress",
        "_times",
        "_transport",
        "is_write_paused",
        "keep_alive_timeout",
        "on_closed",
        "on_free",
        "on_load",
        "phase",
        "served",
    )

    def __init__(
        self,
        line: Line,
        on_free: Callable[[UpstreamConnection, float], None],
        on_closed: Callable[[UpstreamConnection], None],
        on_load: Callable[[bytes], None],
    ) -> None:
        Timed.__init__(self)
        self._line = line
        self._times: Times = line
        self.on_free = on_free
        self.on_closed = on_closed
        self.on_load = on_load
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set before anything else happens
        self._attempt: Attempt | None = None
        self.phase = IDLE
        self._method = ""
        self._partial: bytearray | None = None
        self._body: Body = _NO_BODY
        self._interim = 0
        self._is_request_done = True
        self._is_reusable = True
        self._is_reading_paused = False
        self.is_write_paused = False
        self._out: list[bytes] | None = None
        self._progress: Progress | None = None
        self.keep_alive_timeout = -1
        self.served = 0

    # --- the transport tells ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The endpoint accepted."""
        self._transport = transport  # type: ignore[assignment]  # clients get transports that read and write
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER)

    def data_received(self, data: bytes) -> None:
        """Sort bytes by the phase they come in."""
        self._line.counts.upstream_in += len(data)
        phase = self.phase
        if phase == HEAD:
            partial = self._partial
            if partial is None:
                self._take_head(data)
            else:
                partial += data
                self._take_head(bytes(partial))
        elif phase == BODY:
            self._take_body(data)
        elif phase == TUNNEL:
            self.deadline = self._line.clock.now() + self._times.tunnel_timeout
            self._attempt.on_upstream_bytes(data)  # type: ignore[union-attr]  # a tunnel has an attempt
        elif phase != FLUSH:  # nobody asked
            self.abort()

    def eof_received(self) -> bool:
        """The endpoint ended its half."""
        if self.phase == TUNNEL and self._attempt is not None:
            self._attempt.on_upstream_eof()
            return True
        attempt = self._attempt
        if self.phase == BODY and type(self._body) is UntilCloseBody and attempt is not None:
            now = self._line.clock.now()
            self._is_reusable = False
            self._let_go(now)
            attempt.on_response_body(b"", now, is_complete=True)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by whichever side."""
        if exc is not None and self._attempt is not None and self.phase in (HEAD, BODY):
            self._read_before_judging()
        phase = self.phase
        self.phase = CLOSED
        self.deadline = inf
        self.on_closed(self)
        attempt = self._attempt
        self._attempt = None
        if attempt is None:
            return
        if phase == HEAD:
            attempt.on_upstream_failed(UpstreamFailed("upstream_closed"), is_first_byte_missing=self._partial is None)
        elif phase == TUNNEL:
            word = "upstream_closed" if exc is None else "upstream_incomplete"
            attempt.on_upstream_failed(UpstreamFailed(word), is_first_byte_missing=False)
        else:
            attempt.on_upstream_failed(UpstreamFailed("upstream_incomplete"), is_first_byte_missing=False)

    def pause_writing(self) -> None:
        """The endpoint reads too slowly: stop taking the client's body, and give it a bounded time."""
        self.is_write_paused = True
        if self.phase == HEAD:
            self._watch_progress()
        if self._attempt is not None:
            self._attempt.on_upstream_paused()

    def resume_writing(self) -> None:
        """The endpoint has caught up."""
        self.is_write_paused = False
        if self.phase == HEAD:
            self._arm(self._times.head_timeout if self._is_request_done else inf)
        if self._attempt is not None:
            self._attempt.on_upstream_resumed()

    def on_deadline(self, now: float) -> None:
        """The endpoint took too long; for what, the phase says."""
        if self.phase == IDLE:
            self._transport.close()
        elif self.phase == HEAD and self.is_write_paused:
            if self._is_stalled(now):
                self._fail(UpstreamFailed("upstream_idle_timeout"))
        elif self.phase == HEAD:
            self._fail(UpstreamFailed("upstream_head_timeout"))
        elif self.phase in (BODY, TUNNEL):
            self._fail(UpstreamFailed("upstream_idle_timeout"))
        elif self.phase == FLUSH and self._is_stalled(now):
            self.reset()

    def on_fault(self) -> None:
        """Our own code failed: end the connection, and with it the attempt."""
        self._transport.abort()

    def _watch_progress(self) -> None:
        """Look from now on whether the endpoint takes what is written."""
        now = self._line.clock.now()
        self._progress = Progress(self._transport, now)
        self._is_stalled(now)

    def _is_stalled(self, now: float) -> bool:
        """Whether the endpoint has taken nothing for the idle timeout; else there will be another look."""
        progress = self._progress
        if progress is None:
            return False
        deadline = progress.deadline(self._times.idle_timeout, now)
        if deadline <= now:
            return True
        self._line.wheel.set(self, deadline)
        return False

    def _read_before_judging(self) -> None:
        """Take what came before a write failed: an endpoint may answer without reading, and close."""
        self._is_reusable = False
        if self._transport.get_extra_info("ssl_object") is not None:
            return  # was done before it was decrypted
        for data in read_unread(self._transport):
            if self._attempt is None:
                break
            self.data_received(data)

    # --- responses come in -----------------------------------------------------------------------

    def _take_head(self, data: bytes) -> None:
        line = self._line
        while True:
            end = data.find(HEAD_END)
            if end < 0:
                end = end_of_bare_head(data)
                if not end:
                    self._wait_for_head(data)
                    return
                data = with_crlf(data, end)
                end = data.find(HEAD_END)
            end += 4
            if end != len(data):
                raw = data[:end]
                payload = data[end:]
            else:
                raw = data
                payload = b""
            head = line.recent.get(raw) if self._method != "HEAD" else None
            if head is None:
                try:
                    head = ResponseHead(line.heads.parse(raw), raw, self._method)
                except UpstreamFailed as error:
                    end = end_of_bare_head(data)  # then the other end of a head was in the body
                    if end:
                        data = with_crlf(data, end)
                        continue
                    self._fail(error)
                    return
                if head.load:  # never kept, so whoever says the same again is heard again
                    self.on_load(head.load)
                elif self._method != "HEAD":
                    line.recent.keep(raw, head)
            self._partial = None
            if head.status >= _FINAL:
                self._answer(head, payload)
                return
            if not self._take_interim(head, payload) or not payload:
                return
            data = payload

    def _wait_for_head(self, data: bytes) -> None:
        partial = self._partial = bytearray(data)
        try:
            self._line.heads.check_partial(partial)
        except UpstreamFailed as error:
            self._fail(error)

    def _take_interim(self, head: ResponseHead, payload: bytes) -> bool:
        """Pass a 1xx response on; False when what follows it is not another head."""
        attempt = self._attempt
        if attempt is None:
            return False
        if head.status == _SWITCHING:
            self.phase = TUNNEL
            self._arm(self._times.tunnel_timeout)
            attempt.on_switched(head, payload)
            return False
        self._interim += 1
        if self._interim > _MAX_INTERIM:
            self._fail(UpstreamFailed("upstream_malformed", "too many interim responses"))
            return False
        attempt.on_interim(head)
        return self.phase == HEAD

    def _answer(self, head: ResponseHead, payload: bytes) -> None:
        attempt = self._attempt
        if attempt is None:
            return
        if head.wants_close:
            self._is_reusable = False
        self.keep_alive_timeout = head.keep_alive_timeout
        now = self._line.clock.now()
        if len(payload) == head.length:  # the whole response in one piece
            self._let_go(now)
            attempt.on_response(head, payload, now, is_complete=True)
            return
        self._body = body = head.body()
        try:
            payload = body.feed(payload)
        except FramingError as error:
            self._fail(UpstreamFailed("upstream_malformed", str(error)))
            return
        if body.done:
            if body.rest:
                self._is_reusable = False
            self._let_go(now)
            attempt.on_response(head, payload, now, is_complete=True)
            return
        self.phase = BODY
        self._arm(self._times.idle_timeout)
        attempt.on_response(head, payload, now, is_complete=False)

    def _take_body(self, data: bytes) -> None:
        attempt = self._attempt
        if attempt is None:
            return
        body = self._body
        try:
            payload = body.feed(data)
        except FramingError as error:
            self._fail(UpstreamFailed("upstream_malformed", str(error)))
            return
        now = self._line.clock.now()
        if body.done:
            if body.rest:
                self._is_reusable = False
            self._let_go(now)
            attempt.on_response_body(payload, now, is_complete=True)
            return
        if not self._is_reading_paused:
            self.deadline = now + self._times.idle_timeout
        if payload:
            attempt.on_response_body(payload, now, is_complete=False)

    def _let_go(self, now: float) -> None:
        """Free the connection before its last payload is passed on, so that the next request finds it."""
        self._attempt = None
        self.served += 1
        if self._is_reusable and self._is_request_done and not self.is_write_paused:
            self.phase = IDLE
            if self._is_reading_paused:
                self._is_reading_paused = False
                self._transport.resume_reading()
            self.on_free(self, now)
        else:
            self.phase = CLOSED
            self._transport.abort()

    def _fail(self, error: UpstreamFailed) -> None:
        attempt = self._attempt
        is_first = self.phase == HEAD and self._partial is None
        self._attempt = None
        if self.phase == TUNNEL and self._transport.get_write_buffer_size():
            reset_on_close(self._transport)
        self.phase = CLOSED
        self._transport.abort()
        if attempt is not None:
            attempt.on_upstream_failed(error, is_first_byte_missing=is_first)

    # --- the attempt says ------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether it can carry a request now."""
        return self.phase == IDLE and not self._transport.is_closing()

    def stuck_for(self, now: float) -> float:
        """Seconds that an answer is under way which takes much longer than usual; 0 when it does not."""
        attempt = self._attempt
        return attempt.stuck_for(now) if attempt is not None and self.phase in (HEAD, BODY) else 0.0

    def carries(self, attempt: Attempt) -> bool:
        """Whether this connection still carries that attempt's request."""
        return self._attempt is attempt

    def hand_over(self, attempt: Attempt) -> None:
        """From now on tell another attempt."""
        self._attempt = attempt

    def give_up(self) -> None:
        """Tell whoever still waits for a response head that none is expected."""
        if self.phase == HEAD and self._attempt is not None:
            self._attempt.on_endpoint_lost()

    def begin(  # noqa: PLR0913 - a request, and how long it may take
        self,
        attempt: Attempt,
        method: str,
        head: bytes,
        now: float,
        *,
        is_request_done: bool,
        times: Times | None = None,
    ) -> None:
        """Send a request head; the body follows by :meth:`write`. ``times`` are its own, instead of the upstream's.

        A head with a body to come is kept until :meth:`end_request`, or for the rest of this turn of the loop, so that
        what came from the client together leaves together.
        """
        self._attempt = attempt
        self._method = method
        self._interim = 0
        self._is_request_done = is_request_done
        self.phase = HEAD
        line = self._line
        self._times = line if times is None else times
        if is_request_done:
            deadline = self.deadline = now + self._times.head_timeout
            if deadline < self.looked_at:
                line.wheel.set(self, deadline)
        else:
            self.deadline = inf
            self._out = [head]
            line.loop.call_soon(self.flush)
            return
        line.counts.upstream_out += len(head)
        self._transport.write(head)

    def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        if self._out is not None:
            self._out.append(data)
            if len(data) < _TOGETHER:
                return
            self.flush()
            return
        self._line.counts.upstream_out += len(data)
        self._transport.write(data)

    def flush(self) -> None:
        """Send what is kept to leave together."""
        out, self._out = self._out, None
        if out and self.phase in (HEAD, BODY):
            data = b"".join(out)
            self._line.counts.upstream_out += len(data)
            self._transport.write(data)

    def write_tunnel(self, data: bytes) -> None:
        """Send bytes of a tunnel; they keep it open, as those of the other direction do."""
        line = self._line
        line.counts.upstream_out += len(data)
        self.deadline = line.clock.now() + self._times.tunnel_timeout
        self._transport.write(data)

    def end_request(self) -> None:
        """The request is complete; from now on the endpoint's answer is awaited."""
        self._is_request_done = True
        if self._out is not None:
            self.flush()
        if self.phase == HEAD and not self.is_write_paused:
            self._arm(self._times.head_timeout)

    def end_tunnel(self) -> None:
        """End our half of a tunnel; over TLS that ends both."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self.close_tunnel()

    def close_tunnel(self) -> None:
        """Close once the endpoint has taken what is written; nobody is told."""
        self._attempt = None
        if self.phase != CLOSED:
            self.phase = FLUSH
            self._transport.close()
            self._watch_progress()

    def reset(self) -> None:
        """End the connection at once and by a reset, so that what is missing cannot look complete; nobody is told."""
        reset_on_close(self._transport)
        self.abort()

    def pause_reading(self) -> None:
        """Stop taking the response: the client is slower than the upstream."""
        if not self._is_reading_paused and self.phase in (BODY, TUNNEL):
            self._is_reading_paused = True
            if self.phase == BODY:
                self.deadline = inf
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take the response again."""
        if self._is_reading_paused and self.phase in (BODY, TUNNEL):
            self._is_reading_paused = False
            self._arm(self._times.idle_timeout if self.phase == BODY else self._times.tunnel_timeout)
            self._transport.resume_reading()

    def wait_idle(self, deadline: float) -> None:
        """Close at this instant if no other request comes before."""
        self.deadline = deadline
        if deadline < self.looked_at:
            self._line.wheel.set(self, deadline)

    def abort(self) -> None:
        """Close at once and tell nobody."""
        self._attempt = None
        if self.phase != CLOSED:
            self.phase = CLOSED
            self._transport.abort()

    def _arm(self, seconds: float) -> None:
        self._line.wheel.set(self, self._line.clock.now() + seconds)

    def __repr__(self) -> str:
        phase = ("idle", "head", "body", "tunnel", "flush", "closed")[self.phase]
        return f"<UpstreamConnection {phase} served={self.served}>"
