"""What one finished request tells a limit, and what a limit answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.core.outcome import Outcome


class Sample(NamedTuple):
    """One finished request. Times are instants in seconds; ``answered_at`` is its first byte.

    For a timeout ``answered_at`` is the instant at which we stopped waiting. ``kind`` tells apart what costs
    differently (the route); ``in_flight`` counts requests at its admission, itself included.
    """

    admitted_at: float
    answered_at: float
    in_flight: int
    kind: str
    outcome: Outcome


class Change(NamedTuple):
    """A limit moved: to where, and why in one word."""

    limit: int
    reason: str
