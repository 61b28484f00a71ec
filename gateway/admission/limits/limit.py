"""What every limit can do."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.admission.sample import Change, Sample


class Stage(IntEnum):
    """How much is known of the upstream. The queue is patient in proportion: see :mod:`gateway.admission.gate`."""

    OPEN = 0
    """Nothing speaks for a line: the limit gives way, and nobody is shed for waiting."""
    CLOSING = 1
    """A line was seen; what is above the limit drains, and the cut is still to prove itself."""
    PROVEN = 2
    """The limit holds."""


class Watch(Protocol):
    """Hears of admissions, for limits that learn from what has not ended yet.

    ``n`` are in flight, and is kept up to date by who admits; before ``due`` :meth:`begin` need not be called.
    """

    n: int
    due: float

    def begin(self, now: float, n: int, kind: str) -> None:
        """A request was admitted as the ``n``-th in flight."""

    def forget(self, sample: Sample) -> None:
        """A request has given its place back and teaches nothing."""


class Limit(Protocol):
    """How many may be in flight: ``value``, always in [min, max].

    The rules that all keep. A limit moves only when it is what holds traffic back: a request had to wait
    (:meth:`held_back`). What was admitted before the last change has no vote, so one generation of
    requests moves the limit once. A neutral sample teaches nothing. Every change has its reason word.
    """

    @property
    def value(self) -> int:
        """The limit of this moment."""

    @property
    def stage(self) -> Stage:
        """How much is known."""

    @property
    def latency(self) -> float:
        """What a request is expected to take under this limit, in seconds; 0: what it took lately."""

    @property
    def watch(self) -> Watch | None:
        """Who hears of admissions; None mostly."""

    def update(self, sample: Sample) -> Change | None:
        """Learn from one finished request; the change when that moved the limit."""

    def held_back(self, now: float) -> None:
        """The limit has just made a request wait."""
