"""How long clients wait, and what they do when they got nothing."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from random import Random


class Patience(NamedTuple):
    """A client's habits.

    It leaves ``give_up`` seconds after asking. Turned away, or having left, it asks again up to
    ``retries`` times: at once, or after a random share of ``backoff`` × 2ⁿ seconds (full jitter).
    """

    give_up: float = inf
    retries: int = 0
    backoff: float = 0.0

    def pause(self, attempt: int, rng: Random) -> float | None:
        """Seconds until it asks again after its ``attempt``-th try (from 1); None when it has had enough."""
        if attempt > self.retries:
            return None
        return rng.random() * self.backoff * 2.0 ** (attempt - 1) if self.backoff else 0.0
