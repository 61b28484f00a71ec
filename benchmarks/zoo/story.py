"""One cell lived through: with a limit in front, or with nothing."""

from __future__ import annotations

from bisect import bisect_left
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.limits.fixed import Fixed
from gateway.admission.modes import NO_LIMIT
from gateway.simulate.client import Patience
from gateway.simulate.clock import EventClock
from gateway.simulate.scenario import make_gate
from gateway.simulate.world import TICK, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.zoo.cells import Cell
    from gateway.admission.limits.limit import Limit
    from gateway.simulate.arrivals import Arrivals, Submit

WINDOWS = 2.0
"""Latencies in one window of the course of goodput, and a second at least."""


class Told(NamedTuple):
    """What came of a cell: counts, the latencies' 99th percentile in seconds, goodput by span and by window."""

    arrived: int
    lost: int
    p99: float
    early: float
    late: float
    windows: list[int]


class _Together:
    def __init__(self, parts: tuple[Arrivals, ...]) -> None:
        self._parts = parts

    def start(self, clock: EventClock, submit: Submit) -> None:
        for part in self._parts:
            part.start(clock, submit)


def nothing() -> Limit:
    """No limit."""
    return Fixed(NO_LIMIT)


def live(cell: Cell, seed: int, limit: Callable[[], Limit] = Adaptive) -> tuple[Told, World]:
    """Live through it."""

    def dice(part: str) -> Random:
        return Random(f"{part} {seed} {cell.name}")

    clock = EventClock()
    work = cell.work(dice("work"))
    service = cell.service(clock, work)
    for instant, change in cell.changes:
        clock.at(instant, change, service)
    gate = make_gate(limit())
    world = World(
        clock,
        dice("clients"),
        arrivals=_Together(cell.arrivals(dice("arrivals"))),
        gate=gate,
        service=service,
        work=work,
        patience=Patience(give_up=cell.give_up),
        useful=cell.useful,
        streams=cell.streams,
        tick=max(TICK, cell.usual / 50),
    )
    if cell.restart:

        def restart() -> None:
            fresh, old = limit(), world.gate.limit
            if isinstance(fresh, Adaptive) and isinstance(old, Adaptive):
                fresh.recall(old.remember(), 1.0)
            world.gate.limit = fresh

        clock.at(cell.restart, restart)
    world.run(cell.until)
    return _read(cell, world), world


def _read(cell: Cell, world: World) -> Told:
    book = world.book
    took = sorted(answer.took for answer in book.answers)
    good = [answer.at for answer in book.answers if answer.took <= cell.useful]
    early = bisect_left(good, cell.early)
    width = max(1.0, WINDOWS * cell.usual)
    windows = [0] * int(cell.until / width)
    for at in good:
        place = int(at / width)
        if place < len(windows):
            windows[place] += 1
    return Told(
        arrived=len(book.arrivals),
        lost=len(book.sheds) + len(book.leaves),
        p99=took[len(took) * 99 // 100] if took else 0.0,
        early=early / cell.early,
        late=(len(good) - early) / (cell.until - cell.early),
        windows=windows,
    )
