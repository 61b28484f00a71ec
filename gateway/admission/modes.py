"""Gates whose limit or queue is not enforced.

*A limit in shadow* is found and shown as if it held; whoever it would have made wait is let pass at once. So
nobody waits, and the queue has nothing to do.

*A limit that is off* lets everybody in.

*A queue in shadow* decides as ever, and nobody is turned away for it: whoever it would shed stands aside, still bound
by the limit, and goes when nobody else waits. Its decisions, and so its counts, are nearly those of an enforced one,
because those aside take only what the others leave. Under lasting overload they wait until they give up: the price of
a limit that holds and a queue that may not refuse. How many stand aside is bounded by the connections that clients
may open. What the gateway refuses to protect itself it refuses here too.

*A queue that is off* lets nobody wait: over the limit is ``limit_reached`` at once.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from gateway.admission.gate import Gate, Refusal
from gateway.admission.limits.fixed import Fixed

if TYPE_CHECKING:
    from gateway.admission.limits.limit import Limit
    from gateway.admission.queue import Queue
    from gateway.admission.sample import Sample
    from gateway.admission.settings import Mode
    from gateway.admission.ticket import Ticket

NO_LIMIT: Final = 2**31
"""More than can ever be in flight."""
_ENFORCED: Final = frozenset({"self_protection", "breaker_open"})


def _over_limit(gate: Gate) -> Refusal:
    """The numbers of a request that the limit does not admit."""
    return Refusal("limit_reached", gate.in_flight, gate.limit.value, gate.retry_after())


class ShadowLimitGate(Gate):
    """Lets everybody pass, and says who would not have been admitted at once."""

    __slots__ = ()

    def let_pass(self) -> Refusal:
        """Admit beyond the limit, and say what speaks against it."""
        refusal = _over_limit(self)
        self.in_flight += 1
        return refusal


class QueuelessGate(Gate):
    """Admits or sheds; nobody waits."""

    __slots__ = ()

    def enqueue(self, ticket: Ticket, now: float) -> Refusal:  # noqa: ARG002 - whoever it is, there is no queue
        """Shed: there is nowhere to wait."""
        return _over_limit(self)


class ShadowQueueGate(Gate):
    """Lets wait on whom the queue would shed; they go when nobody else waits, first come first served."""

    __slots__ = ("_aside",)

    def __init__(self, limit: Limit, queue: Queue) -> None:
        super().__init__(limit, queue)
        self._aside: OrderedDict[Ticket, None] = OrderedDict()

    def keep_aside(self, ticket: Ticket, reason: str) -> bool:
        """Let a ticket wait on that the queue does not hold any more, or never did."""
        if reason in _ENFORCED:
            return False
        self._aside[ticket] = None
        return True

    def finish(self, sample: Sample, now: float) -> None:
        """A request has ended; its place goes to whoever is next, those aside last."""
        super().finish(sample, now)
        self._admit_aside(now)

    def admit_waiting(self, now: float) -> None:
        """Admit as many as the limit allows, those aside last."""
        super().admit_waiting(now)
        self._admit_aside(now)

    def leave(self, ticket: Ticket, now: float) -> None:
        """A waiting client has gone."""
        if ticket in self._aside:
            del self._aside[ticket]
        else:
            super().leave(ticket, now)

    def tick(self, now: float) -> None:
        """Move aside whoever has waited too long."""
        super().tick(now)
        self._admit_aside(now)

    def waiting(self) -> dict[str, int]:
        """How many wait, by class, those aside too."""
        found = super().waiting()
        for ticket in self._aside:
            name = ticket.traffic_class.name
            found[name] = found.get(name, 0) + 1
        return found

    def oldest(self) -> float | None:
        """The arrival of whoever has waited longest, those aside too."""
        aside = min((ticket.arrived_at for ticket in self._aside), default=None)
        queued = super().oldest()
        return queued if aside is None else aside if queued is None else min(aside, queued)

    @property
    def waiting_size(self) -> int:
        """Bytes of those who wait, those aside too."""
        return super().waiting_size + sum(ticket.size for ticket in self._aside)

    def _admit_aside(self, now: float) -> None:
        if self._is_admitting:
            return  # as in admit_waiting: the loop that is running goes on
        self._is_admitting = True
        try:
            while self._aside and self.in_flight < self.limit.value and self.suspended_until is None:
                ticket, _ = self._aside.popitem(last=False)
                self.in_flight += 1
                watch = self.limit.watch
                if watch is not None:
                    watch.begin(now, self.in_flight, ticket.kind)
                ticket.on_admitted(now)
        finally:
            self._is_admitting = False

    def __repr__(self) -> str:
        gate = super().__repr__().removesuffix(">")
        return f"{gate} aside={len(self._aside)}>"


def make_gate(limit: Limit, queue: Queue, *, limit_mode: Mode, queue_mode: Mode) -> Gate:
    """The gate in which limit and queue are enforced, in shadow or off."""
    if limit_mode == "off":
        return Gate(Fixed(NO_LIMIT), queue)
    if limit_mode == "shadow":
        return ShadowLimitGate(limit, queue)
    return {"enforce": Gate, "shadow": ShadowQueueGate, "off": QueuelessGate}[queue_mode](limit, queue)
