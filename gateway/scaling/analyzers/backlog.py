"""Backlog: a queue is a stock, so it is drained in a time of its own instead of being served at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.scaling.analyzers.demand import replicas_for
from gateway.scaling.vote import Vote
from gateway.signals.staffing import backlog_slots

if TYPE_CHECKING:
    from gateway.signals.signals import Signals


def backlog(signals: Signals, drain: float) -> Vote | None:
    """Replicas for the load and what drains the queue in ``drain`` seconds; None when nothing is queued."""
    if signals.queued < 1:
        return None
    slots = signals.load_slots + signals.spare_slots + backlog_slots(signals.queued, signals.service_time_s, drain)
    return Vote("backlog", replicas_for(slots, signals.slots_per_replica), "queue")
