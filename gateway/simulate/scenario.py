"""A story that can be told again: with another seed, with another limit."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from gateway.admission.gate import Gate
from gateway.admission.queue import Queue
from gateway.admission.settings import QueueSettings
from gateway.simulate.arrivals import Poisson
from gateway.simulate.book import USEFUL
from gateway.simulate.client import Patience
from gateway.simulate.clock import EventClock
from gateway.simulate.crowd import ANYBODY, Crowd
from gateway.simulate.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.admission.limits.limit import Limit
    from gateway.simulate.crowd import Caller
    from gateway.simulate.service import Service, Work


def make_gate(limit: Limit, settings: QueueSettings | None = None) -> Gate:
    """A gate as the gateway makes it, with this limit and its default queue (or another)."""
    settings = settings or QueueSettings()
    return Gate(
        limit, Queue(max_length=settings.max_length, max_size=settings.max_bytes, max_wait=settings.longest_wait)
    )


@dataclass(frozen=True)
class Scenario:
    """What is offered to what, and which spans of it count.

    ``offered`` are (instant, requests per second from then on); ``changes`` are (instant, what happens to the
    service); ``spans`` are label → [begin, end); ``callers`` are who asks → its part of what is offered.
    """

    work: Callable[[Random], Work]
    service: Callable[[EventClock, Work], Service]
    offered: tuple[tuple[float, float], ...]
    spans: dict[str, tuple[float, float]]
    changes: tuple[tuple[float, Callable[[Service], None]], ...] = ()
    callers: Mapping[Caller, float] = field(default_factory=lambda: {ANYBODY: 1.0})
    patience: Patience = field(default_factory=lambda: Patience(give_up=1.0))
    useful: float = USEFUL

    def tell(self, limit: Limit, seed: int) -> World:
        """Live through it with this limit; each part of the world has its own dice."""
        clock = EventClock()
        work = self.work(_dice("work", seed))
        service = self.service(clock, work)
        for instant, change in self.changes:
            clock.at(instant, change, service)
        world = World(
            clock,
            _dice("clients", seed),
            arrivals=Poisson(_dice("arrivals", seed), *self.offered),
            gate=make_gate(limit),
            service=service,
            work=work,
            crowd=Crowd(_dice("callers", seed), self.callers),
            patience=self.patience,
            useful=self.useful,
        )
        return world.run(max(end for _, end in self.spans.values()))


def _dice(part: str, seed: int) -> Random:
    return Random(f"{part} {seed}")  # noqa: S311 - a simulation, not a secret
