"""A timer wheel for things that nearly always finish before their deadline.

A connection's deadline moves with every request, and nearly never comes. So moving it later costs an
attribute write; only moving it before the instant at which the wheel looks next costs an insertion.
(Varghese & Lauck 1987, scheme 6, with lazy re-insertion.)
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SLOT: Final = 0.02
"""The width of a slot in seconds: a deadline never fires early, and at most this much late (plus the tick)."""


class Timed:
    """Something with a deadline. Subclasses decide in ``on_deadline`` what it means.

    ``deadline`` is an instant on the wheel's clock, ``inf`` when there is none; after the first
    :meth:`DeadlineWheel.set` it may be moved later by plain assignment. ``looked_at`` is the wheel's own
    note of the instant at which it looks next.
    """

    __slots__ = ("deadline", "looked_at")

    def __init__(self) -> None:
        self.deadline = inf
        self.looked_at = inf

    def on_deadline(self, now: float) -> None:
        """The deadline has come; called once, with ``deadline`` already set to ``inf``."""
        raise NotImplementedError

    def on_fault(self) -> None:
        """:meth:`on_deadline` has raised, so this will have no other deadline: end it."""


class DeadlineWheel:
    """Holds everything that has a deadline; :meth:`advance` calls what is due.

    What one of them raises goes to ``note``, with the name "deadline", and does not hinder the others.
    """

    __slots__ = ("_done", "_note", "_slots")

    def __init__(self, now: float, note: Callable[[str, Exception], None] | None = None) -> None:
        self._note = note
        self._slots: dict[int, dict[Timed, None]] = {}
        self._done = int(now / SLOT)

    def set(self, item: Timed, deadline: float) -> None:
        """Give ``item`` a new deadline, sooner or later than the one before; ``inf`` takes it away."""
        item.deadline = deadline
        if deadline < item.looked_at - SLOT:
            self._insert(item, deadline)

    def forget(self, item: Timed) -> None:
        """Let go of ``item``; else what is over would be kept until the instant at which it was to be looked at."""
        item.deadline = inf
        self._remove(item)

    def advance(self, now: float) -> None:
        """Call ``on_deadline`` of everything whose slot has ended at ``now``."""
        last = int(now / SLOT)
        slots = self._slots
        if last - self._done > len(slots):
            due = sorted(number for number in slots if number <= last)
        else:
            due = list(range(self._done + 1, last + 1))
        self._done = max(self._done, last)
        for number in due:
            for item in slots.pop(number, ()):
                if item.looked_at != number * SLOT:
                    continue  # another's deadline, just now, has moved it or taken it away
                item.looked_at = inf
                deadline = item.deadline
                if deadline <= now:
                    item.deadline = inf
                    try:
                        item.on_deadline(now)
                    except Exception as error:
                        if self._note is None:
                            raise
                        self._note("deadline", error)
                        item.on_fault()
                elif deadline != inf:
                    self._insert(item, deadline)

    def _insert(self, item: Timed, deadline: float) -> None:
        self._remove(item)
        number = max(int(deadline / SLOT), self._done) + 1
        item.looked_at = number * SLOT
        self._slots.setdefault(number, {})[item] = None

    def _remove(self, item: Timed) -> None:
        if item.looked_at != inf:
            slot = self._slots.get(round(item.looked_at / SLOT))
            if slot is not None:
                slot.pop(item, None)
            item.looked_at = inf

    def __len__(self) -> int:
        return sum(len(items) for items in self._slots.values())

    def __repr__(self) -> str:
        return f"<DeadlineWheel items={len(self)}>"
