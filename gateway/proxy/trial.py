"""A copy of a safe request, for an endpoint that has to show that it answers again.

An endpoint that breaks its answers off, drips them or never ends them shows nothing before a client has lost by it. So
when its sentence is over it gets copies of requests that are safe (RFC 9110 §9.2.1) and that somebody else answers: one
at a time, each from the budget of retries and hedges. What it answers is read and thrown away. A whole answer in time
brings it back. A late one speaks against it only when the request itself was answered whole meanwhile: an event stream
has no end anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.outcome import Outcome
from gateway.proxy.aside import Aside
from gateway.proxy.outcomes import outcome_of

if TYPE_CHECKING:
    from gateway.core.errors import UpstreamFailed
    from gateway.http.heads import ResponseHead
    from gateway.http.upstream import UpstreamConnection
    from gateway.proxy.attempts import Attempts
    from gateway.proxy.plane import DataPlane
    from gateway.telemetry.counters import UpstreamCounters
    from gateway.upstream.endpoint import Endpoint

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SERVER_ERROR: Final = 500


class Trial(Aside):
    """Sends ``raw``, the head of ``original`` for this ``endpoint``, which has ``patience`` seconds for the answer."""

    __slots__ = ("_counters", "_method", "_original", "_raw", "_status", "_timer")

    def __init__(  # noqa: PLR0913 - what a request is made of
        self,
        plane: DataPlane,
        endpoint: Endpoint,
        counters: UpstreamCounters,
        original: Attempts,
        *,
        method: str,
        raw: bytes,
        patience: float,
    ) -> None:
        super().__init__(plane, original.page)
        self._counters = counters
        self._original = original
        self._method = method
        self._raw = raw
        self._status = 0
        endpoint.standing.is_on_trial = True
        self._timer = plane.call_later(patience, self._on_late)
        self._ask(endpoint, plane.clock.now())

    def _send(self, connection: UpstreamConnection, now: float) -> None:
        if self.endpoint is None:
            connection.abort()
            return
        self.connection = connection
        connection.begin(self, self._method, self._raw, now, is_request_done=True)

    def _on_late(self) -> None:
        self._end(Outcome.TIMEOUT if self._original.is_answered else Outcome.NEUTRAL)

    def _end(self, outcome: Outcome) -> None:
        now = self._plane.clock.now()
        endpoint = self._release(outcome, now)
        if endpoint is None:
            return
        self._timer.cancel()
        self._counters.count_trial(outcome)
        endpoint.standing.try_out(now, has_passed=None if outcome is Outcome.NEUTRAL else outcome is Outcome.SUCCESS)

    def on_response(self, head: ResponseHead, payload: bytes, now: float, *, is_complete: bool) -> None:
        """It begins to answer."""
        self._status = head.status
        self.on_response_body(payload, now, is_complete=is_complete)

    def on_response_body(self, payload: bytes, now: float, *, is_complete: bool) -> None:
        """Throw the answer away as it comes."""
        del payload, now
        if is_complete:
            self.connection = None  # it may serve somebody else already
            self._end(Outcome.SUCCESS if self._status < _SERVER_ERROR else Outcome.FAILURE)

    def on_upstream_failed(self, error: UpstreamFailed, *, is_first_byte_missing: bool) -> None:
        """No whole answer will come; a kept connection that was closed meanwhile says nothing."""
        connection, self.connection = self.connection, None
        was_stale = is_first_byte_missing and connection is not None and connection.served > 0
        self._end(Outcome.NEUTRAL if was_stale else outcome_of(0, error.reason))
