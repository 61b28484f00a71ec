"""How a refusal of ours is said: to the client, so that it can act; to the operator, with all that was known.

429 is the client's quota, 503 our capacity; they are never mixed. ``Retry-After`` comes from the quota or from
the drain rate, and is stretched at random, so that those refused together do not come back together.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from gateway.admission.gate import Refusal
from gateway.admission.rate_fields import quota_field, retry_after
from gateway.core.errors import Shed
from gateway.telemetry.snapshot import Decision

if TYPE_CHECKING:
    from random import Random

    from gateway.admission.classes import TrafficClass
    from gateway.admission.rate_gate import RateRefusal
    from gateway.admission.settings import Mode
    from gateway.core.clock import Clock
    from gateway.proxy.rule import RouteRule
    from gateway.resilience.page import Page

_MOST: Final = 200
# The table that made a decision, where it is not the queue.
_TABLES: Final = {"limit_reached": "limit", "breaker_open": "breaker", "no_endpoint": "endpoints"}
# What the two numbers of a refusal are.
_DETAILS: Final = {
    "rate_limited": "{0:g} requests at once with this one; at most {1:g} may be",
    "limit_reached": "{0:g} requests are in flight; at most {1:g} may be",
    "queue_full": "{0:g} requests wait; at most {1:g} may",
    "queue_bytes_full": "{0:.0f} bytes would wait; at most {1:.0f} may",
    "queue_share_full": "{0:g} requests of this class wait; at most {1:g} may",
    "evicted": "{0:g} requests wait; at most {1:g} may",
    "queue_delay": "waited {0:g} s; at most {1:g} s are useful while the queue stands",
    "queue_timeout": "waited {0:g} s; at most {1:g} s are allowed",
    "deadline_unreachable": "an answer is expected in {0:g} s; it is due in {1:g} s",
    "breaker_open": "of {1:g} endpoints none may be asked; {0:g} breakers are not closed",
    "no_endpoint": "the upstream has no endpoint now",
    "self_protection": "the class is of band {0:g}; bands up to {1:g} may wait",
}

_OF_ROUTE: Final = "of {1:g} breakers of the route and its pages {0:g} are not closed"


class Sheds:
    """Makes refusals, counts them, and keeps the newest decisions until they are taken."""

    __slots__ = ("_clock", "_decisions", "_rng")

    def __init__(self, clock: Clock, rng: Random) -> None:
        self._clock = clock
        self._rng = rng
        self._decisions: deque[Decision] = deque(maxlen=_MOST)

    def take(self) -> tuple[Decision, ...]:
        """The decisions since the last call, oldest first; the newest ones when there were too many."""
        taken = tuple(self._decisions)
        self._decisions.clear()
        return taken

    def by_gate(self, rule: RouteRule, traffic_class: TrafficClass, refusal: Refusal) -> Shed:
        """The upstream's gate turned the request away."""
        name, wait = self._note(rule, traffic_class, refusal, "enforce")
        return _shed(name, refusal, {"Retry-After": str(wait)})

    def in_shadow(self, rule: RouteRule, traffic_class: TrafficClass, refusal: Refusal) -> None:
        """A limit or queue in shadow would have made the request wait, or turned it away."""
        self._note(rule, traffic_class, refusal, "shadow")

    def by_breaker(self, rule: RouteRule, now: float) -> Shed:
        """No endpoint may be asked now: all breakers are open, or there is none."""
        group = rule.group
        reason = "breaker_open" if group.endpoints and not group.is_vacant else "no_endpoint"
        refusal = Refusal(reason, group.not_passing, len(group.endpoints), group.retry_in(now))
        name, wait = self._note(rule, rule.traffic_class, refusal, "enforce")
        return _shed(name, refusal, {"Retry-After": str(wait)})

    def by_route(self, rule: RouteRule, page: Page, now: float) -> Shed:
        """The route or one of its pages fails by itself, and is not asked for a while."""
        breakers = [breaker for _, breaker in rule.breakers.breakers()]
        closed = sum(breaker.is_passing for breaker in breakers)
        refusal = Refusal("breaker_open", len(breakers) - closed, len(breakers), rule.breakers.retry_in(page, now))
        name, wait = self._note(rule, rule.traffic_class, refusal, "enforce")
        return _shed(name, refusal, {"Retry-After": str(wait)}, _OF_ROUTE)

    def by_quota(self, rule: RouteRule, refusal: RateRefusal, keys: list[str], now: float) -> Shed:
        """One of the route's rate limits turned the request away."""
        name = f"routes.{rule.name}.rate_limits.{refusal.rule}"
        decision = self._keep(rule, rule.traffic_class, refusal, "enforce", name)
        fields = {"Retry-After": str(decision.retry_after), "RateLimit-Policy": rule.policy}
        if rule.rates is not None:
            fields["RateLimit"] = quota_field(rule.rates.quotas(keys, now))
        return _shed(name, refusal, fields)

    def _note(self, rule: RouteRule, traffic_class: TrafficClass, refusal: Refusal, mode: Mode) -> tuple[str, int]:
        """Count and keep what stands before the upstream has decided; the rule's name, and when to come back."""
        gate = rule.gate
        rule.upstream_counters.count_shed(traffic_class.name, refusal.reason, mode)
        name = f"upstreams.{rule.group.name}.{_TABLES.get(refusal.reason, 'queue')}"
        decision = self._keep(rule, traffic_class, refusal, mode, name)
        decision.in_flight = gate.in_flight
        decision.limit = gate.limit.value
        decision.queued = gate.queue.count
        decision.drain_rate = gate.rate
        decision.latency = gate.latency
        return name, decision.retry_after

    def _keep(
        self, rule: RouteRule, traffic_class: TrafficClass, refusal: Refusal | RateRefusal, mode: Mode, name: str
    ) -> Decision:
        decision = Decision(
            at=self._clock.wall(),
            route=rule.name,
            upstream=rule.group.name,
            traffic_class=traffic_class.name,
            reason=refusal.reason,
            mode=mode,
            rule=name,
            observed=refusal.observed,
            allowed=refusal.allowed,
            retry_after=retry_after(refusal.retry_after, self._rng),
        )
        self._decisions.append(decision)
        return decision


class _Number(float):
    """A number in words for people: whole where it is whole, never in powers of ten, no digit too few."""

    __slots__ = ()

    def __format__(self, form: str) -> str:
        if form not in {"", "g"}:
            return super().__format__(form)
        return f"{float(self):.3f}".rstrip("0").rstrip(".")


def _shed(rule: str, refusal: Refusal | RateRefusal, fields: dict[str, str], said: str = "") -> Shed:
    observed, allowed = round(refusal.observed, 3), round(refusal.allowed, 3)
    detail = (said or _DETAILS[refusal.reason]).format(_Number(observed), _Number(allowed))
    return Shed(refusal.reason, detail, fields, {"rule": rule, "observed": observed, "allowed": allowed})
