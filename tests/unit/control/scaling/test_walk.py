"""Whatever happens to an upstream, in whatever order, nothing is lost that is needed, and in the end it is at rest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

from gateway.actuators.actuator import ActuatorFailed, View
from gateway.scaling.settings import ActuatorSettings
from gateway.signals.reading import Replicas
from tests.support.walk import Walk

if TYPE_CHECKING:
    from gateway.core.clock import ManualClock
    from gateway.scaling.decision import Decision


class Cluster:
    """A site in numbers: what is asked for is ready three seconds later, and the view knows the number at once."""

    has_hands = True

    def __init__(self, kind: str = "kubernetes") -> None:
        self.settings = (
            ActuatorSettings(kind="kubernetes", deployment="app")
            if kind == "kubernetes"
            else ActuatorSettings(kind="exec", command=("true", "{to}"), count=("true",))
        )
        self.is_counted = kind != "kubernetes"
        self.actuator = self
        self.number = self.ready = 1
        self.how = ""
        self._since = 0.0

    async def open(self, clock: ManualClock) -> None:
        self.clock = clock

    async def begin_again(self, number: int | None) -> None:
        pass

    async def set(self, number: int) -> None:
        self._change(number)

    def _change(self, number: int) -> None:
        self.number = number
        self.ready = min(self.ready, number)
        self._since = self.clock.now()

    def break_down(self, how: str) -> None:
        self.how = how

    async def second(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)
        if self.clock.now() - self._since >= 3.0:
            self.ready = self.number

    async def close(self) -> None:
        pass

    # --- the actuator ----------------------------------------------------------------------------

    @property
    def view(self) -> View:
        owner = "hpa" if self.how == "owned" and not self.is_counted else None
        if self.is_counted:
            return View(self.clock.now(), Replicas(ready=self.ready, desired=self.ready))
        return View(
            self.clock.now(), Replicas(self.ready, max(self.number - self.ready, 0), desired=self.number), owner=owner
        )

    def start(self) -> None:
        pass

    async def apply(self, decision: Decision) -> None:
        await asyncio.sleep(0)
        if self.how == "fails":
            raise ActuatorFailed("unreachable", "nobody answers")
        if self.how == "owned":
            raise ActuatorFailed("owned", "an autoscaler scales it")
        if self.how != "idle":
            self._change(decision.after)
        if self.how == "lost":
            raise ActuatorFailed("timeout", "the answer was lost")

    async def stop(self) -> None:
        pass


class InACluster(Walk):
    """The number is one that somebody writes down, and people write it, too."""

    def make_site(self) -> Cluster:
        return Cluster()


class Counted(Walk):
    """Replicas are only counted, so what starts and what has died look the same."""

    def make_site(self) -> Cluster:
        return Cluster("exec")


TestInACluster = InACluster.TestCase
TestCounted = Counted.TestCase
TestInACluster.settings = TestCounted.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
