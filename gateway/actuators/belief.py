"""What is believed of replicas that nobody lets us count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

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


class Belief:
    """Joins what was asked for with what somebody told.

    Whoever carried the last decision out and said how many there are knows best. Who tells, such as the number of
    endpoints behind a name, is believed as of the moment of telling. Where nobody ever does either, what was carried
    out last stands until the next decision: that there is no way to count is the operator's choice, and a view that
    grew old by itself would never let anything be scaled in. Before all that, nothing is known.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told_at: float | None = None
        self._told = Replicas()
        self._asked: int | None = None
        self._answered: Replicas | None = None

    def tell(self, replicas: Replicas) -> None:
        """So many there are now; ``desired`` 0 means that the teller does not know what was asked for."""
        self._told_at = self._clock.now()
        self._told = replicas

    def carried_out(self, desired: int, answered: Replicas | None = None) -> None:
        """So many were asked for, and whoever was asked may have said how many there are."""
        self._asked = desired
        self._answered = answered

    @property
    def view(self) -> View:
        """What is believed now."""
        if self._answered is None and self._told_at is not None:
            told = self._told
            desired = told.desired or (told.ready + told.warming if self._asked is None else self._asked)
            return View(at=self._told_at, replicas=replace(told, desired=desired))
        if self._asked is None:
            return View()
        said = self._answered or Replicas(ready=self._asked)
        return View(at=self._clock.now(), replicas=replace(said, desired=self._asked))

    def __repr__(self) -> str:
        return f"<Belief {self.view.replicas}>"
