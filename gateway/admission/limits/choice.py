"""From what the operator says to a limit."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.limits.aimd import Aimd
from gateway.admission.limits.fixed import Fixed
from gateway.admission.limits.gradient import Gradient
from gateway.admission.limits.vegas import Vegas

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admission.limit_settings import Limit as LimitSettings
    from gateway.admission.limits.limit import Limit

_LEARNING: Final[dict[str, Callable[[int, int, int], Limit]]] = {
    "adaptive": Adaptive,
    "aimd": Aimd,
    "vegas": Vegas,
    "gradient": Gradient,
}


def make_limit(settings: LimitSettings, part: float = 1.0) -> Limit:
    """The limit that the settings describe, at its start; ``part`` is this worker's share of it, in (0, 1].

    Shares are rounded up: no worker is left without a place.
    """
    low = ceil(settings.min * part)
    high = max(low, ceil(settings.max * part))
    initial = ceil(settings.initial * part)
    if settings.kind == "fixed":
        return Fixed(initial)
    return _LEARNING[settings.kind](max(low, min(high, initial)), low, high)
