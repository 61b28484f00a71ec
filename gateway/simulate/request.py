"""One request of one client, as the gate knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.admission.sample import Sample
from gateway.admission.ticket import Ticket
from gateway.core.outcome import Outcome
from gateway.simulate.book import Answer, Departure, Shedding

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.simulate.crowd import Caller
    from gateway.simulate.world import World


class Request(Ticket):
    """Passes the gate or not, is served or not; open until its client knows, or has left."""

    __slots__ = ("_in_flight_then", "_is_admitted", "_world", "admitted_at", "attempt", "caller", "ended", "is_open")

    def __init__(self, world: World, kind: str, caller: Caller, attempt: int, ended: Callable[[], None] | None) -> None:
        super().__init__(
            caller.traffic_class,
            arrived_at=world.clock.now(),
            kind=kind,
            key=caller.key,
            cost=world.gate.latency,  # as in the gateway: nobody knows better before it was served
        )
        self._world = world
        self.caller = caller
        self.attempt = attempt
        self.ended = ended
        self.admitted_at = 0.0
        self._in_flight_then = 0
        self._is_admitted = False
        self.is_open = True

    def ask(self) -> None:
        """Come to the gate."""
        gate = self._world.gate
        now = self.arrived_at
        if gate.try_admit(now, self.kind):
            self.on_admitted(now)
            return
        refusal = gate.enqueue(self, now)
        if refusal is not None:
            self.on_shed(refusal.reason, now)

    def on_admitted(self, now: float) -> None:
        """Go to the service."""
        self.admitted_at = now
        self._in_flight_then = self._world.gate.in_flight
        self._is_admitted = True
        self._world.service.begin(self.kind, self._answered)

    def on_shed(self, reason: str, now: float) -> None:
        """Go away, and perhaps come back."""
        self._world.book.sheds.append(Shedding(now, self.caller, reason))
        self.is_open = False
        self._world.try_again(self)

    def give_up(self) -> None:
        """The client has waited long enough; the service, like most, goes on with the work."""
        if not self.is_open:
            return
        world = self._world
        now = world.clock.now()
        world.book.leaves.append(Departure(now, self.caller))
        self.is_open = False
        if self._is_admitted:
            self._finish(Outcome.NEUTRAL, now)
        else:
            world.gate.leave(self, now)
        world.try_again(self)

    def _answered(self, outcome: Outcome = Outcome.SUCCESS) -> None:
        if not self.is_open:
            return  # its place was given back when its client left
        world = self._world
        now = world.clock.now()
        self.is_open = False
        if outcome is Outcome.SUCCESS:
            world.book.answers.append(Answer(now, self.caller, now - self.arrived_at))
        else:
            world.book.sheds.append(Shedding(now, self.caller, outcome.value))
        if self.ended is not None:
            self.ended()
        stream = world.streams.get(self.kind, 0.0)
        if stream:
            self._stream(stream, now)
        else:
            self._finish(outcome, now)

    def _stream(self, seconds: float, now: float) -> None:
        """It was answered by the head of a stream, which gives its place back and goes on."""
        gate = self._world.gate
        sample = Sample(self.admitted_at, now, self._in_flight_then, self.kind, Outcome.SUCCESS)
        if gate.let_go(sample, now):
            self._world.clock.after(seconds, gate.end_stream)
        else:
            self._world.clock.after(seconds, gate.finish, sample, now)

    def _finish(self, outcome: Outcome, now: float) -> None:
        self._world.gate.finish(Sample(self.admitted_at, now, self._in_flight_then, self.kind, outcome), now)
