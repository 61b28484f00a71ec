"""Our own policy: the meter and the scaler of the gateway, unchanged, under virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.scaling.scaler import TICK, Scaler
from gateway.signals.meter import Meter, Objective

if TYPE_CHECKING:
    from gateway.scaling.decision import Decision
    from gateway.scaling.settings import ScalingSettings
    from gateway.signals.signals import Signals
    from gateway.simulate.scaling.world import World


def objective(settings: ScalingSettings) -> Objective:
    """What the meter must know of the settings."""
    return Objective(
        wait=float(settings.slo.wait),
        objective=settings.slo.objective,
        cold_start=float(settings.cold_start),
        slots=float(settings.slots),
        replica_hour=settings.price.replica_hour,
    )


class Ours:
    """One look, one step, one decision every five seconds."""

    period = TICK

    def __init__(self, settings: ScalingSettings) -> None:
        self.meter = Meter(objective(settings))
        self.scaler = Scaler(settings, "simulated")
        self.decisions: list[Decision] = []
        self.signals: Signals | None = None

    def desired(self, world: World) -> int | None:
        """What the scaler decides; None when it holds."""
        now = float(world.now)
        self.signals = self.meter.observe(world.reading(), now)
        decision = self.scaler.step(self.signals, now)
        if decision is None:
            return None
        self.decisions.append(decision)
        return decision.after
