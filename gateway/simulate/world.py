"""Arrivals → gate → service → client, and the book that is kept of it."""

from __future__ import annotations

from bisect import bisect_left
from math import nan
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from gateway.core.outcome import Outcome
from gateway.simulate.client import Patience

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from gateway.simulate.arrivals import Arrivals
    from gateway.simulate.clock import EventClock
    from gateway.simulate.gate import Gate
    from gateway.simulate.service import Service, Work

_Entry = TypeVar("_Entry", tuple[float, float], tuple[float, str], tuple[float, int, int])

USEFUL: Final = 0.5
"""An answer that took longer than this is not counted as goodput."""
TICK: Final = 0.01


class Span(NamedTuple):
    """What happened between two instants. Latencies are from arrival to answer, in seconds."""

    goodput: float
    served: float
    arrived: float
    shed: float
    left: float
    p50: float
    p99: float
    limit_low: int
    limit_middle: float
    limit_high: int
    in_flight: float


class Request:
    """One request of one client: what the gate knows as a ticket."""

    __slots__ = ("_ended", "_world", "admitted_at", "arrived_at", "attempt", "in_flight", "is_open", "kind", "stage")

    def __init__(self, world: World, kind: str, attempt: int, ended: Callable[[], None] | None) -> None:
        self._world = world
        self._ended = ended
        self.kind = kind
        self.attempt = attempt
        self.arrived_at = world.clock.now()
        self.admitted_at = 0.0
        self.in_flight = 0
        self.stage = 0
        self.is_open = True

    def admit(self, now: float) -> None:
        """Go to the service."""
        del now
        self._world.service.begin(self.kind, self._answered)

    def shed(self, reason: str, now: float) -> None:
        """Go away, and perhaps come back."""
        self._world.sheds.append((now, reason))
        self._close_empty()

    def give_up(self) -> None:
        """The client has waited long enough."""
        if self.is_open:
            now = self._world.clock.now()
            self._world.leaves.append(now)
            self._close_empty()
            self._world.gate.leave(self, now)

    def _answered(self) -> None:
        now = self._world.clock.now()
        if self.is_open:
            self.is_open = False
            self._world.answers.append((now, now - self.arrived_at))
            if self._ended is not None:
                self._ended()
        self._world.gate.finish(self, Outcome.SUCCESS, now)

    def _close_empty(self) -> None:
        self.is_open = False
        self._world.try_again(self.kind, self.attempt, self._ended)


class World:
    """One story under virtual time; ``answers``, ``sheds``, ``leaves`` and ``course`` are its book."""

    def __init__(  # noqa: PLR0913 - each is one part of the world
        self,
        clock: EventClock,
        rng: Random,
        *,
        arrivals: Arrivals,
        gate: Gate,
        service: Service,
        work: Work,
        patience: Patience | None = None,
        useful: float = USEFUL,
    ) -> None:
        self.clock = clock
        self.gate = gate
        self.service = service
        self.useful = useful
        self._rng = rng
        self._work = work
        self._patience = patience or Patience(give_up=1.0)
        self.arrivals: list[float] = []
        self.answers: list[tuple[float, float]] = []
        self.sheds: list[tuple[float, str]] = []
        self.leaves: list[float] = []
        self.course: list[tuple[float, int, int]] = []
        """(instant, limit, in flight), every 10 ms."""
        arrivals.start(clock, self._submit)
        clock.after(TICK, self._tick)

    def run(self, until: float) -> World:
        """Let the story go on up to ``until``."""
        self.clock.run(until)
        return self

    def try_again(self, kind: str, attempt: int, ended: Callable[[], None] | None) -> None:
        """The client got nothing: another request, now or later, or the end."""
        pause = self._patience.pause(attempt, self._rng)
        if pause is not None:
            self.clock.after(pause, self._ask, kind, attempt + 1, ended)
        elif ended is not None:
            ended()

    def _submit(self, ended: Callable[[], None] | None = None, /) -> None:
        self._ask(self._work.kind(), 1, ended)

    def _ask(self, kind: str, attempt: int, ended: Callable[[], None] | None) -> None:
        request = Request(self, kind, attempt, ended)
        now = request.arrived_at
        self.arrivals.append(now)
        if self._patience.give_up < float("inf"):
            self.clock.at(now + self._patience.give_up, request.give_up)
        self.gate.arrive(request, now)

    def _tick(self) -> None:
        now = self.clock.now()
        self.gate.tick(now)
        self.course.append((now, self.gate.limit.value, self.gate.in_flight))
        self.clock.after(TICK, self._tick)

    def span(self, begin: float, end: float) -> Span:
        """What happened in [begin, end): rates per second, latencies, limits."""
        length = end - begin
        latencies = sorted(took for _, took in _cut(self.answers, begin, end))
        course = _cut(self.course, begin, end)
        limits = [limit for _, limit, _ in course]
        count = len(latencies)
        return Span(
            goodput=sum(took <= self.useful for took in latencies) / length,
            served=count / length,
            arrived=_count(self.arrivals, begin, end) / length,
            shed=len(_cut(self.sheds, begin, end)) / length,
            left=_count(self.leaves, begin, end) / length,
            p50=latencies[count // 2] if count else nan,
            p99=latencies[count * 99 // 100] if count else nan,
            limit_low=min(limits),
            limit_middle=median(limits),
            limit_high=max(limits),
            in_flight=sum(number for _, _, number in course) / len(course),
        )


def _count(instants: list[float], begin: float, end: float) -> int:
    return bisect_left(instants, end) - bisect_left(instants, begin)


def _cut(book: list[_Entry], begin: float, end: float) -> list[_Entry]:
    low = bisect_left(book, begin, key=_instant)
    return book[low : bisect_left(book, end, low, key=_instant)]


def _instant(entry: tuple[float, object] | tuple[float, object, object]) -> float:
    return entry[0]
