"""The gateway's own strain, and what it does about it before it breaks.

Three resources can run out in a proxy: its event loop (lag), memory, file descriptors. Each is a pressure,
1.0 = full. The answers are graded, so that the cheapest come first and nothing is done that makes
the strain worse: closing connections helps memory and descriptors, but costs an event loop that is
already late the work of opening them again.

    from   memory, descriptors               event loop
    0.70   close idle connections
    0.80   stop keep-alive, halve the queue
    0.90   only the first band may wait      only the first band may wait

A grade is left only when its pressure has fallen a tenth below where it began, so answers do not flutter.
"""

from __future__ import annotations

from typing import Final, NamedTuple

CALM, TIDY, TIGHT, DIRE = range(4)
_FROM: Final = (0.0, 0.7, 0.8, 0.9)
_HYSTERESIS: Final = 0.1
FULL_LAG: Final = 0.25
"""The lateness of the event loop, in seconds, that counts as full: later than a person notices."""


class Strain(NamedTuple):
    """How full each resource is; 1.0 is all of it."""

    lag: float
    memory: float
    files: float


class Protection(NamedTuple):
    """What to do: ``queue_part`` of the queue may be used; bands above ``last_band`` may not wait."""

    grade: int = CALM
    closes_idle: bool = False
    keeps_alive: bool = True
    queue_part: float = 1.0
    last_band: int = 7


def protect(strain: Strain, before: Protection) -> Protection:
    """The answer to a strain, given the one that is in force."""
    space = _grade(max(strain.memory, strain.files), before.grade)
    time = DIRE if _grade(strain.lag, before.grade) == DIRE else CALM
    return Protection(
        grade=max(space, time),
        closes_idle=space >= TIDY,
        keeps_alive=space < TIGHT,
        queue_part=0.5 if space >= TIGHT else 1.0,
        last_band=0 if max(space, time) == DIRE else 7,
    )


def _grade(pressure: float, before: int) -> int:
    grade = CALM
    for candidate in (TIDY, TIGHT, DIRE):
        threshold = _FROM[candidate] - (_HYSTERESIS if before >= candidate else 0.0)
        if pressure >= threshold:
            grade = candidate
    return grade
