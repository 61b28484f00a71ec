"""When is a process that is well replaced all the same? (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from random import Random

    from gateway.pool.settings import Recycle

Due = Literal["", "recycle_requests", "recycle_age", "recycle_memory"]
_JITTER: Final = 0.1
_GROWN: Final = 1.1


class Bounds(Struct, frozen=True):
    """One process's own bounds; 0 = none."""

    requests: float = 0.0
    age: float = 0.0
    memory: float = 0.0

    @classmethod
    def draw(cls, settings: Recycle, rng: Random) -> Bounds:
        """Each bound times a number in [0.9, 1.1), so that processes that began together do not go together."""
        return cls(
            settings.requests * (1 - _JITTER + 2 * _JITTER * rng.random()),
            float(settings.age) * (1 - _JITTER + 2 * _JITTER * rng.random()),
            # last, so that the other bounds are drawn as they are without one
            (settings.memory or 0) and settings.memory * (1 - _JITTER * rng.random()),
        )

    def due(self, served: int, age: float, rss: int = 0, first_rss: int = 0) -> Due:
        """Which bound has been reached, if any; ``age`` in seconds, ``rss`` in bytes, now and when it began to serve.

        A process that has not grown is not due for its memory, because the next one would be as large.
        """
        if self.requests and served >= self.requests:
            return "recycle_requests"
        if self.age and age >= self.age:
            return "recycle_age"
        if self.memory and rss > self.memory and rss > first_rss * _GROWN:
            return "recycle_memory"
        return ""
