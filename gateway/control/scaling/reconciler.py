"""Brings about what is wanted of one target: asks its actuator, looks what came of it, asks again or gives up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.actuators.actuator import ActuatorFailed
from gateway.control.scaling.picture import Change, Fate, Picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.actuators.actuator import Actuator, View
    from gateway.core.clock import Clock
    from gateway.scaling.decision import Decision
    from gateway.telemetry.logs import Logger


class Reconciler:
    """Keeps the :class:`~gateway.control.scaling.picture.Picture` of one target true.

    ``look`` is called each second and never waits: the actuator is asked in a task of its own, once at a time.
    ``objection`` says why a decision that no actuator has taken yet is void by now, or nothing. ``tell`` is called with
    a decision, a word for what became of it and a sentence.
    """

    def __init__(  # noqa: PLR0913 - both sides, and the shell's tools
        self,
        actuator: Actuator,
        picture: Picture,
        *,
        clock: Clock,
        log: Logger,
        objection: Callable[[Decision], str],
        tell: Callable[[Decision, str, str], None],
    ) -> None:
        self.picture = picture
        self._actuator = actuator
        self._clock = clock
        self._log = log
        self._objection = objection
        self._tell = tell
        self._task: asyncio.Task[None] | None = None
        self.failures: dict[str, int] = {}
        self.problem = ""

    def want(self, decision: Decision) -> None:
        """Bring this one about, instead of any that still waits."""
        old = self.picture.want(decision, self._clock.now())
        if old is not None:
            self._tell(old, "superseded", f"by {decision.id}")
        self._ask_if_due()

    def drop(self, why: str) -> None:
        """Let what waits give way to something that is not to be brought about yet."""
        fate = self.picture.void(why)
        if fate is not None:
            self._tell(fate.decision, "superseded", why)

    def check(self) -> None:
        """Give up what waits if it does not fit any more."""
        decision = self.picture.wanted
        if decision is not None and self.picture.under_way is not None:
            why = self._objection(decision)
            fate = self.picture.void(why) if why else None
            if fate is not None:
                self._tell(*fate)

    def look(self, view: View, patience: float) -> Change | None:
        """Compare what is seen with what was asked for; the change from outside, if there is one."""
        self.check()
        found = self.picture.look(view.replicas, view.at, self._clock.now(), patience)
        change = found if isinstance(found, Change) else None
        fate = found if change is None else change.void
        if isinstance(fate, Fate):
            self._tell(*fate)
        self._ask_if_due()
        return change

    async def stop(self) -> None:
        """Ask for nothing any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _ask_if_due(self) -> None:
        decision = self.picture.ask() if self.picture.is_due(self._clock.now()) else None
        if decision is not None:
            self._task = asyncio.create_task(self._ask(decision), name=f"scale {decision.target}")

    async def _ask(self, decision: Decision) -> None:
        await self._apply(decision)
        self._ask_if_due()  # a newer one may have come meanwhile

    async def _apply(self, decision: Decision) -> None:
        try:
            await self._actuator.apply(decision)
        except ActuatorFailed as error:
            self._failed(decision, error.reason, error.detail)
        except Exception as error:  # noqa: BLE001 - whatever it is, decisions must go on
            self._log.exception("actuator failed", decision=decision.id)
            self._failed(decision, "internal_error", type(error).__name__)
        else:
            self.problem = ""
            self.picture.take(decision, self._clock.now())
            self._tell(decision, "carried_out", "")

    def _failed(self, decision: Decision, reason: str, detail: str) -> None:
        self.failures[reason] = self.failures.get(reason, 0) + 1
        self.problem = f"{reason}: {detail}"
        self._tell(decision, "failed", self.problem)
        fate = self.picture.fail(decision, reason, self._clock.now())
        if fate is not None:
            self._tell(*fate)

    def __repr__(self) -> str:
        return f"<Reconciler {self.picture!r} {self.problem}>"
