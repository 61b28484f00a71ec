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
from gateway.telemetry.counters import Decision

if TYPE_CHECKING:
    from random import Random

    from gateway.admission.classes import TrafficClass
    from gateway.admission.rate_gate import RateRefusal
    from gateway.admission.settings import Mode
    from gateway.core.clock import Clock
    from gateway.proxy.rule import RouteRule

_MOST: Final = 200
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

    def _note(self, rule: RouteRule, traffic_class: TrafficClass, refusal: Refusal, mode: Mode) -> tuple[str, int]:
        gate = rule.gate
        rule.upstream_counters.count_shed(traffic_class.name, refusal.reason, mode)
        name = f"upstreams.{rule.group.name}.{'limit' if refusal.reason == 'limit_reached' else 'queue'}"
        wait = retry_after(refusal.retry_after, self._rng)
        self._decisions.append(
            Decision(
                at=self._clock.wall(),
                route=rule.name,
                upstream=rule.group.name,
                traffic_class=traffic_class.name,
                reason=refusal.reason,
                mode=mode,
                rule=name,
                observed=refusal.observed,
                allowed=refusal.allowed,
                retry_after=wait,
                in_flight=gate.in_flight,
                limit=gate.limit.value,
                queued=gate.queue.count,
                drain_rate=gate.rate,
                latency=gate.latency,
            )
        )
        return name, wait

    def by_breaker(self, rule: RouteRule, now: float) -> Shed:
        """No endpoint may be asked now: all breakers are open, or there is none."""
        group = rule.group
        reason = "breaker_open" if group.endpoints else "no_endpoint"
        breakers = (group.breaker, *(one.breaker for one in group.endpoints))
        open_ = sum(not breaker.is_passing for breaker in breakers)
        refusal = Refusal(reason, open_, len(group.endpoints), group.retry_in(now))
        name = f"upstreams.{group.name}.{'breaker' if group.endpoints else 'endpoints'}"
        wait = retry_after(refusal.retry_after, self._rng)
        rule.upstream_counters.count_shed(rule.traffic_class.name, reason, "enforce")
        self._decisions.append(
            Decision(
                at=self._clock.wall(),
                route=rule.name,
                upstream=group.name,
                traffic_class=rule.traffic_class.name,
                reason=reason,
                mode="enforce",
                rule=name,
                observed=refusal.observed,
                allowed=refusal.allowed,
                retry_after=wait,
            )
        )
        return _shed(name, refusal, {"Retry-After": str(wait)})

    def by_quota(self, rule: RouteRule, refusal: RateRefusal, keys: list[str], now: float) -> Shed:
        """One of the route's rate limits turned the request away."""
        name = f"routes.{rule.name}.rate_limits.{refusal.rule}"
        wait = retry_after(refusal.retry_after, self._rng)
        self._decisions.append(
            Decision(
                at=self._clock.wall(),
                route=rule.name,
                upstream=rule.group.name,
                traffic_class=rule.traffic_class.name,
                reason=refusal.reason,
                mode="enforce",
                rule=name,
                observed=refusal.observed,
                allowed=refusal.allowed,
                retry_after=wait,
            )
        )
        fields = {"Retry-After": str(wait), "RateLimit-Policy": rule.policy}
        if rule.rates is not None:
            fields["RateLimit"] = quota_field(rule.rates.quotas(keys, now))
        return _shed(name, refusal, fields)


def _shed(rule: str, refusal: Refusal | RateRefusal, fields: dict[str, str]) -> Shed:
    observed, allowed = round(refusal.observed, 3), round(refusal.allowed, 3)
    detail = _DETAILS[refusal.reason].format(observed, allowed)
    return Shed(refusal.reason, detail, fields, {"rule": rule, "observed": observed, "allowed": allowed})
