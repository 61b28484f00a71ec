"""How a request comes in: its route, its deadline, its client's quotas, the gate.

begin -> match route -> deadline -> quotas -> gate: admitted | queued | shed
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from gateway.core.errors import DeadlineExceeded, GatewayError
from gateway.http.spool import Spool
from gateway.proxy.attempts import EARLY_BYTES
from gateway.proxy.ending import Ending
from gateway.proxy.plan import RequestPlan, plan_request
from gateway.proxy.waiting import Waiting

if TYPE_CHECKING:
    from gateway.admission.rate_gate import RateGate
    from gateway.proxy.rule import RouteRule

# Where nobody waits, a request was refused for one of these because there is no queue.
_NO_QUEUE: Final = frozenset({"limit_reached", "queue_full"})


class Entrance(Ending):
    """Lets one request in, or tells its client why not."""

    __slots__ = ()

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
                self._refuse(plan.refusal)  # not raised: a kept exception would keep the frames of every raise
                return
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
            if self._has_body and self._is_to_wait_for_body(rule):
                self._awaits_body = True
            else:
                self._enter(rule, now)
        except GatewayError as error:
            self._refuse(error)

    def _is_to_wait_for_body(self, rule: RouteRule) -> bool:
        """Whether the body is read before the request asks for a place: small ones, and those that the route buffers.

        A client that expects 100-continue sends nothing before it is admitted; unless the route buffers.
        """
        head = self._head
        if rule.body_limit != self._plane.body_limit:
            self._client.limit_body(rule.body_limit)
        if rule.buffer:
            self._spool = Spool(EARLY_BYTES)
            if head.expects_continue:
                self._client.ask_for_body()
            return True
        return 0 < head.length <= EARLY_BYTES and not head.expects_continue

    def _enter_late(self) -> None:
        """The body is here, or as much of it as is waited for."""
        self._awaits_body = False
        try:
            self._enter(self._rule, self._plane.clock.now())
        except GatewayError as error:
            self._refuse(error)

    def _take_into_spool(self, spool: Spool, payload: bytes) -> None:
        """Keep payload until it can be sent, and while it may have to be sent again."""
        connection = self._connection
        if self._is_spool_sent and connection is not None and connection.carries(self):  # type: ignore[arg-type]  # an Exchange
            self._is_body_lost = True  # it is longer than what is kept
            self._write_body(connection, payload)
            return
        if self._status or self._is_body_lost:
            return
        spool.append(payload)
        if spool.size > self._rule.buffer or spool.is_broken:
            self._client.pause_reading()
            if self._awaits_body:
                self._enter_late()

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
            client = "" if rates.is_of_head else self._client.key(head)
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
        kind = self._head.plan.page.kind
        if rule.group.is_shut and not rule.group.can_pass(now):
            raise self._plane.sheds.by_breaker(rule, now)
        if rule.breakers.is_barring and not rule.breakers.can_pass(self._head.plan.page, now):
            raise self._plane.sheds.by_route(rule, self._head.plan.page, now)
        traffic_class = rule.traffic_class
        if rule.chooser is not None:
            traffic_class = rule.chooser.choose(self._head.headers, is_trusted=self._client.is_trusted)
        if gate.try_admit(now, kind):
            rule.upstream_counters.admit_at_once(traffic_class.name)
            self._admitted_at = now
            self._in_flight_then = gate.in_flight
            self._dispatch(rule, now)
            return
        shadow = None if rule.group.is_vacant else gate.let_pass()
        if shadow is not None:
            self._plane.sheds.in_shadow(rule, traffic_class, shadow)
            rule.upstream_counters.admit_at_once(traffic_class.name)
            self._admitted_at = now
            self._in_flight_then = gate.in_flight
            self._dispatch(rule, now)
            return
        length = self._head.length
        ticket = Waiting(
            self,
            traffic_class,
            arrived_at=now,
            kind=kind,
            key=self._fairness_key(rule),
            deadline=self._client.out_of_time_at,
            cost=gate.latency,
            size=EARLY_BYTES if length < 0 else min(length, EARLY_BYTES),
        )
        refusal = gate.enqueue(ticket, now)
        if refusal is not None:
            if rule.group.is_vacant and refusal.reason in _NO_QUEUE and not gate.queue.count:
                raise self._plane.sheds.by_breaker(rule, now)  # there is no place to wait in
            if not gate.keep_aside(ticket, refusal.reason):
                raise self._plane.sheds.by_gate(rule, traffic_class, refusal)
            self._plane.sheds.in_shadow(rule, traffic_class, refusal)
        self._ticket = ticket
        rule.upstream_counters.waiting.enter(now)
        rule.group.wake()  # who waits is looked at

    def _fairness_key(self, rule: RouteRule) -> str:
        reader = rule.fairness
        if reader is None:
            return rule.flow
        head = self._head
        plan: RequestPlan = head.plan
        return reader.read(self._client.key(head), head.headers, plan.parameters)

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
