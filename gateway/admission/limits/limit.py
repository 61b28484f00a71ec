"""What every limit can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.admission.sample import Change, Sample


class Limit(Protocol):
    """How many may be in flight: ``value``, always in [min, max].

    The rules that all keep. A limit moves only when it is what holds traffic back: somebody had to wait
    (:meth:`held_back`). What was admitted before the last change has no vote, so one generation of
    requests moves the limit once. A neutral sample teaches nothing. Every change has its reason word.
    """

    @property
    def value(self) -> int:
        """The limit of this moment."""

    def update(self, sample: Sample) -> Change | None:
        """Learn from one finished request; the change when that moved the limit."""

    def held_back(self, now: float) -> None:
        """The limit has just made somebody wait."""
