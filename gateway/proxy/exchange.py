"""One request, from its head to its last byte.

    begin -> match route -> deadline -> quotas -> gate: admitted | queued | shed          entrance
          -> per attempt [ pick endpoint -> breaker -> connection -> send -> judge ]      attempts
          -> relay                                                                        here
          -> finish exactly once                                                          ending

Attempts come after admission, so a second one cannot escape the limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.errors import DeadlineExceeded, GatewayError, UpstreamFailed
from gateway.http.framing import LAST_CHUNK, encode_chunk
from gateway.proxy.answer import compose, frame, quota_lines, status_line
from gateway.proxy.attempts import EARLY_BYTES
from gateway.proxy.ending import SERVER_ERROR, SWITCHING
from gateway.proxy.entrance import Entrance
from gateway.proxy.keepalive import KeepAlive, may_have_comments
from gateway.proxy.redirect import relocated

if TYPE_CHECKING:
    from gateway.http.heads import ResponseHead
    from gateway.http.upstream import UpstreamConnection
    from gateway.proxy.place import Place

_CLIENT_GONE: Final = 499
_WITH_LOCATION: Final = frozenset({201, *range(300, 400)})
_CONTINUE: Final = 100
_CLIENTS_HALF: Final = 1
_UPSTREAMS_HALF: Final = 2
_BOTH_HALVES: Final = 3


class Exchange(Entrance):
    """One request between its client's connection and an upstream's."""

    __slots__ = ()

    # --- the client's connection tells -----------------------------------------------------------

    def on_request_body(self, payload: bytes) -> None:
        """Pass payload on; keep a bounded amount until there is an endpoint to pass it to, and to pass it again."""
        self._bytes_in += len(payload)
        if self._spool is not None:
            self._take_into_spool(self._spool, payload)
            return
        if self._status:  # answered early: what an upstream still takes goes on, but never again
            self._early = None
        elif not self._is_body_lost:
            if self._early is None:
                self._early = []
            self._early.append(payload)
            self._early_size += len(payload)
        connection = self._connection
        if connection is not None and connection.carries(self):
            self._write_body(connection, payload)
            if not self._is_body_lost:
                self._bound_replay()
        elif not self._status and self._early_size > EARLY_BYTES:
            self._client.pause_reading()

    def on_request_end(self) -> None:
        """The request is complete."""
        self._is_request_done = True
        if self._awaits_body:
            self._enter_late()
            return
        if self._place is not None and self._place.since and not self._status:
            self._take_place_back(self._place, self._plane.clock.now())
        connection = self._connection
        if connection is not None and connection.carries(self) and (self._spool is None or self._is_spool_sent):
            self._end_body(connection)

    def on_request_failed(self, error: GatewayError) -> None:
        """The rest of the request cannot be taken: answer so, or break off what is under way."""
        if self._status:
            self._client.abort()
            self._finish(self._status, error.reason, detail=error.detail)
        else:
            self._refuse(error)

    def on_client_gone(self) -> None:
        """Nobody is left to answer. A tunnel whose halves were ended before lets the upstream have the rest."""
        if self._status == SWITCHING and self._tunnel_ends and self._connection is not None:
            self._connection.close_tunnel()
            self._connection = None
            self._finish(SWITCHING)
            return
        if self._status == SWITCHING and self._connection is not None:
            self._connection.reset()
            self._connection = None
        self._finish(self._status or _CLIENT_GONE, "client_gone")

    def on_client_paused(self) -> None:
        """Stop taking the response until the client has caught up."""
        self._was_held_up = True
        if self._connection is not None:
            self._connection.pause_reading()

    def on_client_resumed(self) -> None:
        """Take the response again."""
        if self._connection is not None:
            self._connection.resume_reading()

    def on_client_bytes(self, data: bytes) -> None:
        """Pass bytes through the tunnel."""
        self._bytes_in += len(data)
        if self._connection is not None:
            self._connection.write_tunnel(data)

    def on_client_eof(self) -> None:
        """Pass the end of the client's half through the tunnel."""
        half = _CLIENTS_HALF
        if self._connection is not None:
            self._connection.end_tunnel()
            if not self._connection.carries(self):  # over TLS it ends both
                half = _BOTH_HALVES
        self._end_tunnel_half(half)

    def on_out_of_time(self) -> None:
        """The whole time is used up."""
        if self._status:
            self._client.abort()
            self._finish(self._status, "request_timeout")
        else:
            self._refuse(DeadlineExceeded())

    # --- the upstream's connection tells ---------------------------------------------------------

    def on_interim(self, head: ResponseHead) -> None:
        """Pass a 1xx response on (RFC 9110 §15.2), but not a second answer to Expect."""
        if head.status != _CONTINUE and not self._head.is_http_10:
            self._client.write(b"".join((status_line(head.status, head.reason), head.fields, b"\r\n")))

    def on_response(self, head: ResponseHead, payload: bytes, now: float, *, is_complete: bool) -> None:
        """Pass the final head on, with the payload that came along; or ask again, when it is as good as none."""
        if head.status >= SERVER_ERROR and self._is_as_good_as_none(head, now, is_complete=is_complete):
            return
        if self._hedge is not None:
            self._end_hedge()
        self._status = head.status
        self._answered_at = now
        rule = self._rule
        if rule.recovery.hedge is not None:
            rule.recovery.hedge.observe(now - self._dispatched_at)
        composed = head.composed
        plane = self._plane
        if (
            composed is not None
            and is_complete
            and composed[0] is rule
            and self._is_request_done
            and self._head.is_ordinary
            and plane.door.keeps_alive
            and not plane.door.is_draining
        ):
            self._bytes_out = len(payload)
            self._client.write(composed[1] + payload)
            self._complete(now)
            return
        if not is_complete:
            self._endpoint.breaker.answered(self._token, now)  # type: ignore[union-attr]  # it is answering
            self._is_stream = b"text/event-stream" in head.fields.lower()
            if self._group_token:
                rule.group.answered(self._group_token, now)
            if self._client.is_write_paused and self._connection is not None:
                self._connection.pause_reading()  # interim responses were enough to hold the client up
        self._write_head(head, payload, is_complete=is_complete)
        if is_complete:
            self._complete(now)
        elif self._is_stream:
            self._begin_stream(head, payload, now)
        else:
            plane.watch_place(self, now)

    def _write_head(self, head: ResponseHead, payload: bytes, *, is_complete: bool) -> None:
        rule = self._rule
        plane = self._plane
        door = plane.door
        request = self._head
        client = self._client
        may_keep = self._is_request_done and door.keeps_alive and not door.is_draining
        if request.upgrade and client.has_waiting:
            may_keep = False  # bytes meant for the tunnel that was refused are no request
        framing = frame(request, head, may_keep=may_keep)
        self._is_kept = framing.is_kept
        self._is_chunked = framing.is_chunked
        fields = head.fields
        is_moving = rule.has_location and head.status in _WITH_LOCATION
        if is_moving and request.plan.prefix:
            endpoint = "" if self._endpoint is None else self._endpoint.authority
            fields = relocated(fields, request.plan.prefix, request.host.encode("ascii"), endpoint.encode("ascii"))
        raw = compose(plane, rule, head, fields, framing, quota_lines(rule, self._rate_keys, self._answered_at))
        if (
            request.is_ordinary
            and not is_moving
            and self._is_kept
            and head.has_date
            and not self._is_chunked
            and rule.rates is None
        ):
            head.composed = (rule, raw)
        if payload:
            self._bytes_out += len(payload)
            raw += encode_chunk(payload) if self._is_chunked else payload
        if is_complete and self._is_chunked:
            raw += LAST_CHUNK
        client.write(raw)

    def _begin_stream(self, head: ResponseHead, payload: bytes, now: float) -> None:
        """Give the place back, and send comments from now on while the stream is silent, if the route asks for them."""
        self._give_place_back(now)
        place: Place = self._place  # type: ignore[assignment]  # it has just been given back
        every = self._rule.stream_keepalive
        if every and may_have_comments(head):
            wheel = self._plane.door.wheel
            place.keepalive = KeepAlive(wheel, self._client, every, is_chunked=self._is_chunked)
            place.keepalive.note(payload, now)

    def on_response_body(self, payload: bytes, now: float, *, is_complete: bool) -> None:
        """Pass payload on as it comes."""
        client = self._client
        if self._is_stream and self._place is not None and self._place.keepalive is not None:
            payload = self._place.keepalive.note(payload, now)
        if payload:
            self._bytes_out += len(payload)
            if self._is_chunked:
                payload = encode_chunk(payload)
                if is_complete:
                    payload += LAST_CHUNK
            client.write(payload)
        elif is_complete and self._is_chunked:
            client.write(LAST_CHUNK)
        if is_complete:
            self._complete(now)

    def on_upstream_failed(self, error: UpstreamFailed, *, is_first_byte_missing: bool) -> None:
        """The response will never be complete."""
        connection = self._connection
        self._connection = None
        if self._status == SWITCHING:
            if error.reason == "upstream_incomplete":
                self._client.break_off()
                self._finish(SWITCHING)
            else:
                self._close_tunnel()
            return
        # A connection that was kept alive may have been closed by the endpoint before it saw this request.
        was_stale = connection is not None and connection.served > 0 and error.reason == "upstream_closed"
        if was_stale and is_first_byte_missing and self._is_repeatable and not self._is_finished:
            self._ask_anew()
        else:
            self._fail_attempt(error)

    def on_upstream_paused(self) -> None:
        """Stop taking the request body until the upstream has caught up."""
        self._client.pause_reading()

    def on_upstream_resumed(self) -> None:
        """Take the request body again."""
        connection = self._connection
        if self._spool is not None and not self._is_spool_sent and connection is not None:
            self._pump(connection, self._spool)
        else:
            self._client.resume_reading()

    def on_switched(self, head: ResponseHead, ahead: bytes) -> None:
        """The upstream agreed to the protocol that the client asked for: open the tunnel."""
        connection: UpstreamConnection = self._connection  # type: ignore[assignment]  # it is calling
        if not self._head.upgrade:
            connection.abort()
            self._connection = None
            self._fail_attempt(UpstreamFailed("upstream_malformed", "101 that nobody asked for"))
            return
        self._status = SWITCHING
        self._answered_at = self._plane.clock.now()
        self._give_place_back(self._answered_at)
        if self._endpoint is not None:
            self._endpoint.breaker.answered(self._token, self._answered_at)
        upgrade = head.upgrade or self._head.upgrade
        self._client.write(
            b"".join(
                (
                    status_line(head.status, head.reason),
                    head.fields,
                    self._rule.via_back,
                    b"Connection: upgrade\r\nUpgrade: ",
                    upgrade,
                    b"\r\n\r\n",
                    ahead,
                )
            )
        )
        if self._client.is_write_paused:
            connection.pause_reading()  # so the client was held up before
        waiting = self._client.enter_tunnel()
        self._client.resume_reading()
        if waiting:
            connection.write_tunnel(waiting)

    def on_upstream_bytes(self, data: bytes) -> None:
        """Pass bytes through the tunnel."""
        self._bytes_out += len(data)
        self._client.write(data)

    def on_upstream_eof(self) -> None:
        """Pass the end of the upstream's half through the tunnel."""
        self._client.end_tunnel()
        self._end_tunnel_half(_UPSTREAMS_HALF)

    def _end_tunnel_half(self, half: int) -> None:
        self._tunnel_ends |= half
        if self._tunnel_ends == _BOTH_HALVES and not self._is_finished:
            if self._connection is not None:
                self._connection.close_tunnel()
                self._connection = None
            self._close_tunnel()

    def _close_tunnel(self) -> None:
        now = self._plane.clock.now()
        self._client.end_response(keep=False, now=now)
        self._finish(SWITCHING, now=now)

    def __repr__(self) -> str:
        return f"<Exchange {self.request_id.decode('ascii')} {self._head.method} status={self._status}>"
