"""A request that waits before a gate, as the gate sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.admission.ticket import Ticket

if TYPE_CHECKING:
    from gateway.admission.classes import TrafficClass
    from gateway.proxy.entrance import Entrance


class Waiting(Ticket):
    """Tells its exchange what the gate decided."""

    __slots__ = ("_exchange",)

    def __init__(  # noqa: PLR0913 - the facts that the gate needs
        self,
        exchange: Entrance,
        traffic_class: TrafficClass,
        *,
        arrived_at: float,
        kind: str,
        key: str,
        deadline: float,
        cost: float,
        size: int,
    ) -> None:
        super().__init__(
            traffic_class, arrived_at=arrived_at, kind=kind, key=key, deadline=deadline, cost=cost, size=size
        )
        self._exchange = exchange

    def on_admitted(self, now: float) -> None:
        """Go on to an endpoint."""
        self._exchange.on_admitted(now)

    def on_shed(self, reason: str, now: float) -> None:
        """Tell the client."""
        self._exchange.on_shed(reason, now)
