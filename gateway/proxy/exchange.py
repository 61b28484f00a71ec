"""One request, from its head to its last byte.

    begin -> match route -> deadline -> quotas -> gate: admitted | queued | shed
          -> per attempt [ pick endpoint -> breaker -> connection -> send -> judge the answer ]
          -> relay -> finish exactly once

Attempts come after admission, so a second one cannot escape the limit. Whatever happens, :meth:`_finish` is
reached once: it gives back what the request held, counts it and logs it. What each attempt held goes back in
:meth:`_end_attempt`.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from gateway.admission.sample import Sample
from gateway.core.errors import DeadlineExceeded, GatewayError, Shed, UpstreamFailed
from gateway.core.outcome import Outcome
from gateway.http.framing import LAST_CHUNK, encode_chunk
from gateway.proxy.answer import compose, frame, quota_lines, status_line
from gateway.proxy.attempts import EARLY_BYTES, Attempts
from gateway.proxy.outcomes import is_for_want_of_capacity, outcome_of
from gateway.proxy.plan import RequestPlan, plan_request
from gateway.proxy.waiting import Waiting
from gateway.telemetry.access import AccessRecord, trace_id
from gateway.telemetry.counters import NO_ROUTE

if TYPE_CHECKING:
    from gateway.admission.rate_gate import RateGate
    from gateway.http.heads import ResponseHead
    from gateway.http.upstream import UpstreamConnection
    from gateway.proxy.rule import RouteRule
    from gateway.telemetry.counters import UpstreamCounters

_CLIENT_GONE: Final = 499
_SWITCHING: Final = 101
_CONTINUE: Final = 100
_SERVER_ERROR: Final = 500
_OK: Final = 200
_FAILED: Final = frozenset({Outcome.FAILURE, Outcome.TIMEOUT})


class Exchange(Attempts):
    """One request between its client's connection and an upstream's."""

    __slots__ = ()

    # --- the path --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Decide what becomes of the request; everything up to the first byte upstream, or a refusal."""
        head = self._head
        plane = self._plane
        try:
            plan: RequestPlan | None = head.plan
            if plan is None:
                plan = head.plan = plan_request(plane, head)
            rule = self._rule = plan.rule
            if plan.refusal is not None:
                raise plan.refusal
            if plan.answer:
                self._answer(plan.answer)
                return
            budget = min(rule.timeout, plan.budget.seconds)
            if plan.budget.instant != inf:
                budget = min(budget, plan.budget.instant - plane.clock.wall())
            if budget != inf:
                self._limit_time(budget)
            now = plane.clock.now()  # a head that came slowly has not waited for us, nor for the upstream
            if rule.rates is not None:
                self._charge(rule, plan, now)
            if plan.is_repeat and self._client.is_trusted:
                rule.upstream_counters.asked_again += 1
            self._enter(rule, now)
        except GatewayError as error:
            self._refuse(error)

    def _limit_time(self, budget: float) -> None:
        """Set the deadline of the whole request; raises when it has come before anything was done."""
        if budget <= 0:
            raise DeadlineExceeded("the deadline had passed on arrival")
        self._client.limit_time(self._started_at + budget)

    def _charge(self, rule: RouteRule, plan: RequestPlan, now: float) -> None:
        """Take the request from its client's quotas; raises when one of them is used up."""
        rates: RateGate = rule.rates  # type: ignore[assignment]  # asked by begin
        head = self._head
        if plan.rate_keys is None:
            client = "" if rates.is_of_head else self._client.key(head.identity)
            keys = rates.keys(client, head.headers, plan.parameters)
            if rates.is_of_head:
                plan.rate_keys = tuple(keys)
        else:
            keys = list(plan.rate_keys)
        refusal = rates.check(keys, 1.0, now)
        if refusal is not None:
            raise self._plane.sheds.by_quota(rule, refusal, keys, now)
        self._rate_keys = keys

    def _enter(self, rule: RouteRule, now: float) -> None:
        """Pass the gate at once, or wait before it."""
        gate = rule.gate
        if rule.group.is_shut and not rule.group.can_pass(now):
            raise self._plane.sheds.by_breaker(rule, now)
        traffic_class = rule.traffic_class
        if rule.chooser is not None:
            traffic_class = rule.chooser.choose(self._head.headers, is_trusted=self._client.is_trusted)
        if gate.try_admit(now):
            rule.upstream_counters.wait(traffic_class.name).observe(0.0)
            self._admitted_at = now
            self._in_flight_then = gate.in_flight
            self._dispatch(rule, now)
            return
        shadow = gate.let_pass()
        if shadow is not None:
            self._plane.sheds.in_shadow(rule, traffic_class, shadow)
            rule.upstream_counters.wait(traffic_class.name).observe(0.0)
            self._admitted_at = now
            self._in_flight_then = gate.in_flight
            self._dispatch(rule, now)
            return
        length = self._head.length
        ticket = Waiting(
            self,
            traffic_class,
            arrived_at=now,
            kind=rule.name,
            key=self._fairness_key(rule),
            deadline=self._client.out_of_time_at,
            cost=gate.latency,
            size=EARLY_BYTES if length < 0 else min(length, EARLY_BYTES),
        )
        refusal = gate.enqueue(ticket, now)
        if refusal is not None:
            if not gate.keep_aside(ticket, refusal.reason):
                raise self._plane.sheds.by_gate(rule, traffic_class, refusal)
            self._plane.sheds.in_shadow(rule, traffic_class, refusal)
        self._ticket = ticket
        rule.upstream_counters.waiting.enter(now)

    def _fairness_key(self, rule: RouteRule) -> str:
        reader = rule.fairness
        if reader is None:
            return rule.flow
        head = self._head
        plan: RequestPlan = head.plan
        return reader.read(self._client.key(head.identity), head.headers, plan.parameters)

    def on_admitted(self, now: float) -> None:
        """The gate lets the request in after a wait."""
        rule = self._rule
        ticket: Waiting = self._ticket  # type: ignore[assignment]  # it is calling
        self._ticket = None
        self._admitted_at = now
        self._in_flight_then = rule.gate.in_flight
        counters = rule.upstream_counters
        waited = now - ticket.arrived_at
        counters.waiting.leave(now)
        counters.wait(ticket.traffic_class.name).observe(waited)
        self._is_late = waited > counters.slo_wait
        try:
            self._dispatch(rule, now)
        except GatewayError as error:
            self._refuse(error)

    def on_shed(self, reason: str, now: float) -> None:
        """The gate gives the place in the queue to somebody else."""
        rule = self._rule
        ticket: Waiting = self._ticket  # type: ignore[assignment]  # it is calling
        refusal = rule.gate.refusal(reason, ticket, now)
        if rule.gate.keep_aside(ticket, reason):
            self._plane.sheds.in_shadow(rule, ticket.traffic_class, refusal)
            return
        self._ticket = None
        rule.upstream_counters.waiting.leave(now)
        rule.upstream_counters.shed_waits.observe(now - ticket.arrived_at)
        if reason == "breaker_open":
            self._refuse(self._plane.sheds.by_breaker(rule, now))
            return
        self._refuse(self._plane.sheds.by_gate(rule, ticket.traffic_class, refusal))

    # --- the client's connection tells -----------------------------------------------------------

    def on_request_body(self, payload: bytes) -> None:
        """Pass payload on; keep a bounded amount until there is somebody to pass it to, and to pass it again."""
        self._bytes_in += len(payload)
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
        connection = self._connection
        if connection is not None and connection.carries(self):
            self._end_body(connection)

    def on_request_failed(self, error: GatewayError) -> None:
        """The rest of the request cannot be taken: answer so, or break off what is under way."""
        if self._status:
            self._client.abort()
            self._finish(self._status, error.reason)
        else:
            self._refuse(error)

    def on_client_gone(self) -> None:
        """Nobody is left to answer."""
        self._finish(self._status or _CLIENT_GONE, "client_gone")

    def on_client_paused(self) -> None:
        """Stop taking the response until the client has caught up."""
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
            self._connection.write(data)

    def on_client_eof(self) -> None:
        """Pass the end of the client's half through the tunnel."""
        if self._connection is not None:
            self._connection.end_tunnel()
        self._end_tunnel_half()

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
        if head.status >= _SERVER_ERROR and self._is_as_good_as_none(head, now, is_complete=is_complete):
            return
        if self._hedge is not None:
            self._end_hedge()
        self._status = head.status
        self._answered_at = now
        rule = self._rule
        if rule.recovery.hedge is not None:
            rule.recovery.hedge.observe(now - self._dispatched_at)
        composed = head.composed
        if (
            composed is not None
            and is_complete
            and composed[0] is rule
            and self._is_request_done
            and self._head.is_ordinary
            and self._plane.door.keeps_alive
            and not self._plane.door.is_draining
        ):
            self._bytes_out = len(payload)
            self._client.write(composed[1] + payload)
            self._complete(now)
            return
        if not is_complete:
            self._endpoint.breaker.answered(self._token, now)  # type: ignore[union-attr]  # it is answering
            if self._group_token:
                rule.group.answered(self._group_token, now)
        self._write_head(head, payload, is_complete=is_complete)
        if is_complete:
            self._complete(now)

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
        raw = compose(plane, rule, head, framing, quota_lines(rule, self._rate_keys, self._answered_at))
        if request.is_ordinary and self._is_kept and head.has_date and not self._is_chunked and rule.rates is None:
            head.composed = (rule, raw)
        if payload:
            self._bytes_out += len(payload)
            raw += encode_chunk(payload) if self._is_chunked else payload
        if is_complete and self._is_chunked:
            raw += LAST_CHUNK
        client.write(raw)

    def on_response_body(self, payload: bytes, now: float, *, is_complete: bool) -> None:
        """Pass payload on as it comes."""
        client = self._client
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
        if self._status == _SWITCHING:
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
        self._client.resume_reading()

    def on_switched(self, head: ResponseHead, ahead: bytes) -> None:
        """The upstream agreed to the protocol that the client asked for: open the tunnel."""
        connection: UpstreamConnection = self._connection  # type: ignore[assignment]  # it is calling
        if not self._head.upgrade:
            connection.abort()
            self._connection = None
            self._fail_attempt(UpstreamFailed("upstream_malformed", "101 that nobody asked for"))
            return
        self._status = _SWITCHING
        self._answered_at = self._plane.clock.now()
        self._rule.upstream_counters.enter_tunnel(self._answered_at)
        if self._endpoint is not None:
            self._endpoint.breaker.answered(self._token, self._answered_at)
        upgrade = head.upgrade or self._head.upgrade
        self._client.write(
            b"".join(
                (
                    status_line(head.status, head.reason),
                    head.fields,
                    self._plane.via,
                    b"Connection: upgrade\r\nUpgrade: ",
                    upgrade,
                    b"\r\n\r\n",
                    ahead,
                )
            )
        )
        waiting = self._client.enter_tunnel()
        self._client.resume_reading()
        if waiting:
            connection.write(waiting)

    def on_upstream_bytes(self, data: bytes) -> None:
        """Pass bytes through the tunnel."""
        self._bytes_out += len(data)
        self._client.write(data)

    def on_upstream_eof(self) -> None:
        """Pass the end of the upstream's half through the tunnel."""
        self._client.end_tunnel()
        self._end_tunnel_half()

    # --- the end ---------------------------------------------------------------------------------

    def _end_tunnel_half(self) -> None:
        self._tunnel_ends += 1
        if self._tunnel_ends > 1 and not self._is_finished:
            self._close_tunnel()

    def _close_tunnel(self) -> None:
        now = self._plane.clock.now()
        self._client.end_response(keep=False, now=now)
        self._finish(_SWITCHING, now=now)

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

    # --- the end ---------------------------------------------------------------------------------

    def _refuse(self, error: GatewayError) -> None:
        if self._rate_keys is not None and isinstance(error, Shed) and self._rule.rates is not None:
            # a request that we shed costs its client nothing
            self._rule.rates.refund(self._rate_keys, 1.0, self._plane.clock.now())
        keep = self._is_request_done and not self._head.wants_close
        client = self._client
        client.refuse(error, self.request_id, keep=keep, is_head=self._head.method == "HEAD")
        self._finish(error.status, error.reason)

    def _finish(self, status: int, reason: str = "", now: float = 0.0) -> None:  # noqa: PLR0912 - see C901
        """Give back everything that the request held, count it, log it; once."""
        if self._is_finished:
            return
        self._is_finished = True
        plane = self._plane
        now = now or plane.clock.now()
        rule = self._rule
        outcome = outcome_of(status, reason)
        if self._hedge is not None:
            self._end_hedge()
        if self._pause is not None:
            self._pause.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        connection = self._connection
        if connection is not None:
            self._connection = None
            connection.abort()
        if self._endpoint is not None:
            self._end_attempt(outcome, now)
        if self._admitted_at >= 0:
            sample = Sample(self._admitted_at, self._answered_at or now, self._in_flight_then, rule.name, outcome)
            rule.gate.finish(sample, now)
        elif self._ticket is not None:
            rule.gate.leave(self._ticket, now)
            self._leave_queue(rule, self._ticket, reason, now)
            self._ticket = None
        if self._dispatched_at >= 0:
            counters = rule.upstream_counters
            if self._group_token:
                rule.group.leave(self._group_token, outcome, (self._answered_at or now) - self._dispatched_at, now)
            took = now - self._dispatched_at
            counters.seconds.observe(took)
            counters.clock += now
            counters.squares += took * took
            if reason or self._is_late or status >= _SERVER_ERROR or status < _OK:
                self._count_apart(counters, status, reason, outcome, now)
        counted = plane.unrouted if rule is None else rule.counters
        counted.count(self._head.method, status, now - self._started_at)
        if reason:
            counted.count_error(reason)
        if plane.access_log.wants(status, reason):
            plane.access_log.write(self._record(status, reason, now))

    def _count_apart(self, counters: UpstreamCounters, status: int, reason: str, outcome: Outcome, now: float) -> None:
        """Count a request that had an attempt and was not simply good."""
        if self._status == _SWITCHING:
            counters.leave_tunnel(now, now - self._dispatched_at, now - self._answered_at)
        if self._is_late:
            counters.late += 1
            if outcome is Outcome.SUCCESS:
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
        if reason == "request_timeout" or waited > counters.slo_wait:
            counters.lost += 1

    def _record(self, status: int, reason: str, now: float) -> AccessRecord:
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
            client=self._client.address(head.identity),
            request_id=self.request_id.decode("ascii"),
            trace_id=trace_id(head.headers.get("traceparent", "")),
            attempts=self._attempts,
            user_agent=head.headers.get("user-agent", ""),
            protocol="HTTP/1.0" if head.is_http_10 else "HTTP/1.1",
        )

    def __repr__(self) -> str:
        return f"<Exchange {self.request_id.decode('ascii')} {self._head.method} status={self._status}>"
