"""What the world needs of a gate, and the smallest gate that will do: a limit and a short stack.

The stack serves the newest first, because under overload the oldest are the ones about to give up
(Maurer, *Fail at Scale*, 2015), and sheds who has waited ``max_wait``.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from gateway.admission.sample import Sample
from gateway.core.outcome import Outcome

if TYPE_CHECKING:
    from gateway.admission.limits.limit import Limit

WAITING: Final = 0
IN_FLIGHT: Final = 1
ENDED: Final = 2


class Ticket(Protocol):
    """A request at the gate.

    The gate calls ``admit`` or ``shed`` once, and keeps ``stage``, ``admitted_at`` and ``in_flight`` for itself.
    """

    kind: str
    arrived_at: float
    admitted_at: float
    in_flight: int
    stage: int

    def admit(self, now: float) -> None:
        """You are let in."""

    def shed(self, reason: str, now: float) -> None:
        """You are turned away."""


class Gate(Protocol):
    """Decides who is in flight."""

    def arrive(self, ticket: Ticket, now: float) -> None:
        """A request asks to be let in."""

    def finish(self, ticket: Ticket, outcome: Outcome, now: float) -> None:
        """A request that was let in is done; ``now`` is the first byte of its answer."""

    def leave(self, ticket: Ticket, now: float) -> None:
        """Its client left, wherever it was."""

    def tick(self, now: float) -> None:
        """Time has passed."""

    @property
    def limit(self) -> Limit:
        """What bounds the number in flight."""

    @property
    def in_flight(self) -> int:
        """How many are let in and not finished."""


class MinimalGate:
    """A limit, and a stack in which nobody waits longer than ``max_wait`` seconds."""

    __slots__ = ("_limit", "_max_wait", "_stack", "in_flight")

    def __init__(self, limit: Limit, max_wait: float = 0.1) -> None:
        self._limit = limit
        self._max_wait = max_wait
        self._stack: deque[Ticket] = deque()
        self.in_flight = 0

    @property
    def limit(self) -> Limit:
        """What bounds the number in flight."""
        return self._limit

    def arrive(self, ticket: Ticket, now: float) -> None:
        """Let it in, or let it wait."""
        if self.in_flight < self._limit.value:
            self._admit(ticket, now)
            return
        self._limit.held_back(now)
        ticket.stage = WAITING
        self._stack.append(ticket)

    def finish(self, ticket: Ticket, outcome: Outcome, now: float) -> None:
        """Teach the limit, and let in who may now."""
        if ticket.stage != IN_FLIGHT:
            return
        ticket.stage = ENDED
        self.in_flight -= 1
        self._limit.update(Sample(ticket.admitted_at, now, ticket.in_flight, ticket.kind, outcome))
        self.tick(now)

    def leave(self, ticket: Ticket, now: float) -> None:
        """Give back its place; the limit learns nothing."""
        if ticket.stage == IN_FLIGHT:
            self.finish(ticket, Outcome.NEUTRAL, now)
        else:
            ticket.stage = ENDED

    def tick(self, now: float) -> None:
        """Shed who waited too long, and let in who may."""
        stack = self._stack
        too_old = now - self._max_wait
        while stack and (stack[0].stage == ENDED or stack[0].arrived_at <= too_old):
            ticket = stack.popleft()
            if ticket.stage != ENDED:
                ticket.stage = ENDED
                ticket.shed("queue_timeout", now)
        while stack and self.in_flight < self._limit.value:
            ticket = stack.pop()
            if ticket.stage != ENDED:
                self._admit(ticket, now)

    def _admit(self, ticket: Ticket, now: float) -> None:
        ticket.stage = IN_FLIGHT
        self.in_flight += 1
        ticket.admitted_at = now
        ticket.in_flight = self.in_flight
        ticket.admit(now)

    def __repr__(self) -> str:
        return f"<MinimalGate inflight={self.in_flight}/{self._limit.value} queued={len(self._stack)}>"
