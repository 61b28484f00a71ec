"""How many requests one replica serves well at once, K: learned while the target is healthy, kept while it is not.

The adaptive limit of a target that suffers shrinks. Whoever divides demand by what is left of it orders replicas
for an illness that they cannot cure; so K is a quantile of limit ÷ ready replicas over samples from healthy
moments alone.
"""

from __future__ import annotations

from collections import deque
from typing import Final

EVERY: Final = 10.0
"""Seconds between two samples."""
_SAMPLES: Final = 60
_QUANTILE: Final = 0.75
_LEAST_TO_REFUSE: Final = 6


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

    @property
    def is_steady(self) -> bool:
        """Whether all samples that are remembered say the same."""
        return all(sample == self.value for sample in self._samples)

    def hold(self, at: float) -> None:
        """Until this instant every sample would have been what the last ones are."""
        missed = int((at - self._at) / EVERY) if self._samples else 0
        if missed > 0:
            self._samples.extend([self.value] * min(missed, _SAMPLES))
            self._at += missed * EVERY

    def learn(self, limit: float, ready: int, *, is_healthy: bool, now: float) -> float:
        """Take a sample when one is due and the target is healthy; K either way.

        The limit is that of the whole target as the limit policy finds it, before any trial with less. The first few
        samples are taken whatever the health, because something must be known.
        """
        if limit <= 0 or ready <= 0 or now - self._at < EVERY:
            return self.value
        if not is_healthy and len(self._samples) >= _LEAST_TO_REFUSE:
            return self.value
        self._at = now
        self._samples.append(limit / ready)
        self.value = sorted(self._samples)[int(_QUANTILE * (len(self._samples) - 1) + 0.5)]
        return self.value

    def __repr__(self) -> str:
        return f"<ReplicaSlots {self.value:g} samples={len(self._samples)}>"
