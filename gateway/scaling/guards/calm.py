"""The guard of scale-in: only from a calm target, on fresh and complete numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.scaling.guards.plan import Change

if TYPE_CHECKING:
    from gateway.scaling.guards.plan import Facts, Plan

DRAINING: Final = 0.25
"""Of the ready replicas; with more draining, the effect of the last scale-in is not seen yet."""
STALE_TICKS: Final = 3
_QUEUE_SECONDS: Final = 0.1
"""A queue that is gone in less is the foam of chance, not a queue."""


def calm(plan: Plan, facts: Facts) -> Change:
    """No scale-in while anything speaks against it; while signals are invalid, the fallback if it is higher."""
    signals = facts.signals
    fallback = facts.settings.fallback
    if not signals.signal_valid and fallback is not None and fallback > max(plan.current, plan.target):
        return Change(min(fallback, facts.settings.max), "fallback")
    if not signals.signal_valid or signals.signal_age_s > STALE_TICKS * facts.tick:
        # old numbers are no reason for anything but staying
        return Change(plan.current, "stale") if plan.target != plan.current else Change(plan.target, "")
    if plan.target >= plan.current:
        return Change(plan.target, "")
    reason = _objection(facts)
    return Change(plan.current, reason) if reason else Change(plan.target, "")


def _objection(facts: Facts) -> str:
    signals = facts.signals
    if not facts.has_window:
        return "start_up"
    if facts.is_burning:
        return "slo_burn"
    if signals.breaker_open:
        return "breaker_open"
    if signals.queued >= 1 and signals.time_to_drain_s > _QUEUE_SECONDS:
        return "queue"
    if signals.replicas.draining > DRAINING * max(signals.replicas.ready, 1):
        return "draining"
    return ""
