"""A copy of a safe request, for an endpoint that has to show that it answers again.

An endpoint that breaks its answers off, drips them or never ends them shows nothing before a client has lost by it. So
when its sentence is over it gets copies of requests that are safe (RFC 9110 §9.2.1) and that somebody else answers: one
at a time, each from the budget of retries and hedges. What it answers is read and thrown away. A whole answer in time
brings it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.errors import UpstreamFailed
from gateway.core.outcome import Outcome
from gateway.proxy.outcomes import outcome_of

if TYPE_CHECKING:
    import asyncio

    from gateway.http.heads import ResponseHead
    from gateway.http.upstream import UpstreamConnection
    from gateway.proxy.plane import DataPlane
    from gateway.telemetry.counters import UpstreamCounters
    from gateway.upstream.endpoint import Endpoint

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SERVER_ERROR: Final = 500


class Trial:
    """Sends ``raw``, the head of a request without a body, to ``endpoint``; it has ``patience`` seconds in all."""

    __slots__ = (
        "_began_at",
        "_connecting",
        "_connection",
        "_counters",
        "_endpoint",
        "_method",
        "_plane",
        "_raw",
        "_status",
        "_timer",
        "_token",
    )

    def __init__(  # noqa: PLR0913 - what a request is made of
        self,
        plane: DataPlane,
        endpoint: Endpoint,
        counters: UpstreamCounters,
        *,
        method: str,
        raw: bytes,
        patience: float,
    ) -> None:
        self._plane = plane
        self._counters = counters
        self._method = method
        self._raw = raw
        self._status = 0
        self._began_at = now = plane.clock.now()
        self._endpoint: Endpoint | None = endpoint
        self._connection: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        endpoint.in_flight += 1
        endpoint.standing.is_on_trial = True
        self._token = endpoint.breaker.acquire(now)
        self._timer = plane.call_later(patience, self._on_late)
        connection = endpoint.take_idle()
        if connection is not None:
            self._send(connection)
        else:
            self._connecting = plane.start_task(self._connect(endpoint))

    async def _connect(self, endpoint: Endpoint) -> None:
        try:
            connection = await endpoint.connect()
        except UpstreamFailed as error:
            self._connecting = None
            self._end(outcome_of(0, error.reason))
        else:
            self._connecting = None
            if self._endpoint is None:
                connection.abort()
            else:
                self._send(connection)

    def _send(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        connection.begin(self, self._method, self._raw, self._plane.clock.now(), is_request_done=True)

    def _on_late(self) -> None:
        self._end(Outcome.TIMEOUT)

    def _end(self, outcome: Outcome) -> None:
        """Give back what was held, and tell what it has shown; once."""
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is None:
            return
        self._timer.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
        now = self._plane.clock.now()
        endpoint.in_flight -= 1
        endpoint.breaker.report(self._token, outcome, now - self._began_at, now)
        if outcome is Outcome.SUCCESS:
            self._counters.good_attempts += 1
        else:
            self._counters.count_bad_attempt(outcome)
        endpoint.standing.try_out(now, has_passed=None if outcome is Outcome.NEUTRAL else outcome is Outcome.SUCCESS)

    # --- its connection tells --------------------------------------------------------------------

    def on_interim(self, head: ResponseHead) -> None:
        """Nobody waits for an interim response."""

    def on_response(self, head: ResponseHead, payload: bytes, now: float, *, is_complete: bool) -> None:
        """It begins to answer."""
        del payload, now
        self._status = head.status
        if is_complete:
            self._complete()

    def on_response_body(self, payload: bytes, now: float, *, is_complete: bool) -> None:
        """Throw the answer away as it comes."""
        del payload, now
        if is_complete:
            self._complete()

    def _complete(self) -> None:
        self._connection = None  # it may serve somebody else already
        self._end(Outcome.SUCCESS if self._status < _SERVER_ERROR else Outcome.FAILURE)

    def on_switched(self, head: ResponseHead, ahead: bytes) -> None:
        """Nobody asked for a tunnel."""
        del head, ahead
        self._end(Outcome.FAILURE)

    def on_upstream_failed(self, error: UpstreamFailed, *, is_first_byte_missing: bool) -> None:
        """No whole answer will come; a kept connection that was closed meanwhile says nothing."""
        connection, self._connection = self._connection, None
        was_stale = is_first_byte_missing and connection is not None and connection.served > 0
        self._end(Outcome.NEUTRAL if was_stale else outcome_of(0, error.reason))

    def on_endpoint_lost(self) -> None:
        """The endpoint is given up for another reason."""
        self._end(Outcome.NEUTRAL)

    def on_upstream_paused(self) -> None:
        """Nothing: there is no body to send."""

    def on_upstream_resumed(self) -> None:
        """Nothing: there is no body to send."""

    def on_upstream_bytes(self, data: bytes) -> None:
        """Nothing: there is no tunnel."""

    def on_upstream_eof(self) -> None:
        """Nothing: there is no tunnel."""
