"""How long it has been too much: what a client that is turned away may be told (pure).

Nobody knows how long an overload will last. Whoever sees it at an instant that is as likely as any other of its life
expects as much again as has passed (Gott 1993, *Implications of the Copernican principle for our future prospects*):
half of all estimates are too short, half too long. One that has just begun may be a moment's burst, and so it is told.
"""

from __future__ import annotations

from math import inf
from typing import Final

QUIET: Final = 0.1
"""Seconds without a refusal that end an overload."""
LONGEST: Final = 60.0
"""Seconds; nobody is told to stay away for longer."""


class Overload:
    """The refusals of one gate; an overload lasts from one to the last that follows without a pause."""

    __slots__ = ("_since", "_until")

    def __init__(self) -> None:
        self._since = 0.0
        self._until = -inf

    def refuse(self, now: float) -> float:
        """Somebody is refused; the seconds that the overload is expected to last from now on, in [0, 60]."""
        if now - self._until >= QUIET:
            self._since = now
        self._until = now
        return min(now - self._since, LONGEST)

    def __repr__(self) -> str:
        return f"<Overload lasted={max(self._until - self._since, 0.0):g}>"
