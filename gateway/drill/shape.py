"""The load of a drill: phases, and when each request is due (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

Ramp = Literal["linear", "steps", "surge"]
HIGHEST_RATE: Final = 5000.0
"""Requests per second; beyond this one core of ours would be measured."""
LONGEST: Final = 3600.0
"""Seconds."""
CALM: Final = 0.1
"""The rate before and after, as a part of the highest."""
_PARTS: Final = (("calm", 0.15), ("climb", 0.3), ("top", 0.3), ("after", 0.25))
_STEPS: Final = 5


class Phase(NamedTuple):
    """A straight piece of the load: from ``begin`` seconds on for so long, from one rate to another."""

    name: str
    begin: float
    seconds: float
    first: float
    last: float

    @property
    def end(self) -> float:
        """Where the next one begins, in seconds."""
        return self.begin + self.seconds

    def rate(self, instant: float) -> float:
        """Requests per second at an instant in it."""
        return self.first + (self.last - self.first) * (instant - self.begin) / self.seconds


def phases(ramp: Ramp, rate: float, seconds: float, calm: float | None = None) -> tuple[Phase, ...]:
    """Calm, up to ``rate``, a time there, calm again; ``surge`` climbs at once, ``steps`` five times."""
    low = CALM * rate if calm is None else min(calm, rate)
    found: list[Phase] = []
    begin = 0.0
    for name, part in _PARTS:
        length = part * seconds
        if name == "climb" and ramp == "steps":
            for step in range(_STEPS):
                level = low + (rate - low) * (step + 1) / (_STEPS + 1)
                found.append(Phase(name, begin + step * length / _STEPS, length / _STEPS, level, level))
        elif name == "climb" and ramp == "linear":
            found.append(Phase(name, begin, length, low, rate))
        else:
            level = low if name in {"calm", "after"} else rate
            found.append(Phase("top" if name == "climb" else name, begin, length, level, level))
        begin += length
    return tuple(found)


def phase_at(load: Sequence[Phase], instant: float) -> Phase:
    """The phase of an instant; the last one after the end."""
    return next((phase for phase in load if instant < phase.end), load[-1])


def arrivals(load: Sequence[Phase], rng: Random) -> Iterator[float]:
    """The instants of a Poisson process with these rates, in order, by thinning (Lewis & Shedler 1979)."""
    for phase in load:
        top = max(phase.first, phase.last)
        instant = phase.begin
        while top and (instant := instant + rng.expovariate(top)) < phase.end:
            if rng.random() * top < phase.rate(instant):
                yield instant
