"""A running pool as policies see a simulated one, and our own policy with its trials in virtual time."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway.control.scaling.feed import look, reading
from gateway.control.scaling.trial import Trial
from gateway.scaling.decision import Decision, Expected
from gateway.scaling.scaler import TICK
from gateway.simulate.scaling.ours import Ours

if TYPE_CHECKING:
    from gateway.control.supervision import ControlProcess
    from gateway.scaling.settings import ScalingSettings
    from gateway.simulate.scaling.world import Site, World


class LiveWorld:
    """The columns that foreign policies read, filled once a second from the gateway's own counters."""

    def __init__(self, control: ControlProcess, site: Site) -> None:
        self.site = site
        self.now = 0
        self.in_flight = array("d")
        self.queued = array("d")
        assert control._scaling is not None
        self._target = control._scaling.targets["app"]
        self._totals = control._totals
        self._pool = control._pools["app"]
        self._last: tuple[float, float, float] | None = None
        self._serial = 0

    @property
    def ready(self) -> int:
        """Replicas that serve."""
        return self._pool.replicas.ready

    @property
    def asked(self) -> int:
        """Replicas that were asked for."""
        return self._target.asked or self._pool.desired

    def observe(self) -> None:
        """One second more: the true means of it, from differences of the time integrals."""
        seen = look(self._totals)
        view = self._target.actuator.view
        if seen is not None:
            found = reading("app", seen, view, view.replicas)
            if self._last is not None and found.at > self._last[0]:
                span = found.at - self._last[0]
                self.in_flight.append((found.in_flight_time - self._last[1]) / span)
                self.queued.append((found.queued_time - self._last[2]) / span)
            else:
                self.in_flight.append(0.0)
                self.queued.append(0.0)
            self._last = (found.at, found.in_flight_time, found.queued_time)
        else:
            self.in_flight.append(0.0)
            self.queued.append(0.0)
        self.now = len(self.in_flight)

    def mean(self, column: array[float], seconds: int) -> float:
        """The mean of the last so many seconds of a column; 0 before the first."""
        part = column[max(0, self.now - seconds) : self.now]
        return sum(part) / len(part) if part else 0.0

    def resize(self, desired: int, now: float) -> None:
        """Ask for so many by the way of every decision: the target's reconciler and its actuator."""
        before = self.asked
        desired = min(max(desired, self.site.least), self.site.most)
        if desired == before:
            return
        self._serial += 1
        self._target.reconciler.want(
            Decision(
                id=f"foreign-{self._serial}",
                t=now,
                target="app",
                before=before,
                after=desired,
                reason="foreign",
                votes=(),
                guards=(),
                expected=Expected(by=now, need=0.0, slots=float(self.site.slots), throughput=0.0),
                mode="live",
            )
        )


class OursWithTrials(Ours):
    """Our policy as a running gateway has it: what it takes away it tries first, for a window.

    The simulation knows no lid on what is admitted, so a trial can only fail by what the story brings meanwhile.
    """

    def __init__(self, settings: ScalingSettings) -> None:
        super().__init__(settings)
        self._trial: Trial | None = None

    def desired(self, world: World) -> int | None:
        """One tick."""
        now = float(world.now)
        self.signals = self.meter.observe(world.reading(), now)
        ended = None
        if self._trial is not None:
            verdict = self._trial.look(self.signals, now)
            if verdict == "passed":
                ended, self._trial = self._trial.decision.after, None
                self.signals = replace(self.signals, replicas=replace(self.signals.replicas, desired=ended))
            elif verdict == "failed":
                self.scaler.called_off(self._trial.decision, now)
                self._trial = None
        self.scaler.under_way = None if self._trial is None else self._trial.decision.after
        decision = self.scaler.step(self.signals, now)
        if decision is None:
            if self._trial is not None and self.scaler.wanted >= self._trial.decision.before:
                self.scaler.called_off(self._trial.decision, now)
                self._trial = None
            return ended
        self.decisions.append(decision)
        self._trial = None
        if decision.after > decision.before:
            return decision.after
        settings = self.scaler.settings
        self._trial = Trial(decision, self.signals, wait=settings.slo.wait, length=settings.hold, now=now)
        return ended


assert Ours.period == TICK
