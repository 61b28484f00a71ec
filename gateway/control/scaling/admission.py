"""What scaling tells admission: a lid for a trial, capacity that is coming, replicas that have come or gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.control.messages import Cap, Expect, Rescale
from gateway.control.shares import split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.control.seat import Seat
    from gateway.telemetry.totals import Totals


class Admission(Protocol):
    """Whoever admits, of all upstreams."""

    def cap(self, upstream: str, limit: int | None, seconds: float) -> None:
        """For so many seconds no more than ``limit`` may be in flight in the whole gateway; None lifts that."""

    def expect(self, upstream: str, wait: float, growth: float, seconds: float) -> None:
        """In ``wait`` seconds the upstream does ``growth`` times as much; believed for ``seconds``, 0 ends that."""

    def rescale(self, upstream: str, ratio: float) -> None:
        """The upstream has become ``ratio`` times what it was, in (0, ∞)."""


class WorkersAdmission:
    """Tells the workers."""

    def __init__(self, seats: Sequence[Seat], totals: Totals) -> None:
        self._seats = seats
        self._totals = totals

    def cap(self, upstream: str, limit: int | None, seconds: float) -> None:
        """Bound what may be in flight at an upstream, each worker by its part of the limit."""
        living = self._totals.living
        seats = [seat for seat in self._seats if seat.number in living and upstream in living[seat.number].gates]
        if limit is None or not seats:
            for seat in self._seats:
                seat.send(Cap(upstream, None, 0.0))
            return
        had = [living[seat.number].gates[upstream].limit for seat in seats]
        total = sum(had) or 1
        for seat, part in zip(seats, split(limit, [one / total for one in had]), strict=True):
            seat.send(Cap(upstream, part, seconds))

    def expect(self, upstream: str, wait: float, growth: float, seconds: float) -> None:
        """Tell each worker that capacity is coming."""
        for seat in self._seats:
            seat.send(Expect(upstream, wait, growth, seconds))

    def rescale(self, upstream: str, ratio: float) -> None:
        """Tell each worker how much larger or smaller the upstream has become."""
        for seat in self._seats:
            seat.send(Rescale(upstream, ratio))

    def __repr__(self) -> str:
        return f"<WorkersAdmission seats={len(self._seats)}>"
