"""The book of a story: what happened when, and what it was worth."""

from __future__ import annotations

from bisect import bisect_left
from math import nan
from statistics import median
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.simulate.crowd import Caller

USEFUL: Final = 0.5
"""An answer that took longer than this, in seconds, is not counted as goodput."""


class Arrival(NamedTuple):
    """Somebody asked, for the first time or again."""

    at: float
    caller: Caller


class Answer(NamedTuple):
    """Somebody was answered, ``took`` seconds after asking."""

    at: float
    caller: Caller
    took: float


class Shedding(NamedTuple):
    """Somebody was turned away."""

    at: float
    caller: Caller
    reason: str


class Departure(NamedTuple):
    """Somebody gave up."""

    at: float
    caller: Caller


class Course(NamedTuple):
    """Where the limit stood, and how many were in flight."""

    at: float
    limit: int
    in_flight: int


class Span(NamedTuple):
    """What happened between two instants: rates per second, latencies from arrival to answer in seconds.

    ``lost`` is what came to nothing: shed, left, or answered too late to be of use.
    """

    goodput: float
    served: float
    arrived: float
    shed: float
    left: float
    lost: float
    p50: float
    p99: float
    limit_low: int
    limit_middle: float
    limit_high: int
    in_flight: float


_Entry = TypeVar("_Entry", Arrival, Answer, Shedding, Departure, Course)


class Book:
    """Everything that happened in one story, in order; an answer within ``useful`` seconds is goodput."""

    __slots__ = ("answers", "arrivals", "course", "leaves", "sheds", "useful")

    def __init__(self, useful: float = USEFUL) -> None:
        self.useful = useful
        self.arrivals: list[Arrival] = []
        self.answers: list[Answer] = []
        self.sheds: list[Shedding] = []
        self.leaves: list[Departure] = []
        self.course: list[Course] = []

    def span(self, begin: float, end: float, who: Callable[[Caller], bool] | None = None) -> Span:
        """What happened in [begin, end), to all or to those whom ``who`` names."""
        length = end - begin
        arrived = len(_cut(self.arrivals, begin, end, who)) / length
        shed = len(_cut(self.sheds, begin, end, who)) / length
        left = len(_cut(self.leaves, begin, end, who)) / length
        latencies = sorted(answer.took for answer in _cut(self.answers, begin, end, who))
        count = len(latencies)
        useful = sum(took <= self.useful for took in latencies)
        course = _cut(self.course, begin, end)
        limits = [moment.limit for moment in course]
        return Span(
            goodput=useful / length,
            served=count / length,
            arrived=arrived,
            shed=shed,
            left=left,
            lost=shed + left + (count - useful) / length,
            p50=latencies[count // 2] if count else nan,
            p99=latencies[count * 99 // 100] if count else nan,
            limit_low=min(limits),
            limit_middle=median(limits),
            limit_high=max(limits),
            in_flight=sum(moment.in_flight for moment in course) / len(course),
        )

    def asked(self, begin: float, end: float) -> dict[Caller, int]:
        """How often each caller asked in [begin, end)."""
        return _tally(_cut(self.arrivals, begin, end))

    def served(self, begin: float, end: float) -> dict[Caller, int]:
        """How many answers each caller got in [begin, end)."""
        return _tally(_cut(self.answers, begin, end))


def _tally(entries: list[Arrival] | list[Answer]) -> dict[Caller, int]:
    found: dict[Caller, int] = {}
    for entry in entries:
        found[entry.caller] = found.get(entry.caller, 0) + 1
    return found


def _cut(book: list[_Entry], begin: float, end: float, who: Callable[[Caller], bool] | None = None) -> list[_Entry]:
    low = bisect_left(book, begin, key=_instant)
    found = book[low : bisect_left(book, end, low, key=_instant)]
    if who is None:
        return found
    return [entry for entry in found if not isinstance(entry, Course) and who(entry.caller)]


def _instant(entry: Arrival | Answer | Shedding | Departure | Course) -> float:
    return entry.at
