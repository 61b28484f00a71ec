"""How long to wait before starting again what died (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

STABLE: Final = 5.0
LOOP: Final = 5
"""So many quick deaths in a row are a crash loop."""
_FIRST: Final = 0.5
LONGEST: Final = 30.0


class Backoff:
    """Doubling delays from 0.5 to 30 seconds for what dies within 5 seconds of being ready, with jitter.

    What lived longer, or dies for the first time, is a single accident: ``single`` is its delay. The
    jitter takes each delay into [½, 1) of its nominal length, so that what dies together does not come
    back together (half is kept, unlike full jitter, so that a crash loop is always slowed down).
    """

    def __init__(self, rng: Random, *, single: float = 0.0) -> None:
        self._rng = rng
        self._single = single
        self._streak = 0

    def __repr__(self) -> str:
        """Say how many quick deaths came in a row."""
        return f"<Backoff streak={self._streak}>"

    @property
    def is_looping(self) -> bool:
        """Whether five quick deaths or more came in a row."""
        return self._streak >= LOOP

    def died(self, lived: float | None) -> float:
        """Seconds to wait now; ``lived`` is how long it was ready, None when it never was."""
        if lived is not None and lived >= STABLE:
            self._streak = 0
        self._streak += 1
        if self._streak == 1:
            return self._single * (0.5 + self._rng.random() / 2)
        # The exponent is bounded before the power, or a long crash loop overflows.
        nominal = min(LONGEST, _FIRST * 2.0 ** min(self._streak - 2, 10))
        return nominal * (0.5 + self._rng.random() / 2)

    def longest(self) -> float:
        """Seconds for which what loops is left alone, in [15, 30)."""
        return LONGEST * (0.5 + self._rng.random() / 2)

    def forgive(self) -> None:
        """Somebody says that the cause is gone."""
        self._streak = 0
