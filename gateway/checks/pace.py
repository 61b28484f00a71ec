"""When to ask again (pure)."""

from __future__ import annotations

from typing import Final

_PART: Final = 0.1


def pause(lasted: float, first: float, longest: float) -> float:
    """Seconds until the next question when the search has ``lasted`` so long: a tenth of that, in [first, longest]."""
    return min(max(first, _PART * lasted), longest)
