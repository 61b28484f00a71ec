"""Cost: how many replicas the hourly budget pays for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.scaling.vote import Vote

if TYPE_CHECKING:
    from gateway.scaling.settings import PriceSettings

_MOST: Final = 1e9
"""Replicas; a price may be as small as a float can be."""


def cost(price: PriceSettings, standby: int) -> Vote | None:
    """The ceiling that the budget sets after standby replicas are paid; None without a price or a budget."""
    if price.budget_hour is None or price.replica_hour <= 0:
        return None
    affordable = int(min(price.budget_hour / price.replica_hour, _MOST) + 1e-9) - standby
    return Vote("cost", max(affordable, 0), "budget", "ceiling")
