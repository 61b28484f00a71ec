"""When is a process that is well replaced all the same? (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from random import Random

    from gateway.pool.settings import Recycle

Due = Literal["", "recycle_requests", "recycle_age"]
_JITTER: Final = 0.1


class Bounds(Struct, frozen=True):
    """One process's own bounds; 0 = none."""

    requests: float = 0.0
    age: float = 0.0

    @classmethod
    def draw(cls, settings: Recycle, rng: Random) -> Bounds:
        """Each bound times a number in [0.9, 1.1), so that processes that began together do not go together."""
        return cls(
            settings.requests * (1 - _JITTER + 2 * _JITTER * rng.random()),
            float(settings.age) * (1 - _JITTER + 2 * _JITTER * rng.random()),
        )

    def due(self, served: int, age: float) -> Due:
        """Which bound has been reached, if any; ``age`` in seconds."""
        if self.requests and served >= self.requests:
            return "recycle_requests"
        if self.age and age >= self.age:
            return "recycle_age"
        return ""
