"""How throughput goes with the limit, learned from what trials have shown."""

from __future__ import annotations

from typing import Final

_MEMORY: Final = 0.9
"""Weight of a trial against the one after it: about ten count."""
_DOUBT: Final = 1.0


class Elasticity:
    """d ln X / d ln L: 1 below the knee, 0 above it, negative where more in flight get less done.

    A regression through the origin, each trial weighted by its information; near 0 until something is known.
    """

    __slots__ = ("_information", "_sum")

    def __init__(self) -> None:
        self._sum = 0.0
        self._information = _DOUBT

    def learn(self, wider: float, served: float, information: float) -> None:
        """Take one trial: Δ ln L, Δ ln X, and one over the variance of the latter."""
        self._sum = _MEMORY * self._sum + wider * served * information
        self._information = _MEMORY * self._information + wider * wider * information

    @property
    def value(self) -> float:
        """The slope as far as it is known."""
        return self._sum / self._information

    def __repr__(self) -> str:
        return f"<Elasticity {self.value:.2f}>"
