"""All upstreams' loops: a look a second, a decision a tick, and what is told of both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Final

from gateway.control.scaling.feed import Latest, look
from gateway.control.scaling.inforce import in_force
from gateway.control.scaling.ledger import Ledger
from gateway.control.scaling.published import numbers
from gateway.control.scaling.record import Records
from gateway.control.scaling.seasons import EVERY, Seasons
from gateway.control.scaling.stream import Stream
from gateway.control.scaling.target import Target
from gateway.scaling.scaler import TICK
from gateway.telemetry.guard import Guard
from gateway.telemetry.reading import ScalingReading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gateway.actuators.actuator import Actuator
    from gateway.config.settings import Settings
    from gateway.control.scaling.admission import Admission
    from gateway.control.scaling.feed import Look
    from gateway.control.scaling.past import Past
    from gateway.core.clock import Clock
    from gateway.scaling.analyzers.season import SeasonState
    from gateway.scaling.settings import ScalingSettings
    from gateway.telemetry.logs import Logger
    from gateway.telemetry.totals import Totals

LOOK: Final = 1.0
"""Seconds between two looks at the counters."""
AT_ONCE: Final = 10
"""Targets that are looked at before the loop serves others again: half a millisecond's work."""
_PART: Final = 0.8
"""Of a second, so much is between the first and the last slice of targets."""


class Scaling:
    """Every upstream's signals and decisions.

    ``make_actuator`` makes the actuator of an upstream; ``admission`` is told what is coming and what has come;
    ``tell`` gets every target's numbers at each look.
    """

    def __init__(  # noqa: PLR0913 - everything from outside comes in here
        self,
        settings: Settings,
        totals: Totals,
        *,
        clock: Clock,
        log: Logger,
        make_actuator: Callable[[str, ScalingSettings], Actuator],
        admission: Admission,
        tell: Callable[[str, Mapping[str, float]], None] | None = None,
    ) -> None:
        self._tell = tell
        self.ledger = Ledger(settings.admin.ledger, clock=clock, log=log)
        self._seasons = Seasons(settings.admin.ledger, log)
        self.records = Records()
        self.stream = Stream()
        self.targets: dict[str, Target] = {}
        self.past: dict[str, Past] = {}
        self._totals = totals
        self._clock = clock
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._ticks = 0
        self._latest = Latest(may_rest=tell is None)
        for name, upstream in settings.upstreams.items():
            scaling = in_force(upstream)
            self.targets[name] = Target(
                name,
                scaling,
                make_actuator(name, scaling),
                clock=clock,
                log=log,
                ledger=self.ledger,
                records=self.records,
                admission=admission,
                slow_start=float(upstream.slow_start),
                latest=self._latest,
            )

    def read_past(self) -> dict[str, Past]:
        """What an earlier process left: the last state of every target that was ever decided on."""
        self.past = self.ledger.read_past()
        for name, past in self.past.items():
            if name in self.targets:
                self.targets[name].resume(past)
        for name, state in self._seasons.read().items():
            if name in self.targets:
                self.targets[name].resume_season(state)
        return self.past

    def seen(self) -> Look | None:
        """What the workers have said by now; None while none lives."""
        return look(self._totals)

    def reading(self) -> Mapping[str, ScalingReading]:
        """What metrics are made of, by upstream; worked out when it is asked for."""
        return _Readings(self.targets)

    def start(self) -> None:
        """Begin to look and to decide."""
        for target in self.targets.values():
            target.actuator.start()
        self._task = asyncio.create_task(
            Guard(self._log, self._clock).keep_going("scaling", self._keep_looking), name="scaling"
        )

    async def stop(self) -> None:
        """Decide nothing any more; replicas stay as they are."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.stream.close()
        for target in self.targets.values():
            await target.reconciler.stop()
            await target.actuator.stop()
        await self._seasons.stop(self._known_seasons())
        await self.ledger.stop()

    async def _keep_looking(self) -> None:
        due = self._clock.now()
        while True:
            await self.tick(LOOK * _PART)
            now = self._clock.now()
            # after a sleep of the machine the looks that were missed are not made up for
            due = max(now, due + LOOK)
            await asyncio.sleep(due - now)

    async def tick(self, seconds: float = 0.0) -> None:
        """Look at all targets once, and at every fifth time decide; slice by slice, spread over so many seconds.

        Those that rest are left alone until a worker says something of them.
        """
        is_tick = self._ticks % round(TICK / LOOK) == 0
        self._ticks += 1
        for name in self._totals.take_stirred():
            if name in self.targets:
                self.targets[name].stir()
        begin = self._clock.now()
        self._latest.note(look(self._totals), begin)
        targets = [target for target in self.targets.values() if not target.is_resting]
        slices = ceil(len(targets) / AT_ONCE)
        for place in range(slices):
            if place:
                await asyncio.sleep(max(begin + seconds * place / slices - self._clock.now(), 0.0))
            self.see(targets[place * AT_ONCE : (place + 1) * AT_ONCE], is_tick=is_tick)
        self.stream.publish(self.targets)
        if self._ticks % round(EVERY / LOOK) == 0:
            self._seasons.write(self._known_seasons())

    def _known_seasons(self) -> dict[str, SeasonState | None]:
        return {name: target.scaler.season.state() for name, target in self.targets.items()}

    def see(self, targets: Iterable[Target], *, is_tick: bool) -> None:
        """Look at some targets now, and decide on them when it is time to."""
        seen = look(self._totals)
        for target in targets:
            now = self._clock.now()
            if not is_tick and seen is not None and target.is_asleep(seen):
                target.rest(seen, now)
                continue
            try:
                target.look(seen, now)
                if is_tick:
                    target.decide(now)
                if self._tell is not None:
                    self._tell(target.name, numbers(target))
            except Exception:  # noqa: BLE001 - one target's fault must not be the others'
                self._log.exception("scaling tick failed", upstream=target.name)


class _Readings(Mapping[str, ScalingReading]):
    """The readings of all targets, each made when it is asked for: a thousand at once would stop the loop."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._targets = targets

    def __getitem__(self, name: str) -> ScalingReading:
        target = self._targets[name]
        return ScalingReading(
            numbers(target), target.scaler.mode, target.decisions, target.vetoes, target.reconciler.failures
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)
