"""How many requests one replica serves well at once, K: learned while the target is healthy, kept while it is not.

The adaptive limit of a target that suffers shrinks. Whoever divides demand by what is left of it orders replicas
for an illness that they cannot cure; so K is a quantile of limit ÷ ready replicas over samples from healthy
moments alone. Until the first of these it is what the settings say, also after a start in sickness.
"""

from __future__ import annotations

from collections import deque
from typing import Final

EVERY: Final = 10.0
"""Seconds between two samples."""
_SAMPLES: Final = 60
_QUANTILE: Final = 0.75


class ReplicaSlots:
    """K, in slots, above 0; ``given`` holds until the first healthy sample."""

    __slots__ = ("_at", "_samples", "value")

    def __init__(self, given: float = 1.0) -> None:
        self.value = given
        self._samples: deque[float] = deque(maxlen=_SAMPLES)
        self._at = float("-inf")

    @property
    def is_learned(self) -> bool:
        """Whether a sample was ever taken."""
        return bool(self._samples)

    def learn(self, limit: float, ready: int, *, is_healthy: bool, now: float) -> float:
        """Take a sample when one is due and the target is healthy; K either way.

        The limit is that of the whole target as the limit policy finds it, before any trial with less.
        """
        if limit <= 0 or ready <= 0 or not is_healthy or now - self._at < EVERY:
            return self.value
        self._at = now
        self._samples.append(limit / ready)
        self.value = sorted(self._samples)[int(_QUANTILE * (len(self._samples) - 1) + 0.5)]
        return self.value

    def __repr__(self) -> str:
        return f"<ReplicaSlots {self.value:g} samples={len(self._samples)}>"
