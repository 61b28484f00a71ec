"""Carries decisions to an actuator, one at a time; the newest wins, and no tick ever waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.actuators.actuator import ActuatorFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.actuators.actuator import Actuator
    from gateway.scaling.decision import Decision
    from gateway.telemetry.logs import Logger

_FIRST: Final = 1.0
_LONGEST: Final = 30.0


class Carrier:
    """Brings decisions about through ``actuator``.

    What fails is tried again after 1 s, doubling to 30 s, until a newer decision comes. A scale-in is only tried again
    while ``may_shrink`` says so, because what was true when it was decided may not be true any more. ``tell`` is called
    with the decision, a word for what became of it and a sentence.
    """

    def __init__(
        self,
        actuator: Actuator,
        *,
        log: Logger,
        may_shrink: Callable[[], bool],
        tell: Callable[[Decision, str, str], None],
    ) -> None:
        self._actuator = actuator
        self._log = log
        self._may_shrink = may_shrink
        self._tell = tell
        self._next: Decision | None = None
        self._present: Decision | None = None
        self._came = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.failures: dict[str, int] = {}
        self.problem = ""

    @property
    def asked(self) -> int | None:
        """The number that is being brought about; None when nothing is under way."""
        decision = self._next or self._present
        return None if decision is None else decision.after

    def submit(self, decision: Decision) -> None:
        """Carry this one out, instead of any that still waits."""
        if self._next is not None:
            self._tell(self._next, "superseded", f"by {decision.id}")
        self._next = decision
        self._came.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._carry(), name=f"scale {decision.target}")

    def drop(self) -> None:
        """Forget what waits; what is being carried out goes on."""
        self._next = None

    async def stop(self) -> None:
        """Carry out nothing any more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _carry(self) -> None:
        delay = _FIRST
        while self._next is not None:
            decision = self._present = self._next
            self._next = None
            self._came.clear()
            try:
                has_worked = await self._apply(decision)
                if has_worked:
                    delay = _FIRST
                elif self._next is None and await self._may_repeat(decision, delay):
                    self._next = self._next or decision
                    delay = min(delay * 2, _LONGEST)
            finally:
                self._present = None

    async def _apply(self, decision: Decision) -> bool:
        try:
            await self._actuator.apply(decision)
        except ActuatorFailed as error:
            self._failed(decision, error.reason, error.detail)
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, decisions must go on
            self._log.exception("actuator failed", decision=decision.id)
            self._failed(decision, "internal_error", type(error).__name__)
            return False
        self.problem = ""
        self._tell(decision, "carried_out", "")
        return True

    def _failed(self, decision: Decision, reason: str, detail: str) -> None:
        self.failures[reason] = self.failures.get(reason, 0) + 1
        self.problem = f"{reason}: {detail}"
        self._tell(decision, "failed", self.problem)

    async def _may_repeat(self, decision: Decision, delay: float) -> bool:
        """Wait before the next try, or for a newer decision; whether there is anything to try then."""
        try:
            async with asyncio.timeout(delay):
                await self._came.wait()
        except TimeoutError:
            if decision.after < decision.before and not self._may_shrink():
                self._tell(decision, "given_up", "the numbers that it was decided on are not good any more")
                return False
        else:
            self._tell(decision, "superseded", "")
        return True

    def __repr__(self) -> str:
        return f"<Carrier asked={self.asked} {self.problem}>"
