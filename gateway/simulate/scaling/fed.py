"""Foreign policies fed with our signal instead of the raw in-flight and queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.signals.meter import Meter, Objective

if TYPE_CHECKING:
    from gateway.simulate.scaling.references import Later
    from gateway.simulate.scaling.world import World

TICK: Final = 5
"""Seconds between two looks at the counters."""
_SCRAPE: Final = 15
"""Whoever asks for no more than this gets the latest value, as from a metrics API."""


class Published:
    """``wanted_slots`` as they would be scraped, the mean of the last so many seconds."""

    def __init__(self) -> None:
        self._values: list[float] = []

    def put(self, value: float) -> None:
        """One value for the next tick."""
        self._values.append(value)

    @property
    def has_any(self) -> bool:
        """Whether anything was published yet."""
        return bool(self._values)

    def __call__(self, world: World, seconds: int) -> float:
        """The mean of the ticks in the window; 0 before the first."""
        del world
        window = seconds if seconds > _SCRAPE else TICK
        part = self._values[-max(1, round(window / TICK)) :]
        return sum(part) / len(part) if part else 0.0


class Fed:
    """Ticks the meter every 5 s and lets a foreign policy act, which sees what was published last.

    In a running gateway signals are made every second, so whoever looks sees a value of that second; the begin of the
    foreign policy lets ticks fall on the looks of a policy whose period is a multiple of 5 s.
    """

    def __init__(self, foreign: Later, published: Published, objective: Objective) -> None:
        self.period = 1.0
        self._foreign = foreign
        self._published = published
        self._meter = Meter(objective)

    def desired(self, world: World) -> int | None:
        """One second."""
        if (world.now - self._foreign.begin) % TICK == 0:
            signals = self._meter.observe(world.reading(), float(world.now))
            if signals.history_s > 0:
                self._published.put(signals.wanted_slots)
        return self._foreign.desired(world) if self._published.has_any else None
