"""Which scaling settings hold for an upstream (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from gateway.scaling.settings import ActuatorSettings, ScalingSettings
from gateway.signals.meter import Objective

if TYPE_CHECKING:
    from gateway.config.settings import Upstream
    from gateway.scaling.settings import Mode

_POOL: Final = ActuatorSettings(kind="pool")


def in_force(upstream: Upstream) -> ScalingSettings:
    """The upstream's own; without any, a pool with room follows demand, and everything else has signals only.

    A pool carries its own decisions out unless another actuator is named, and its bounds hold beside those of the
    scaling table: the narrower ones count.
    """
    scaling, pool = upstream.scaling, upstream.pool
    if pool is None:
        return scaling or ScalingSettings(mode="off")
    if scaling is None:
        mode: Mode = "live" if pool.most > pool.min else "off"
        return ScalingSettings(mode=mode, min=pool.min, max=pool.most, actuator=_POOL)
    most = min(scaling.max, pool.most)
    return replace(scaling, min=min(max(scaling.min, pool.min), most), max=most, actuator=_POOL)


def objective(settings: ScalingSettings) -> Objective:
    """What the meter must know of the settings."""
    return Objective(
        wait=float(settings.slo.wait),
        objective=settings.slo.objective,
        cold_start=float(settings.cold_start),
        slots=float(settings.slots),
        replica_hour=settings.price.replica_hour,
    )
