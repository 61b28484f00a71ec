"""How long replicas take from being asked for to being ready (pure)."""

from __future__ import annotations

from collections import deque
from typing import Final

KEPT: Final = 100
"""Measured times that are remembered."""


class ColdStarts:
    """Matches each replica that was asked for with the moment at which there were so many.

    The n-th replica's time runs from the intent that raised the number to n until n are ready for the first time. What
    is ready before it was asked for, or comes back after a crash, is no cold start.
    """

    def __init__(self) -> None:
        self._asked: dict[int, float] = {}
        self._times: deque[float] = deque(maxlen=KEPT)
        self._desired: int | None = None
        self._ready = 0

    @property
    def times(self) -> tuple[float, ...]:
        """The latest measured times in seconds, oldest first, at most :data:`KEPT`."""
        return tuple(self._times)

    def ask(self, desired: int, now: float) -> None:
        """So many are wanted from now on; the first call only says where counting begins."""
        before, self._desired = self._desired, desired
        for number in [each for each in self._asked if each > desired]:
            del self._asked[number]
        if before is not None:
            for number in range(max(before, self._ready) + 1, desired + 1):
                self._asked.setdefault(number, now)

    def see(self, ready: int, now: float) -> None:
        """So many are ready now."""
        self._ready = ready
        for number in [each for each in self._asked if each <= ready]:
            self._times.append(now - self._asked.pop(number))

    def forget(self) -> None:
        """What was asked for and has not come is no longer waited for; what was measured stays."""
        self._asked.clear()
        self._desired = None
        self._ready = 0

    def __repr__(self) -> str:
        return f"<ColdStarts waiting={len(self._asked)} measured={len(self._times)}>"
