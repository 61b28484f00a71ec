"""Carries out nothing: whoever reads the signals scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.actuators.belief import Belief

if TYPE_CHECKING:
    from gateway.actuators.actuator import View
    from gateway.core.clock import Clock
    from gateway.scaling.decision import Decision
    from gateway.signals.reading import Replicas


class Publish:
    """Takes every decision as published, and nothing fails."""

    def __init__(self, clock: Clock) -> None:
        self._belief = Belief(clock)

    @property
    def view(self) -> View:
        """What was told last; without that, what was decided last."""
        return self._belief.view

    def start(self) -> None:
        """Nothing to watch."""

    def tell(self, replicas: Replicas) -> None:
        """So many replicas there are now."""
        self._belief.tell(replicas)

    async def apply(self, decision: Decision) -> None:
        """Remember what was wanted."""
        self._belief.carried_out(decision.after)

    async def stop(self) -> None:
        """Nothing to end."""

    def __repr__(self) -> str:
        return f"<Publish {self._belief}>"
