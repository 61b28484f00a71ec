"""The face that every actuator has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from gateway.signals.reading import Replicas

if TYPE_CHECKING:
    from gateway.scaling.decision import Decision


class View(Struct, frozen=True):
    """What an actuator knows of the replicas of its target."""

    at: float | None = None
    """When this was last true for certain, on the clock's ``now``; None when nothing was ever known."""
    replicas: Replicas = Replicas()
    cold_starts: tuple[float, ...] = ()
    """The latest measured times from intent to ready, in seconds, at most 100."""
    room: int | None = None
    """Replicas that the machine allows in all; None when that is not the actuator's to say."""
    owner: str | None = None
    """Another autoscaler of the same target, by name: then decisions are published only."""
    changed_by: str = ""
    """Who has set the number of replicas last, as far as that is written anywhere; empty where nobody knows."""
    slack: float = 0.0
    """Seconds that a count takes: so much of its age says nothing against it."""
    problem: str = ""
    """Why it cannot see or act now, in words for a person; empty when it can."""


class ActuatorFailed(Exception):
    """A decision was not carried out: a reason word and a sentence that says what to do."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Actuator(Protocol):
    """Brings about the number of replicas that decisions say.

    ``apply`` may take long and is never called twice at once; it must be safe to call again with the same decision.
    """

    @property
    def view(self) -> View:
        """What is known now; never waits."""

    def start(self) -> None:
        """Begin to watch; needs a running loop."""

    async def apply(self, decision: Decision) -> None:
        """Carry out ``decision.after``; raises :class:`ActuatorFailed`."""

    async def stop(self) -> None:
        """Stop watching; leaves the replicas as they are."""
