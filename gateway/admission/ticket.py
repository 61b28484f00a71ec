"""A request that waits, or may have to."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.admission.classes import TrafficClass


class Ticket:
    """What the queue needs to know of a request; whoever waits subclasses it and hears of the end here.

    ``deadline`` is the instant after which an answer is useless, ``key`` names who shares fairly,
    ``cost`` is the expected service time in seconds, ``size`` the bytes held while waiting.
    """

    __slots__ = ("arrived_at", "cost", "deadline", "flow", "key", "kind", "size", "traffic_class")

    def __init__(  # noqa: PLR0913 - each is one fact about the request
        self,
        traffic_class: TrafficClass,
        *,
        arrived_at: float,
        kind: str = "",
        key: str = "",
        deadline: float = inf,
        cost: float = 0.0,
        size: int = 0,
    ) -> None:
        self.traffic_class = traffic_class
        self.arrived_at = arrived_at
        self.kind = kind
        self.key = key
        self.deadline = deadline
        self.cost = cost
        self.size = size
        self.flow: object | None = None  # the queue's own note; None when it does not wait

    def on_admitted(self, now: float) -> None:
        """It may go; the gate counts it as in flight from now on."""
        raise NotImplementedError

    def on_shed(self, reason: str, now: float) -> None:
        """It will not be served; ``reason`` says why."""
        raise NotImplementedError
