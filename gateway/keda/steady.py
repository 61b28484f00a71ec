"""K as it is announced: a learned number that wanders, held still (pure)."""

from __future__ import annotations

from typing import Final

STEP: Final = 0.1


class Steady:
    """Follows a number only when it has moved by more than a tenth of what was announced last."""

    def __init__(self) -> None:
        self._announced: dict[str, float] = {}

    def follow(self, target: str, value: float) -> float:
        """What to announce for a target now; ``value`` is above 0."""
        announced = self._announced.get(target)
        if announced is None or abs(value - announced) > STEP * announced:
            self._announced[target] = announced = value
        return announced

    def __repr__(self) -> str:
        return f"<Steady {self._announced}>"
