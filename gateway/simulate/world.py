"""Arrivals → gate → service → client, and the book that is kept of it."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final

from gateway.simulate.book import USEFUL, Book, Course
from gateway.simulate.book import Arrival as Arrived
from gateway.simulate.client import Patience
from gateway.simulate.crowd import ANYBODY
from gateway.simulate.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from gateway.admission.gate import Gate
    from gateway.simulate.arrivals import Arrivals
    from gateway.simulate.clock import EventClock
    from gateway.simulate.crowd import Caller, Crowd
    from gateway.simulate.service import Service, Work

TICK: Final = 0.02
"""Seconds between ticks of the gate, as in the gateway."""


class World:
    """One story under virtual time, and its ``book``.

    ``streams`` are the kinds that are answered by the head of a stream → its length in seconds.
    """

    def __init__(  # noqa: PLR0913 - each is one part of the world
        self,
        clock: EventClock,
        rng: Random,
        *,
        arrivals: Arrivals,
        gate: Gate,
        service: Service,
        work: Work,
        crowd: Crowd | None = None,
        patience: Patience | None = None,
        useful: float = USEFUL,
        streams: Mapping[str, float] | None = None,
        tick: float = TICK,
    ) -> None:
        self.clock = clock
        self.gate = gate
        self.service = service
        self.book = Book(useful)
        self.streams = streams or {}
        self._step = tick
        self._rng = rng
        self._work = work
        self._crowd = crowd
        self._patience = patience or Patience(give_up=1.0)
        # Who may give up, in the order in which they would; one event waits for the first that is still open.
        self._waiting: deque[Request] = deque()
        self._is_watching = False
        arrivals.start(clock, self._submit)
        clock.after(tick, self._tick)

    def run(self, until: float) -> World:
        """Let the story go on up to ``until``."""
        self.clock.run(until)
        return self

    def try_again(self, request: Request) -> None:
        """The client got nothing: another request, now or later, or the end."""
        pause = self._patience.pause(request.attempt, self._rng)
        if pause is not None:
            self.clock.after(pause, self._ask, request.kind, request.caller, request.attempt + 1, request.ended)
        elif request.ended is not None:
            request.ended()

    def _submit(self, ended: Callable[[], None] | None = None, /) -> None:
        self._ask(self._work.kind(), ANYBODY if self._crowd is None else self._crowd.draw(), 1, ended)

    def _ask(self, kind: str, caller: Caller, attempt: int, ended: Callable[[], None] | None) -> None:
        request = Request(self, kind, caller, attempt, ended)
        self.book.arrivals.append(Arrived(request.arrived_at, caller))
        give_up = self._patience.give_up
        if give_up < inf:
            self._waiting.append(request)
            if not self._is_watching:
                self._is_watching = True
                self.clock.at(request.arrived_at + give_up, self._watch)
        request.ask()

    def _watch(self) -> None:
        waiting = self._waiting
        now = self.clock.now()
        give_up = self._patience.give_up
        while waiting and (not waiting[0].is_open or waiting[0].arrived_at + give_up <= now):
            waiting.popleft().give_up()
        self._is_watching = bool(waiting)
        if waiting:
            self.clock.at(waiting[0].arrived_at + give_up, self._watch)

    def _tick(self) -> None:
        now = self.clock.now()
        self.gate.tick(now)
        self.book.course.append(Course(now, self.gate.limit.value, self.gate.in_flight))
        self.clock.after(self._step, self._tick)
