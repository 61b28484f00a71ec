"""Which endpoints are asked? Those that checks and peers speak well of; all of them when that leaves too few.

An endpoint leaves the rotation while active checks fail, or for a while when it does much worse than its peers. It
comes back with a tenth of its weight, which grows to the whole in ``slow_start`` seconds.

*Panic*: when less than ``panic_ratio`` of the weight is left, whoever judges is more likely wrong than the
endpoints, or the rest would break under the load of all: then everybody is asked, and only breakers refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST: Final = 0.1


class Place:
    """Whether active checks find one endpoint up, and with which part of its weight it has begun."""

    __slots__ = ("_since", "is_up")

    def __init__(self, now: float, *, is_new: bool) -> None:
        self.is_up = True
        self._since = now if is_new else float("-inf")

    def set_up(self, now: float, *, is_up: bool) -> None:
        """Take the word of active checks; who comes back begins slowly."""
        if is_up and not self.is_up:
            self._since = now
        self.is_up = is_up

    def part(self, slow_start: float, now: float) -> float:
        """The part of the weight in force, from a tenth to 1."""
        age = now - self._since
        if age >= slow_start:
            return 1.0
        return max(_FIRST, age / slow_start)


def is_panic(weights: Sequence[float], is_in: Sequence[bool], panic_ratio: float) -> bool:
    """Whether too little of the weight is in rotation to believe it."""
    left = sum(weight for weight, has_place in zip(weights, is_in, strict=True) if has_place)
    return left < panic_ratio * sum(weights)
