"""What is believed of replicas that nobody lets us count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from msgspec.structs import replace

from gateway.actuators.actuator import View
from gateway.signals.reading import Replicas

if TYPE_CHECKING:
    from gateway.core.clock import Clock


@runtime_checkable
class Told(Protocol):
    """An actuator that cannot count by itself, and takes somebody else's word; without it nothing is known at first."""

    def tell(self, replicas: Replicas) -> None:
        """So many replicas there are now."""


GROWN_OLD: Final = 300.0
"""Seconds after which an answer says nothing of what was on its way then: it has come by now."""


class Belief:
    """Joins what was asked for, what was answered and what is told; each grows old.

    | who says it | is believed |
    |---|---|
    | the receiver of a decision, in its answer | until who tells has another number than at the answer |
    | who tells, such as the endpoints behind a name | as of the moment of telling, and no longer |
    | nobody but us: what was carried out | while no number, or a single endpoint, is told |

    A single endpoint may be one address for many replicas, so it contradicts nothing. Before all that nothing is known.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told_at: float | None = None
        self._told = Replicas()
        self._asked: int | None = None
        self._asked_at = 0.0
        self._answered: Replicas | None = None
        self._told_then = Replicas()
        """What was told at the moment of the answer."""

    def tell(self, replicas: Replicas) -> None:
        """So many there are now; ``desired`` 0 means that the teller does not know what was asked for."""
        self._told_at = self._clock.now()
        self._told = replicas

    def carried_out(self, desired: int, answered: Replicas | None = None) -> None:
        """So many were asked for, and whoever was asked may have said how many there are."""
        self._asked = desired
        self._asked_at = self._clock.now()
        self._answered = answered
        self._told_then = self._told

    @property
    def view(self) -> View:
        """What is believed now, as old as the latest word of it."""
        told, at = self._told, self._asked_at if self._told_at is None else self._told_at
        if self._answered is not None and told == self._told_then:
            return View(at=at, replicas=self._of_answer(self._answered))
        if self._asked is not None and told.desired + told.ready + told.warming <= 1:
            ready = self._asked if self._told_at is None else told.ready
            return View(at=at, replicas=replace(told, ready=ready, desired=self._asked))
        if self._told_at is None:
            return View()
        return View(at=at, replicas=replace(told, desired=told.desired or told.ready + told.warming))

    def _of_answer(self, answered: Replicas) -> Replicas:
        counted = answered.ready + answered.warming
        if self._clock.now() - self._asked_at < GROWN_OLD:
            return replace(answered, desired=counted)
        return Replicas(ready=counted, standby=answered.standby, desired=counted)

    def __repr__(self) -> str:
        return f"<Belief {self.view.replicas}>"
