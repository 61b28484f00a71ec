"""The attempts of one request: where it is sent; again, elsewhere, or twice when that is safe and affordable.

    pick endpoint -> breaker -> kept or new connection -> send -> judge the end -> once more, or tell the client

What an attempt holds is given back in :meth:`Attempts._end_attempt`, once, however it ends. Attempts come after
admission, so none of them can escape the limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.admission.sample import Sample
from gateway.core.errors import Shed, UpstreamFailed
from gateway.core.outcome import FAILURE, NEUTRAL, SUCCESS, Outcome
from gateway.http.framing import LAST_CHUNK, encode_chunk
from gateway.proxy.hedge import Hedge
from gateway.proxy.outcomes import outcome_of
from gateway.proxy.place import LOOK, USUAL, Place
from gateway.proxy.recovery import IDEMPOTENT, UNAVAILABLE, retry_after
from gateway.proxy.state import RequestState
from gateway.proxy.trial import SAFE, Trial
from gateway.resilience.failures import WITHOUT_CONNECTION

if TYPE_CHECKING:
    from gateway.http.heads import ResponseHead
    from gateway.http.spool import Spool
    from gateway.http.upstream import UpstreamConnection
    from gateway.proxy.plan import RequestPlan
    from gateway.proxy.rule import RouteRule
    from gateway.resilience.page import Page
    from gateway.upstream.endpoint import Endpoint

EARLY_BYTES: Final = 64 * 1024
"""How much of a body is kept, for an endpoint that is still to be found, or to be sent once more."""
_COPY: Final = 2
"""A copy says of itself that it is a second attempt."""


class Attempts(RequestState):
    """Sends one request until one attempt is good, or none is left."""

    __slots__ = ()

    @property
    def page(self) -> Page:
        """What the request is for."""
        page: Page = self._head.plan.page
        return page

    # --- an attempt begins -----------------------------------------------------------------------

    def _dispatch(self, rule: RouteRule, now: float) -> None:
        """Begin an attempt at the best endpoint, if possible one that was not tried yet."""
        group = rule.group
        key = "" if rule.hash_key is None else self._hash_key(rule)
        endpoint = group.pick(self._tried, key, now)
        if endpoint is None and self._tried:
            endpoint = group.pick((), key, now)
        if endpoint is None:
            raise self._plane.sheds.by_breaker(rule, now)
        if self._dispatched_at < 0:
            if rule.breakers.is_barring:
                self._pass_breakers(rule, now)
            self._dispatched_at = now
            if not group.is_awake:
                group.wake()
            counters = rule.upstream_counters
            counters.firsts += 1
            counters.clock -= now
            if endpoint.has_peers:
                self._group_token = group.enter(now, self._head.plan.page)
                if group.on_trial is not None:
                    self._try_out(rule, now)
        self._ask(endpoint, now, endpoint.take_idle())

    def _pass_breakers(self, rule: RouteRule, now: float) -> None:
        """Take a place where the route or the page has only some; raises when there is none."""
        page: Page = self._head.plan.page
        passes = rule.breakers.acquire(page, now)
        if passes is None:
            raise self._plane.sheds.by_route(rule, page, now)
        self._passes = passes

    def _try_out(self, rule: RouteRule, now: float) -> None:
        """Send a copy of a safe request to an endpoint that was left out because it did not end its answers."""
        head = self._head
        if self._has_body or head.upgrade or head.method not in SAFE or not rule.recovery.budget.withdraw(now):
            return
        found = rule.group.take_trial()
        if found is not None:
            endpoint, patience = found
            plan: RequestPlan = head.plan
            raw = plan.compose(self._client, self.request_id, endpoint, now, _COPY)
            Trial(self._plane, endpoint, rule.upstream_counters, self, method=head.method, raw=raw, patience=patience)

    def _ask(self, endpoint: Endpoint, now: float, connection: UpstreamConnection | None) -> None:
        """Begin an attempt at this endpoint, on a connection that was kept or on a new one."""
        self._attempts += 1
        self._endpoint = endpoint
        endpoint.in_flight += 1
        if self._place is not None and self._place.since:
            endpoint.streams += 1
        head = self._head
        self._token = endpoint.breaker.acquire(now, head.plan.page)
        self._attempt_at = now
        self._attempt_n = endpoint.in_flight
        if self._rule.endpoint_limits is not None:
            self._rule.endpoint_limits.begin(endpoint.url, now, self._attempt_n, self.page.kind)
        if not self._is_request_done:
            endpoint.breaker.uploading(self._token)
        if connection is not None:
            self._send(connection, endpoint, now)
        else:
            self._connecting = self._plane.start_task(self._connect(endpoint))
        hedge_delay = self._rule.recovery.hedge
        if (
            hedge_delay is not None
            and self._attempts == 1
            and self._is_repeatable
            and not self._has_body
            and not head.upgrade  # a tunnel cannot be had twice
        ):
            self._hedge = Hedge(self._plane, self, hedge_delay.delay())  # type: ignore[arg-type]  # an Exchange

    def _hash_key(self, rule: RouteRule) -> str:
        head = self._head
        plan: RequestPlan = head.plan
        return rule.hash_key.read(self._client.key(head), head.headers, plan.parameters)  # type: ignore[union-attr]  # asked by the caller

    async def _connect(self, endpoint: Endpoint) -> None:
        try:
            connection = await endpoint.connect()
        except UpstreamFailed as error:
            self._connecting = None
            self._fail_attempt(error)
        except Exception:
            self._connecting = None
            self._fail_attempt(UpstreamFailed("connect_failed", "the gateway failed", is_unsent=True))
            raise  # whoever owns the task logs it
        else:
            self._connecting = None
            self._send(connection, endpoint, self._plane.clock.now())

    def _send(self, connection: UpstreamConnection, endpoint: Endpoint, now: float) -> None:
        """Write the request head, and what came of the body meanwhile."""
        self._connection = connection
        head = self._head
        plan: RequestPlan = head.plan
        client = self._client
        raw = plan.compose(client, self.request_id, endpoint, now, self._attempts)
        connection.begin(self, head.method, raw, now, is_request_done=not self._has_body, times=self._rule.times)  # type: ignore[arg-type]  # an Exchange
        if not self._has_body:
            return
        spool = self._spool
        if spool is not None:
            endpoint.breaker.uploading(self._token)
            spool.rewind()
            self._is_spool_sent = False
            self._pump(connection, spool)
            connection.flush()
            return
        early = self._early
        if early is not None:
            for payload in early:
                self._write_body(connection, payload)
            self._bound_replay()
        elif head.expects_continue and not self._is_request_done:
            client.ask_for_body()
        if self._is_request_done:
            self._write_end(connection)
        elif early is not None:
            connection.flush()
        if not connection.is_write_paused:
            client.resume_reading()
        if not self._is_request_done:
            self._plane.watch_place(self, now)  # type: ignore[arg-type]  # an Exchange

    def _pump(self, connection: UpstreamConnection, spool: Spool) -> None:
        """Send what is in the spool as fast as the endpoint takes it; afterwards what comes is passed on directly."""
        for piece in spool.pieces(EARLY_BYTES):
            self._write_body(connection, piece)
            if connection.is_write_paused:
                return
        self._is_spool_sent = True
        if self._is_request_done:
            self._end_body(connection)
        else:
            self._client.resume_reading()
            self._plane.watch_place(self, self._plane.clock.now())  # type: ignore[arg-type]  # an Exchange

    # --- its place in the limit ------------------------------------------------------------------

    def look_at_place(self, now: float) -> None:
        """Give the place back when the client holds the request up, or when the answer has become a stream."""
        if self._is_finished:
            return
        place = self._place
        if place is None:
            place = self._place = Place(self)  # type: ignore[arg-type]  # an Exchange
        if place.since:
            return
        if self._status:
            patience = max(LOOK, USUAL * self._rule.gate.latency)
            if self._client.is_write_paused or now >= self._answered_at + patience:
                self._give_place_back(now)
                return
        elif self._is_request_done:
            return
        else:
            connection = self._connection
            is_waited_for = connection is not None and not connection.is_write_paused
            if place.is_trickling(self._bytes_in) and is_waited_for:
                self._give_place_back(now)
                return
        self._plane.door.wheel.set(place, now + LOOK)

    def _give_place_back(self, now: float) -> None:
        """From here on the service does not work for this request, or it cannot be known that it does."""
        rule = self._rule
        place = self._place
        if place is None:
            place = self._place = Place(self)  # type: ignore[arg-type]  # an Exchange
        if place.since:
            return
        place.since = now
        rule.upstream_counters.enter_stream(now)
        endpoint = self._endpoint
        if endpoint is not None:
            endpoint.streams += 1
        sample = Sample(self._admitted_at, self._answered_at or now, self._in_flight_then, self.page.kind, NEUTRAL)
        place.is_counted = rule.gate.let_go(sample, now)

    def _take_place_back(self, place: Place, now: float) -> None:
        """The upload is complete: the service works for the request, whether the limit has room or not."""
        rule = self._rule
        rule.upstream_counters.leave_stream(now)
        place.seconds += now - place.since
        place.since = 0.0
        if self._endpoint is not None:
            self._endpoint.streams -= 1
        if place.is_counted:
            place.is_counted = False
            rule.gate.take_back(now, self.page.kind)
            self._admitted_at = now
            self._in_flight_then = rule.gate.in_flight

    def _write_body(self, connection: UpstreamConnection, payload: bytes) -> None:
        connection.write(payload if self._head.length >= 0 else encode_chunk(payload))

    def _end_body(self, connection: UpstreamConnection) -> None:
        """The client has sent everything: from here on the endpoint is waited for."""
        self._write_end(connection)
        endpoint = self._endpoint
        if endpoint is not None and not self._answered_at:
            now = self._plane.clock.now()
            if self._rule.endpoint_limits is not None:
                limits, before = self._rule.endpoint_limits, self._attempt_at
                limits.begin_again(endpoint.url, before, now, self._attempt_n, self.page.kind)
            self._attempt_at = now
            endpoint.breaker.sent(self._token, now)

    def _write_end(self, connection: UpstreamConnection) -> None:
        if self._head.length < 0:
            connection.write(LAST_CHUNK)
        connection.end_request()

    def _bound_replay(self) -> None:
        """What was written once is kept only if it may be written again, and is not too much."""
        if self._early_size > EARLY_BYTES or self._head.method not in IDEMPOTENT:
            self._early = None
            self._is_body_lost = True

    # --- an attempt fails ------------------------------------------------------------------------

    @property
    def _is_repeatable(self) -> bool:
        """Whether the request may be sent again although it may have been received, and can be."""
        return self._head.method in IDEMPOTENT and not self._is_body_lost

    def _ask_anew(self) -> None:
        """Ask the same endpoint again, on a new connection: the kept one was closed before the request was seen."""
        endpoint: Endpoint = self._endpoint  # type: ignore[assignment]  # an attempt has just ended
        now = self._plane.clock.now()
        self._end_attempt(NEUTRAL, now)
        if endpoint.breaker.can_pass(now):
            self._ask(endpoint, now, None)
        else:
            self._again(UpstreamFailed("upstream_closed"), 0.0, now)

    def _fail_attempt(self, error: UpstreamFailed) -> None:
        """Try again if that cannot do a thing twice, or tell the client."""
        now = self._plane.clock.now()
        if self._endpoint is not None:
            self._endpoint.note_failure(error, now)
            self._tried = (*self._tried, self._endpoint)
            self._end_attempt(self._outcome(self._status, error.reason, now), now, reason=error.reason)
        if self._is_finished:
            return
        if self._status:
            self._client.abort()
            self._finish(self._status, error.reason, detail=error.detail)
        elif self._hedge is None or not self._hedge.is_under_way:  # else it may still save the request
            self._again(error, 0.0, now)

    def _is_as_good_as_none(self, head: ResponseHead, now: float, *, is_complete: bool) -> bool:
        """Whether an answer of 5xx is not passed on, because another endpoint is asked instead."""
        endpoint = self._endpoint
        if endpoint is None:
            return False
        asked_for = retry_after(head)
        is_asked = head.status == UNAVAILABLE and asked_for > 0
        if is_asked:
            endpoint.breaker.retry_after(asked_for, now, self.page)
        is_replaced = self._is_replaced(head, asked_for, now, endpoint, is_complete=is_complete)
        if is_asked and not is_replaced:  # else the page may be well elsewhere
            self._rule.breakers.retry_after(self.page, asked_for, now)
        return is_replaced

    def _is_replaced(
        self, head: ResponseHead, asked_for: float, now: float, endpoint: Endpoint, *, is_complete: bool
    ) -> bool:
        """Ask another endpoint instead, if that is safe and affordable and may help."""
        rule = self._rule
        fault = rule.recovery.fault(head.status, asked_for, self._client.out_of_time_at - now)
        if fault is None or not self._is_repeatable or self._head.upgrade:
            return False
        is_hedged = self._hedge is not None and self._hedge.is_under_way
        error, pause = fault
        delay = None
        if not is_hedged:
            if not rule.group.has_other((*self._tried, endpoint), now):
                return False
            delay = self._delay(error, pause, now)
            if delay is None:
                return False
        connection = self._connection
        self._connection = None
        if connection is not None and not is_complete:
            connection.abort()
        self._tried = (*self._tried, endpoint)
        self._end_attempt(FAILURE, now, head.status)
        if delay is not None:  # else the second attempt, which is under way, decides
            self._begin_again(delay, error, now)
        return True

    def _again(self, error: UpstreamFailed, pause: float, now: float) -> None:
        """Begin another attempt, now or later, if that is safe and affordable; else tell the client."""
        delay = self._delay(error, pause, now)
        if delay is None:
            self._refuse(error)
        else:
            self._begin_again(delay, error, now)

    def _delay(self, error: UpstreamFailed, pause: float, now: float) -> float | None:
        """Seconds until the next attempt; None when there shall be none."""
        rule = self._rule
        repeats = self._repeats
        if repeats is None:
            repeats = self._repeats = rule.recovery.begin()
        delay = repeats.after(
            error,
            is_repeatable=error.is_unsent or self._is_repeatable,
            remaining=self._client.out_of_time_at - now,
            now=now,
            at_least=pause,
            is_elsewhere=error.is_unsent and rule.group.has_other(self._tried, now),
        )
        if delay is None:
            rule.upstream_counters.count_denied(repeats.verdict)
        return delay

    def _begin_again(self, delay: float, error: UpstreamFailed, now: float) -> None:
        rule = self._rule
        rule.upstream_counters.count_retry(error.reason)
        if delay > 0:
            self._pause = self._plane.call_later(delay, self._after_pause, error)
            return
        try:
            self._dispatch(rule, now)
        except Shed:  # nobody is left to ask: the last failure says more
            rule.upstream_counters.shed_again += 1
            self._refuse(error)

    def _after_pause(self, error: UpstreamFailed) -> None:
        self._pause = None
        try:
            self._dispatch(self._rule, self._plane.clock.now())
        except Shed:
            self._rule.upstream_counters.shed_again += 1
            self._refuse(error)

    def _outcome(self, status: int, reason: str, now: float) -> Outcome:
        """What the end of the request, or of its attempt, says of the upstream: nothing, where the client caused it."""
        outcome = outcome_of(status, reason)
        if outcome is not Outcome.TIMEOUT:
            return outcome
        if reason == "request_timeout":
            return outcome if self._is_overdue(now) else NEUTRAL
        if reason == "upstream_idle_timeout" and self._status:
            # a stream may be quiet for as long as it likes; that it is cut is our doing
            return NEUTRAL if self._is_stream or not self.page.is_known_to_end else outcome
        return outcome

    def _is_overdue(self, now: float) -> bool:
        """Whether the time was up for want of an answer, and not because the client or a queue had left too little."""
        if self._endpoint is None or not self._is_request_done:
            return False
        age = now - self._attempt_at
        if age >= self.page.hangs_after:
            return True
        timeout = self._rule.timeout
        return now - self._started_at >= timeout and age >= timeout / 2

    def stuck_for(self, now: float) -> float:
        """Seconds that its answer is under way, when that is longer than answers of its page ever take; else 0."""
        if self._is_stream or self._was_held_up or not self._is_request_done:
            return 0.0
        age = now - self._attempt_at
        return age if age >= self.page.stuck_after else 0.0

    def _end_attempt(self, outcome: Outcome, now: float, status: int = 0, reason: str = "") -> None:
        """Give back what the attempt held, and tell its endpoint what it has shown."""
        endpoint = self._endpoint
        if endpoint is None:
            return
        self._endpoint = None
        self._last_endpoint = endpoint
        began_at = self._attempt_at
        answered_at = self._answered_at
        rule = self._rule
        if rule.endpoint_limits is not None:
            sample = Sample(began_at, answered_at or now, self._attempt_n, self.page.kind, outcome)
            change = rule.endpoint_limits.teach(endpoint.url, sample)
            if change is not None:
                rule.gate.note(change)
        endpoint.in_flight -= 1
        if self._place is not None and self._place.since:
            endpoint.streams -= 1
        took = (answered_at or now) - began_at
        if outcome is SUCCESS:
            page: Page = self._head.plan.page
            if self._is_request_done:  # else it was answered early, which says nothing of how long it takes
                page.note(took, now)
            endpoint.breaker.report(self._token, outcome, took, now)
            if rule.breakers.is_active:
                rule.breakers.note_attempt(now, is_failure=False)
            rule.upstream_counters.good_attempts += 1
            if endpoint.has_peers:
                page.complete(now - began_at)
                endpoint.learn(outcome, took, now, now - began_at)
            elif not page.is_known_to_end:
                page.complete(now - began_at)
            return
        self._end_bad_attempt(endpoint, outcome, took, now, status=status, reason=reason)

    def _end_bad_attempt(  # noqa: PLR0913 - what is known of it
        self, endpoint: Endpoint, outcome: Outcome, took: float, now: float, *, status: int, reason: str
    ) -> None:
        rule = self._rule
        is_whole = reason in WITHOUT_CONNECTION
        counted = outcome if outcome is NEUTRAL else self._counted(outcome, status, reason)
        endpoint.breaker.report(self._token, counted, took, now, is_whole=is_whole)
        if counted is not NEUTRAL and not is_whole:
            rule.breakers.note_attempt(now, is_failure=counted is not SUCCESS)
        rule.upstream_counters.count_bad_attempt(outcome)
        if endpoint.has_peers:
            endpoint.learn(outcome, took, now)
            if self._status and outcome is NEUTRAL:
                if self.stuck_for(now):
                    endpoint.standing.abandon(now - self._attempt_at, now)
            elif self._status:
                endpoint.standing.is_breaking = True

    def _counted(self, outcome: Outcome, status: int, reason: str) -> Outcome:
        """The same for breakers, which count only what they are set to: another answer is an answer."""
        if self._rule.failures.count(status or self._status, reason):
            return outcome
        return NEUTRAL if reason else SUCCESS

    def on_endpoint_lost(self) -> None:
        """The endpoint hangs: go elsewhere instead of waiting, if that is safe and this very request is overdue."""
        rule = self._rule
        connection = self._connection
        now = self._plane.clock.now()
        if connection is None or not self._is_repeatable or self._endpoint is None or not self._is_request_done:
            return
        if self._attempts >= rule.recovery.attempts:
            return
        if now - self._attempt_at < self.page.hangs_after:
            return
        if not rule.group.has_other((*self._tried, self._endpoint), now):
            return
        connection.abort()
        self._connection = None
        self._fail_attempt(UpstreamFailed("upstream_head_timeout", "its endpoint hangs"))

    # --- a second attempt beside the first -------------------------------------------------------

    def hedge_endpoint(self, now: float) -> Endpoint | None:
        """Who may be asked beside the first; None when nobody may, or the budget is used up. Asking spends."""
        rule = self._rule
        if self._status or self._endpoint is None:
            return None
        endpoint = rule.group.pick((self._endpoint,), "", now)
        if endpoint is None or not rule.recovery.budget.withdraw(now):
            return None
        self._attempts += 1
        return endpoint

    def send_hedge(self, hedge: Hedge, connection: UpstreamConnection, endpoint: Endpoint, now: float) -> None:
        """Send the request a second time."""
        plan: RequestPlan = self._head.plan
        raw = plan.compose(self._client, self.request_id, endpoint, now, self._attempts)
        connection.begin(hedge, self._head.method, raw, now, is_request_done=True, times=self._rule.times)

    def adopt(self, connection: UpstreamConnection, endpoint: Endpoint, token: int, began_at: float) -> None:
        """The hedge answers first: its attempt is ours from now on, and ours is given up."""
        hedge, self._hedge = self._hedge, None
        now = self._plane.clock.now()
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        if self._connection is not None:
            self._connection.abort()
        if self._endpoint is not None:
            self._endpoint.standing.lag(now - self._attempt_at, now)
        self._end_attempt(NEUTRAL, now)
        self._connection = None
        self._endpoint = endpoint
        self._token = token
        self._attempt_at = began_at
        if hedge is not None:
            if connection.carries(hedge):  # else its whole answer is here, and it may serve somebody else already
                self._connection = connection
                connection.hand_over(self)  # type: ignore[arg-type]  # an Exchange
            self._rule.upstream_counters.count_hedge("hedge")

    def on_hedge_failed(self, outcome: Outcome) -> None:
        """The second attempt came to nothing; when the first has failed too, nobody is left."""
        rule = self._rule
        self._hedge = None
        rule.upstream_counters.count_bad_attempt(outcome)
        rule.upstream_counters.count_hedge("nobody" if self._endpoint is None else "first")
        if self._endpoint is None and not self._is_finished:
            self._again(UpstreamFailed("upstream_closed"), 0.0, self._plane.clock.now())

    def _end_hedge(self) -> None:
        """The first attempt has answered, or the request is over."""
        hedge, self._hedge = self._hedge, None
        if hedge is not None:
            if hedge.is_under_way:
                counters = self._rule.upstream_counters
                counters.count_hedge("first")
                counters.count_bad_attempt(NEUTRAL)
            hedge.cancel()
