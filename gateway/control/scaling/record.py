"""A decision with the time of day and all that became of it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from gateway.scaling.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT: Final = 500
"""Decisions that are remembered, of all targets."""


class Event(Struct, frozen=True):
    """Something that became of a decision: when (time of day, ISO), a word, and a sentence or nothing."""

    wall: str
    event: str
    detail: str = ""


class Record(Struct):
    """One decision and its fate, oldest event first."""

    wall: str
    decision: Decision
    fate: list[Event] = field(default_factory=list)


class Records:
    """The newest decisions of all targets."""

    def __init__(self, kept: int = KEPT) -> None:
        self._order: deque[Record] = deque()
        self._by_id: dict[str, Record] = {}
        self._kept = kept

    def add(self, decision: Decision, wall: str) -> None:
        """Remember a decision; the oldest one goes when there are too many."""
        if len(self._order) >= self._kept:
            del self._by_id[self._order.popleft().decision.id]
        record = Record(wall, decision)
        self._order.append(record)
        self._by_id[decision.id] = record

    def note(self, identity: str, event: Event) -> None:
        """Something became of a decision; nothing happens when it is forgotten."""
        record = self._by_id.get(identity)
        if record is not None and not (record.fate and _is_same(record.fate[-1], event)):
            record.fate.append(event)

    def get(self, identity: str) -> Record | None:
        """The decision with this id, if it is remembered."""
        return self._by_id.get(identity)

    def __iter__(self) -> Iterator[Record]:
        """Newest first."""
        return reversed(self._order)

    def __len__(self) -> int:
        return len(self._order)


def _is_same(one: Event, other: Event) -> bool:
    """Whether one says what the other has said: an actuator that fails for hours says it once."""
    return (one.event, one.detail) == (other.event, other.detail)
