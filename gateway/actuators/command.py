"""Runs a command for each decision (kind "exec"): whatever scales has a command line.

``{from}``, ``{to}``, ``{target}``, ``{id}`` and ``{reason}`` are filled in, inside of arguments too; any other brace
stays what it is. There is no shell, so nothing in them can become a command. Exit status 0 means carried out.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from gateway.actuators.actuator import ActuatorFailed, View
from gateway.actuators.belief import Belief
from gateway.actuators.cold_starts import ColdStarts
from gateway.actuators.run import OutOfTime, run
from gateway.signals.reading import Replicas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.actuators.run import Ran
    from gateway.core.clock import Clock
    from gateway.scaling.decision import Decision
    from gateway.telemetry.logs import Logger

LOOK: Final = 10.0
"""Seconds from the beginning of one count to that of the next, when it does not take longer."""
_PAUSE: Final = 1.0
"""Seconds at least between two counts that take long."""
_SOON: Final = 2.0
"""The same while replicas are on their way; cold starts are measured no finer."""
_SOON_FOR: Final = 600.0
_MOST: Final = 1_000_000
_PLACE: Final = re.compile(r"\{(from|to|target|id|reason)\}")


class Command:
    """Scales by running ``command``; ``count`` prints how many replicas there are, as one whole number.

    Without ``count`` what was carried out last stands (:class:`~gateway.actuators.belief.Belief`).
    """

    def __init__(  # noqa: PLR0913 - what is run, and the shell's tools
        self,
        command: Sequence[str],
        count: Sequence[str] = (),
        *,
        target: str,
        clock: Clock,
        log: Logger,
        timeout: float = 30.0,
        look: float = LOOK,
    ) -> None:
        self._command = tuple(command)
        self._count = tuple(_filled(count, {"target": target}))
        self._target = target
        self._clock = clock
        self._log = log
        self._timeout = timeout
        self._look = look
        self._belief = Belief(clock)
        self._problem = ""
        self._cold_starts = ColdStarts()
        self._seen = Replicas()
        self._at: float | None = None
        self._took = 0.0
        self._asked: int | None = None
        self._asked_at = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._soon = asyncio.Event()

    @property
    def view(self) -> View:
        """What was counted last, or what is believed."""
        if not self._count:
            believed = self._belief.view
            return View(at=believed.at, replicas=believed.replicas, problem=self._problem)
        return View(self._at, self._seen, self._cold_starts.times, slack=self._took, problem=self._problem)

    def start(self) -> None:
        """Begin to count."""
        if self._count:
            self._looking = asyncio.create_task(self._look_again(), name=f"count {self._target}")

    def tell(self, replicas: Replicas) -> None:
        """So many replicas there are now, by somebody who can count them; unused where a command counts."""
        self._belief.tell(replicas)

    async def apply(self, decision: Decision) -> None:
        """Run the command; ActuatorFailed when it cannot start, takes too long or fails."""
        facts = {
            "from": str(decision.before),
            "to": str(decision.after),
            "target": decision.target,
            "id": decision.id,
            "reason": decision.reason,
        }
        begun = self._clock.now()
        try:
            ran = await run(_filled(self._command, facts), timeout=self._timeout)
        except OutOfTime as error:
            self._write(error.ran, decision.id)
            raise
        self._write(ran, decision.id)
        if ran.status != 0:
            raise ActuatorFailed(
                "exit_status", f"{self._command[0]} ended with {ran.status}: {ran.last or 'no output'}"
            )
        self._asked, self._asked_at = decision.after, begun
        self._cold_starts.ask(decision.after, begun)
        self._belief.carried_out(decision.after)
        self._soon.set()

    async def stop(self) -> None:
        """Count no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None

    async def _look_again(self) -> None:
        while True:
            self._soon.clear()
            begun = self._clock.now()
            try:
                self._see(await self._counted())
                self._took = self._clock.now() - begun
            except ActuatorFailed as error:
                if str(error) != self._problem:
                    self._log.warning("replicas cannot be counted", target=self._target, problem=str(error))
                self._problem = str(error)
            pause = min(self._look, _SOON) if self._is_changing else self._look
            try:
                async with asyncio.timeout(max(pause - self._took, min(pause, _PAUSE))):
                    await self._soon.wait()
            except TimeoutError:
                continue

    @property
    def _is_changing(self) -> bool:
        """Whether what was asked for of late is not there yet."""
        is_late = self._clock.now() - self._asked_at >= _SOON_FOR
        return self._asked is not None and self._seen.ready != self._asked and not is_late

    async def _counted(self) -> int:
        ran = await run(self._count, timeout=self._timeout)
        if ran.status != 0:
            raise ActuatorFailed("exit_status", f"{self._count[0]} ended with {ran.status}: {ran.last or 'no output'}")
        text = ran.output.lines[0] if len(ran.output.lines) == 1 else ""
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= _MOST):  # noqa: PLR2004
            said = "; ".join(ran.output.lines)[:200] or "nothing"
            raise ActuatorFailed("bad_answer", f"{self._count[0]} must print one whole number; it printed {said}")
        return int(text)

    def _see(self, ready: int) -> None:
        self._problem = ""
        self._at = now = self._clock.now()
        self._cold_starts.ask(ready if self._asked is None else self._asked, now)
        self._cold_starts.see(ready, now)
        # a number tells neither what is on its way nor whose wish it is: who asked compares it with that
        self._seen = Replicas(ready=ready, desired=ready)

    def _write(self, ran: Ran, decision: str) -> None:
        for line in (*ran.output.lines, *ran.errors.lines):
            self._log.info("command output", target=self._target, decision=decision, line=line)
        dropped = ran.output.dropped + ran.errors.dropped
        if dropped:
            self._log.info("command output cut", target=self._target, decision=decision, lines=dropped)

    def __repr__(self) -> str:
        return f"<Command {self._command[0]} {self._problem or 'well'}>"


def _filled(argv: Sequence[str], facts: Mapping[str, str]) -> list[str]:
    return [_PLACE.sub(lambda found: facts.get(found[1], found[0]), each) for each in argv]
