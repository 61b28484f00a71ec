"""How a refusal of ours is said: to the client, so that it can act; to the operator, with all that was known.

429 is the client's quota, 503 our capacity; they are never mixed. ``Retry-After`` comes from the quota or from
the drain rate, and is stretched at random, so that those refused together do not come back together.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from gateway.admission.rate_fields import quota_field, retry_after
from gateway.core.errors import Shed
from gateway.telemetry.counters import Decision

if TYPE_CHECKING:
    from random import Random

    from gateway.admission.classes import TrafficClass
    from gateway.admission.gate import Refusal
    from gateway.admission.rate_gate import RateRefusal
    from gateway.core.clock import Clock
    from gateway.proxy.rule import RouteRule

_MOST: Final = 200


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
        gate = rule.gate
        rule.upstream_counters.count_shed(traffic_class.name, refusal.reason, "enforce")
        name = f"upstreams.{rule.group.name}.queue"
        wait = retry_after(refusal.retry_after, self._rng)
        self._decisions.append(
            Decision(
                at=self._clock.wall(),
                route=rule.name,
                upstream=rule.group.name,
                traffic_class=traffic_class.name,
                reason=refusal.reason,
                mode="enforce",
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
    return Shed(refusal.reason, "", fields, {"rule": rule, "observed": observed, "allowed": allowed})
