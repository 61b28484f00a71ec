"""Demand: the offered load, what chance needs beside it, and how much the load usually grows in one lead time."""

from __future__ import annotations

from math import ceil, hypot
from typing import TYPE_CHECKING, Final

from gateway.scaling.vote import Vote

if TYPE_CHECKING:
    from gateway.signals.signals import Signals

CAP: Final = 0.13
"""Of the load: after a surge the usual growth remembers it, and more than this would be the surge once again."""
SURGE: Final = 1.3
"""A surge is answered with more than its slope promises: what is too much goes soon, what is missing is late."""
STEEP: Final = 0.55
"""Of the load: a climb that brings less in a lead time has no vote, because most of them end before a replica is ready.
Autoscalers that look every 15 s are told of smaller ones (:mod:`gateway.signals.growth`); we look every 5 s."""
_EDGE: Final = 0.02
"""Replicas: a need that is above a whole number by less is noise, not a replica."""


def demand_slots(signals: Signals) -> float:
    """Slots for the present load without the headroom that is published for other autoscalers."""
    load = signals.load_slots
    usual = min(signals.growth_slots, CAP * load)
    surge = signals.surge_slots if signals.surge_slots > STEEP * load else 0.0
    return load + hypot(signals.spare_slots, usual, SURGE * surge)


def replicas_for(slots: float, each: float) -> int:
    """Whole replicas for so many slots; ``each`` is K, above 0."""
    return ceil(slots / each - _EDGE)


def demand(signals: Signals) -> Vote:
    """Replicas for λ·S + √(spare² + growth²)."""
    wanted = replicas_for(demand_slots(signals), signals.slots_per_replica)
    return Vote("demand", wanted, "load_grows" if signals.surge_slots > signals.spare_slots else "load")
