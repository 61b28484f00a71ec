"""How a request ends: whatever happens, once.

:meth:`Ending._finish` gives back what the request held, counts it and logs it. What each attempt held goes back in
:meth:`~gateway.proxy.attempts.Attempts._end_attempt`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.admission.sample import Sample
from gateway.core.errors import GatewayError, Shed
from gateway.core.outcome import FAILURE, NEUTRAL, SUCCESS, Outcome
from gateway.proxy.attempts import Attempts
from gateway.proxy.outcomes import is_for_want_of_capacity, outcome_of
from gateway.resilience.failures import WITHOUT_CONNECTION
from gateway.telemetry.access import AccessRecord, trace_id
from gateway.telemetry.snapshot import NO_ROUTE

if TYPE_CHECKING:
    from gateway.proxy.place import Place
    from gateway.proxy.rule import RouteRule
    from gateway.proxy.waiting import Waiting
    from gateway.telemetry.counters import UpstreamCounters

SWITCHING: Final = 101
SERVER_ERROR: Final = 500
_OK: Final = 200
_FAILED: Final = frozenset({FAILURE, Outcome.TIMEOUT})


class Ending(Attempts):
    """Ends one request: answered, refused, broken off or left."""

    __slots__ = ()

    def _complete(self, now: float) -> None:
        """The last byte of the response is written."""
        self._connection = None
        self.is_answered = True
        self._finish(self._status, now=now)
        self._client.end_response(keep=self._is_kept, now=now)

    def _answer(self, response: bytes) -> None:
        """Answer without an upstream."""
        self._status = 200
        self._is_kept = not self._head.wants_close
        self._client.write(response)
        self._complete(self._plane.clock.now())

    def _refuse(self, error: GatewayError) -> None:
        if self._rate_keys is not None and isinstance(error, Shed) and self._rule.rates is not None:
            # a request that we shed costs its client nothing
            self._rule.rates.refund(self._rate_keys, 1.0, self._plane.clock.now())
        keep = self._is_request_done and not self._head.wants_close
        client = self._client
        client.refuse(error, self.request_id, keep=keep, is_head=self._head.method == "HEAD")
        self._finish(error.status, error.reason, detail=error.detail)

    def _finish(self, status: int, reason: str = "", now: float = 0.0, detail: str = "") -> None:  # noqa: PLR0912, PLR0915 - see C901
        """Give back everything that the request held, count it, log it; once."""
        if self._is_finished:
            return
        self._is_finished = True
        plane = self._plane
        now = now or plane.clock.now()
        rule = self._rule
        if not reason:
            outcome = SUCCESS if status < SERVER_ERROR else FAILURE
        else:
            outcome = outcome_of(status, reason) if rule is None else self._outcome(status, reason, now)
        if self._hedge is not None:
            self._end_hedge()
        if self._pause is not None:
            self._pause.cancel()
        if self._spool is not None:
            self._spool.close()
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        connection = self._connection
        if connection is not None:
            self._connection = None
            connection.abort()
        if self._endpoint is not None:
            self._end_attempt(outcome, now, status, reason)
        place = self._place
        held_up = 0.0 if place is None else self._end_place(place, now)
        if place is not None and place.is_counted:
            rule.gate.end_stream()
        elif self._admitted_at >= 0:
            sample = Sample(
                self._admitted_at, self._answered_at or now, self._in_flight_then, self._head.plan.page.kind, outcome
            )
            rule.gate.finish(sample, now)
        elif self._ticket is not None:
            rule.gate.leave(self._ticket, now)
            self._leave_queue(rule, self._ticket, reason, now)
            self._ticket = None
        if self._dispatched_at >= 0:
            counters = rule.upstream_counters
            if self._group_token or self._passes or outcome is not SUCCESS or rule.breakers.is_active:
                self._tell_breakers(rule, outcome, status, reason, now)
            took = now - self._dispatched_at
            counters.seconds.observe(took)
            counters.clock += now
            active = took - held_up
            counters.squares += active * active
            if reason or self._is_late or status >= SERVER_ERROR or status < _OK:
                self._count_apart(counters, status, reason, outcome)
        elif rule is not None and not rule.group.is_awake:
            rule.group.wake()  # it was counted, so its figures must go out
        counted = plane.unrouted if rule is None else rule.counters
        counted.count(self._head.method, status, now - self._started_at, reason)
        if reason:
            counted.count_error(reason)
        if plane.access_log.wants(status, reason, self._head.target):
            plane.access_log.write(self._record(status, reason, now, detail))

    def _end_place(self, place: Place, now: float) -> float:
        """For how many seconds the request was no work of the service; nothing looks after its place any more."""
        place.end()
        self._plane.door.wheel.forget(place)
        if place.keepalive is not None:
            self._plane.door.wheel.forget(place.keepalive)
        if place.since:
            place.seconds += now - place.since
            self._rule.upstream_counters.leave_stream(now)
        if self._dispatched_at >= 0:
            self._rule.upstream_counters.end_stream(place.seconds)
        return place.seconds

    def _tell_breakers(self, rule: RouteRule, outcome: Outcome, status: int, reason: str, now: float) -> None:
        """Tell the upstream's breaker, the route's and the page's how the request went, after however many attempts."""
        counted = self._counted(outcome, status, reason) if outcome in _FAILED else outcome
        is_whole = reason in WITHOUT_CONNECTION
        seconds = (self._answered_at or now) - self._attempt_at
        if self._group_token:
            rule.group.leave(self._group_token, counted, seconds, now, is_whole=is_whole)
        breakers = rule.breakers
        if self._passes or breakers.is_active or counted in _FAILED:
            found = NEUTRAL if is_whole else counted
            breakers.note(self.page, found, began=self._dispatched_at, seconds=seconds, now=now, passes=self._passes)

    def _count_apart(self, counters: UpstreamCounters, status: int, reason: str, outcome: Outcome) -> None:
        """Count a request that had an attempt and was not simply good."""
        if self._is_late:
            counters.late += 1
            if outcome is SUCCESS:
                counters.late_good += 1
        if outcome in _FAILED:
            counters.failed += 1
            if not self._is_late and is_for_want_of_capacity(status, reason):
                counters.starved += 1

    def _leave_queue(self, rule: RouteRule, ticket: Waiting, reason: str, now: float) -> None:
        """Count a request that was never admitted and was not shed: its client left, or its time was over."""
        counters = rule.upstream_counters
        counters.waiting.leave(now)
        counters.left += 1
        waited = now - ticket.arrived_at
        counters.shed_waits.observe(waited)
        # a deadline that came before the route's own was the client's haste
        is_our_time_up = reason == "request_timeout" and now - self._started_at >= rule.timeout
        if waited > counters.slo_wait or is_our_time_up:
            counters.lost += 1

    def _record(self, status: int, reason: str, now: float, detail: str) -> AccessRecord:
        head = self._head
        rule: RouteRule | None = self._rule
        return AccessRecord(
            route=NO_ROUTE if rule is None else rule.name,
            upstream="" if rule is None else rule.group.name,
            endpoint="" if self._last_endpoint is None else self._last_endpoint.url,
            method=head.method,
            target=head.target,
            status=status,
            reason=reason,
            seconds=now - self._started_at,
            upstream_seconds=now - self._dispatched_at if self._dispatched_at >= 0 else 0.0,
            bytes_in=self._bytes_in,
            bytes_out=self._bytes_out,
            client=self._client.address(head),
            request_id=self.request_id.decode("ascii"),
            trace_id=trace_id(head.headers.get("traceparent", "")),
            attempts=self._attempts,
            user_agent=head.headers.get("user-agent", ""),
            protocol="HTTP/1.0" if head.is_http_10 else "HTTP/1.1",
            host=head.host,
            detail=detail,
        )
