"""The gateway itself: when it is what is full, more replicas behind it serve nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.scaling.vote import Vote

if TYPE_CHECKING:
    from gateway.signals.signals import Signals

FULL: Final = 0.9
"""Of its event loop, memory or descriptors: where its own protection is at its strictest."""
_IDLE: Final = 0.7


def strain(signals: Signals) -> Vote | None:
    """A ceiling at what there is; None while the gateway has room or the replicas are busy."""
    if signals.gateway_strain < FULL or signals.utilization >= _IDLE:
        return None
    return Vote("gateway", signals.replicas.ready + signals.replicas.warming, "gateway_full", "ceiling")
