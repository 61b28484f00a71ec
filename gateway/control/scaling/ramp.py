"""How many times what it was a target has become: its ready replicas, each ramped up as balancing ramps it (pure)."""

from __future__ import annotations

from typing import Final

_FIRST: Final = 0.1
"""Of its weight a replica that comes has at first (:mod:`gateway.upstream.rotation`)."""
_WORTH_TELLING: Final = 0.04
"""A smaller change of the whole is told together with the next."""


class Ramp:
    """Counts ready replicas by their share; ``slow_start`` is the time in which one grows to the whole, in seconds."""

    __slots__ = ("_came", "_slow_start", "_told")

    def __init__(self, slow_start: float) -> None:
        self._slow_start = slow_start
        self._came: list[float] | None = None
        self._told = 0.0

    def look(self, ready: int, now: float) -> float | None:
        """The ratio to what was told last, when that is worth telling; None else, and while nobody is ready.

        Those that are there at the first look have been there for long.
        """
        if not ready:
            return None
        came = self._came
        if came is None:
            self._came = [now - self._slow_start] * ready
            self._told = float(ready)
            return None
        del came[ready:]  # the last to come have the least share, so too little is taken away rather than too much
        came.extend([now] * (ready - len(came)))
        present = sum(self._part(now - one) for one in came)
        ratio = present / self._told
        is_whole = present == ready
        if abs(ratio - 1.0) < _WORTH_TELLING and not (is_whole and ratio != 1.0):
            return None
        self._told = present
        return ratio

    def _part(self, age: float) -> float:
        return 1.0 if age >= self._slow_start else max(_FIRST, age / self._slow_start)

    def __repr__(self) -> str:
        return f"<Ramp {self._told:g}>"
