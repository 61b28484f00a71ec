"""Services of the zoo that are made of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.simulate.service import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from gateway.simulate.clock import EventClock
    from gateway.simulate.service import Service, Work

UNBOUNDED = 10**9


class Endpoints:
    """Several services that take turns."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._turn = 0

    def begin(self, kind: str, done: Callable[..., None]) -> None:
        """Give it to the next one."""
        self._turn = (self._turn + 1) % len(self._services)
        self._services[self._turn].begin(kind, done)

    def resize(self, count: int) -> None:
        """Give each of them so many workers."""
        for service in self._services:
            service.resize(count)

    def hurry(self, speed: float) -> None:
        """Change the speed of all."""
        for service in self._services:
            service.hurry(speed)


class ByRoute:
    """A service for each kind; kinds without one have no bound."""

    def __init__(self, clock: EventClock, work: Work, services: dict[str, Service]) -> None:
        self._services = services
        self._others = Workers(clock, work, UNBOUNDED)

    def begin(self, kind: str, done: Callable[..., None]) -> None:
        """Give it to the one of its kind."""
        self._services.get(kind, self._others).begin(kind, done)

    def resize(self, count: int) -> None:
        """Give each of them so many workers."""
        for service in self._services.values():
            service.resize(count)

    def hurry(self, speed: float) -> None:
        """Change the speed of all."""
        for service in (*self._services.values(), self._others):
            service.hurry(speed)


class HeldBySome:
    """Work of which a ``share`` takes ``times`` as long: clients that read slowly hold a worker."""

    def __init__(self, work: Work, rng: Random, share: float, times: float) -> None:
        self._work = work
        self._rng = rng
        self._share = share
        self._times = times

    def kind(self) -> str:
        """As the work says."""
        return self._work.kind()

    def draw(self, kind: str) -> float:
        """One cost."""
        cost = self._work.draw(kind)
        return cost * self._times if self._rng.random() < self._share else cost
