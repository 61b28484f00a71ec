"""Who comes when: by a Poisson process whose rate changes in steps, by users in a closed loop, or in bursts."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from gateway.simulate.clock import EventClock


class Submit(Protocol):
    """Brings one request; ``ended`` is called once, when its client has an answer or has given up for good."""

    def __call__(self, ended: Callable[[], None] | None = None, /) -> None:
        """Bring it now."""


class Arrivals(Protocol):
    """Where requests come from."""

    def start(self, clock: EventClock, submit: Submit) -> None:
        """Begin to submit, from the clock's present on."""


class Poisson:
    """Independent arrivals; ``steps`` are (instant, requests per second from then on), in order."""

    __slots__ = ("_rng", "_steps")

    def __init__(self, rng: Random, *steps: tuple[float, float]) -> None:
        self._rng = rng
        self._steps: Sequence[tuple[float, float]] = steps

    def start(self, clock: EventClock, submit: Submit) -> None:
        """Begin to submit."""
        ends = [begin for begin, _ in self._steps[1:]] + [inf]

        def phase(rate: float, end: float) -> None:
            # A Poisson process has no memory, so each step may begin afresh.
            def arrive() -> None:
                if clock.now() < end:
                    plan()
                    submit()

            def plan() -> None:
                instant = clock.now() + self._rng.expovariate(rate)
                if instant < end:
                    clock.at(instant, arrive)

            if rate > 0:
                plan()

        for (begin, rate), end in zip(self._steps, ends, strict=True):
            clock.at(begin, phase, rate, end)


class ClosedLoop:
    """``users`` that ask, wait for the answer, think (exponential, mean ``think`` seconds) and ask again."""

    __slots__ = ("_rng", "_think", "_users")

    def __init__(self, rng: Random, users: int, think: float) -> None:
        self._rng = rng
        self._users = users
        self._think = think

    def start(self, clock: EventClock, submit: Submit) -> None:
        """Begin with everybody thinking."""

        def think() -> None:
            clock.after(self._rng.expovariate(1 / self._think) if self._think else 0.0, ask)

        def ask() -> None:
            submit(think)

        for _ in range(self._users):
            think()


class Bursts:
    """``count`` at one instant, at each of these instants."""

    __slots__ = ("_count", "_instants")

    def __init__(self, count: int, instants: Sequence[float]) -> None:
        self._count = count
        self._instants = instants

    def start(self, clock: EventClock, submit: Submit) -> None:
        """Plan them."""

        def burst() -> None:
            for _ in range(self._count):
                submit()

        for instant in self._instants:
            clock.at(instant, burst)
