"""Deals out what is configured for the whole gateway among its workers, twice a second, to whoever is asked for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.control.messages import Shares
from gateway.control.shares import FixedLimit, Presence, fractions, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config.settings import Settings
    from gateway.control.seat import Seat
    from gateway.telemetry.totals import Totals

_SHARE: Final = 0.5


class Sharing:
    """Hears what ``totals`` knows of each of so many ``workers``, and tells those in ``seats`` their parts."""

    def __init__(self, settings: Settings, workers: int, seats: Sequence[Seat], totals: Totals) -> None:
        self._settings = settings
        self._seats = seats
        self._totals = totals
        self._presence = Presence()
        self._fixed = {
            name: FixedLimit(upstream.limit.initial, workers)
            for name, upstream in settings.upstreams.items()
            if upstream.limit.kind == "fixed" and upstream.limit.per == "upstream" and upstream.limit.mode == "enforce"
        }

    def start(self, number: int) -> dict[str, int]:
        """The parts of the fixed limits with which this worker begins, by upstream."""
        return {name: limit.start(number) for name, limit in self._fixed.items()}

    async def run(self) -> None:
        """Deal for ever; nobody's part changes while a worker has not been heard of yet."""
        while True:
            await asyncio.sleep(_SHARE)
            living = self._totals.living
            seats = [seat for seat in self._seats if seat.number in living]
            if len(seats) < len(self._seats):
                continue
            queues: dict[str, list[float]] = {}
            limits: dict[str, list[int]] = {}
            unsettled = (name for name, limit in self._fixed.items() if not limit.is_settled)
            for name in dict.fromkeys((*self._presence.present(living), *unsettled)):
                upstream = self._settings.upstreams[name]
                if any(name not in living[seat.number].gates for seat in seats):
                    continue  # a worker has not said everything yet
                present = self._presence.look(living, name)
                queues[name] = fractions([present[seat.number] for seat in seats])
                fixed = self._fixed.get(name)
                if fixed is not None:
                    for seat in seats:
                        said = living[seat.number]
                        fixed.hear(seat.number, said.gates[name].limit, said.in_flight.get(name, 0))
                    limits[name] = fixed.deal(queues[name])
                elif upstream.limit.kind == "fixed" and upstream.limit.mode == "shadow":
                    limits[name] = split(upstream.limit.initial, queues[name])  # holds nobody back, so nothing to guard
            if not limits and not queues:
                continue
            for place, seat in enumerate(seats):
                seat.send(
                    Shares(
                        {name: dealt[place] for name, dealt in limits.items()},
                        {name: dealt[place] for name, dealt in queues.items()},
                    )
                )
