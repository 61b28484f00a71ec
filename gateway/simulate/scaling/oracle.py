"""What could have been: in each window the fewest replicas that its mean rate needs, known ahead, changed for free."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from gateway.signals.staffing import slots_needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.simulate.scaling.world import Site

WINDOW: Final = 10


def needed(rates: Sequence[float], site: Site) -> list[int]:
    """Replicas in each second: the least n with P(W > w) ≤ ``site.risk`` at the mean rate of its 10 s window.

    The bounds of the site are not asked.
    """
    found: list[int] = []
    for begin in range(0, len(rates), WINDOW):
        part = rates[begin : begin + WINDOW]
        load = sum(part) / len(part) * site.work.mean
        slots = slots_needed(load, site.wait / site.work.mean, site.risk)
        found += [ceil(slots / site.slots - 1e-9)] * len(part)
    return found
