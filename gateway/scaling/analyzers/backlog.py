"""Backlog: a queue is a stock, so it is drained in a time of its own instead of being served at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.scaling.analyzers.demand import replicas_for
from gateway.scaling.vote import Vote

if TYPE_CHECKING:
    from gateway.signals.signals import Signals


def backlog(signals: Signals) -> Vote | None:
    """Replicas for the load and what drains the queue within a second; None when nothing is queued."""
    if signals.queued < 1:
        return None
    slots = signals.load_slots + signals.spare_slots + signals.backlog_slots
    return Vote("backlog", replicas_for(slots, signals.slots_per_replica), "queue")
