"""How long a breaker stays open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

_LEAST: Final = 0.8
"""Part of the time that is always waited; the rest is drawn, so that gateways do not come back together."""
_MOST_DOUBLINGS: Final = 32


class OpenTime:
    """Doubles from ``first`` to ``longest`` seconds each time it opens again soon, jittered down by up to a fifth."""

    __slots__ = ("_closed_at", "_first", "_last", "_longest", "_rng", "_settled", "times")

    def __init__(self, first: float, longest: float, settled: float, rng: Random) -> None:
        self._first = min(first, longest)
        self._longest = longest
        self._settled = settled
        self._rng = rng
        self._last = 0.0
        self._closed_at: float | None = None
        self.times = 0

    def next(self, now: float) -> float:
        """Seconds to stay open from now on, in [0.8 × first, longest]."""
        closed_at = self._closed_at
        if closed_at is not None and now - closed_at >= max(self._settled, self._last):
            self.times = 0
        self._closed_at = None
        full = min(self._longest, self._first * 2.0 ** min(self.times, _MOST_DOUBLINGS))
        self.times += 1
        self._last = full
        return full * (_LEAST + (1 - _LEAST) * self._rng.random())

    def closed(self, now: float) -> None:
        """Traffic flows again; when it still does after as long as it was open (and ``settled``), all is forgotten."""
        self._closed_at = now

    def reset(self) -> None:
        """Begin with the shortest time again."""
        self.times = 0
        self._closed_at = None
