"""Made-up days in the shapes that scalers are tried with, where no trace is at hand; the same seed, the same day."""

from __future__ import annotations

from math import cos, exp, pi
from random import Random
from typing import TYPE_CHECKING, Final

from gateway.simulate.scaling.traces import Trace

if TYPE_CHECKING:
    from collections.abc import Callable

_MINUTES: Final = 1440


def match_day(seed: int) -> Trace:
    """A quiet night, two plateaus of an evening with a break between, and a sharp end."""
    rng = Random(seed)  # noqa: S311 - a story, not a secret
    rates = []
    for minute in range(_MINUTES):
        day = 0.08 + 0.04 * (1 - cos(2 * pi * (minute - 300) / _MINUTES))
        first = _plateau(minute, 880, 1010, 25) * 0.55
        second = _plateau(minute, 1170, 1320, 20) * 0.8
        rates.append(max((day + first + second) * rng.gauss(1, 0.02), 0.01))
    return Trace("match_day", 60.0, rates)


def flash_crowd(seed: int) -> Trace:
    """A flat day with a dozen short spikes, one of them thirty times the mean within five minutes."""
    rng = Random(seed)  # noqa: S311 - a story, not a secret
    rates = [0.025 * (1 + 0.3 * cos(2 * pi * minute / _MINUTES)) * rng.gauss(1, 0.08) for minute in range(_MINUTES)]
    for minute, height in zip(
        (391, 398, 399, 400, 401, 402, 403, 404), (0.2, 0.26, 0.45, 1, 0.8, 0.95, 0.48, 0.11), strict=True
    ):
        rates[minute] += height
    for _ in range(10):
        begin, height = rng.randrange(_MINUTES - 5), rng.uniform(0.05, 0.2)
        rates[begin] += height
        if rng.random() < 0.5:  # noqa: PLR2004 - every second one lasts two minutes
            rates[begin + 1] += height / 2
    return Trace("flash_crowd", 60.0, [max(rate, 0.005) for rate in rates])


def noisy_diurnal(seed: int) -> Trace:
    """Two days whose minutes are far noisier than chance: few users, each with many requests."""
    rng = Random(seed)  # noqa: S311 - a story, not a secret
    rates, burst = [], 0.0
    for minute in range(2 * _MINUTES):
        day = 0.2 + 0.12 * (1 - cos(2 * pi * (minute - 240) / _MINUTES))
        burst = 0.5 * burst + (rng.expovariate(8) if rng.random() < 0.06 else 0.0)  # noqa: PLR2004 - one in 16 minutes
        rates.append(max(day * rng.gauss(1, 0.28) + burst, 0.02))
    return Trace("noisy_diurnal", 60.0, rates)


def steps(seed: int) -> Trace:
    """Two hours on changing levels with ramps of a few minutes between them."""
    rng = Random(seed)  # noqa: S311 - a story, not a secret
    rates: list[float] = []
    level = rng.uniform(0.3, 0.6)
    while len(rates) < 120:  # noqa: PLR2004 - minutes
        target, ramp = rng.uniform(0.2, 1.0), rng.randint(3, 8)
        rates += [level + (target - level) * part / ramp for part in range(ramp)]
        rates += [target * rng.gauss(1, 0.03) for _ in range(rng.randint(10, 25))]
        level = target
    return Trace("steps", 60.0, rates[:120])


def surge(seed: int) -> Trace:
    """An hour that climbs to four times its level within six minutes, and stays there for a quarter."""
    rng = Random(seed)  # noqa: S311 - a story, not a secret
    rates = [(0.25 + 0.75 * _plateau(minute, 22, 40, 3)) * rng.gauss(1, 0.02) for minute in range(60)]
    return Trace("surge", 60.0, rates)


def ramp(seed: int) -> Trace:
    """Two hours: from a tenth to the whole within an hour, a quarter of an hour there, and back."""
    rng = Random(seed)  # noqa: S311 - a story, not a secret
    rates = [0.1 + 0.9 * min(minute / 60, 1.0, max(135 - minute, 0) / 60) for minute in range(120)]
    return Trace("ramp", 60.0, [rate * rng.gauss(1, 0.02) for rate in rates])


def _plateau(minute: float, begin: float, end: float, width: float) -> float:
    """From 0 to 1 around ``begin`` and back around ``end``."""
    return 1 / (1 + exp(-(minute - begin) / width * 4)) - 1 / (1 + exp(-(minute - end) / width * 4))


PROFILES: Final[dict[str, Callable[[int], Trace]]] = {
    "match_day": match_day,
    "flash_crowd": flash_crowd,
    "noisy_diurnal": noisy_diurnal,
    "steps": steps,
    "surge": surge,
    "ramp": ramp,
}
