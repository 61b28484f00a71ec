"""SLO burn: the objective is being missed although the model says that there is enough, so the model is wrong.

Two windows must agree (SRE workbook, ch. 5), scaled to the time of scaling: a minute says that it matters, five
seconds that it is still going on. One step is tried, and the next only when the last one is ready.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from gateway.scaling.vote import Vote

if TYPE_CHECKING:
    from gateway.signals.signals import Signals

FAST_BURN: Final = 14.4
"""Of the budget: at this rate a month's is gone in two days (SRE workbook, table 5-2)."""
SLOW_BURN: Final = 6.0
_STEP: Final = 0.1
_LONG: Final = 5.0
"""Seconds: an answer after a longer service says nothing of the last five seconds."""
_FREE: Final = 0.8


def is_burning(signals: Signals) -> bool:
    """Whether the objective is being missed, by either pair of windows."""
    if is_past(signals):
        return False
    fast = signals.slo_burn_60s >= FAST_BURN and signals.slo_burn_5s >= FAST_BURN
    return fast or (signals.slo_burn_600s >= SLOW_BURN and signals.slo_burn_60s >= SLOW_BURN)


def is_past(signals: Signals) -> bool:
    """Whether what burns is of the past: long services end late, and now nobody waits and slots are free."""
    return signals.service_time_s > _LONG and signals.queued < 1 and signals.utilization < _FREE


def burn(signals: Signals, current: int) -> Vote | None:
    """A tenth more, one at least; None while nothing burns or what was asked for is still coming."""
    if signals.replicas.warming or signals.replicas.ready < current or not is_burning(signals):
        return None
    if signals.slo_burn_5s < FAST_BURN:
        return None
    return Vote("burn", current + max(1, ceil(current * _STEP)), "slo_burn")
