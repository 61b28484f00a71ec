"""One policy lives through one trace: the measures, and a picture of it."""

from __future__ import annotations

from math import ceil
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from gateway.simulate.scaling.measures import Measures, measure
from gateway.simulate.scaling.oracle import asked, needed, planned
from gateway.simulate.scaling.policies import make
from gateway.simulate.scaling.requests import FROM, Requests, RequestWorld, draw_requests
from gateway.simulate.scaling.world import Load, Site, World, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.scaling.settings import ScalingSettings
    from gateway.simulate.scaling.traces import Trace
    from gateway.simulate.scaling.world import Policy

_HOUR: Final = 3600
_POOL: Final = 1000
"""Between the seeds of requests and of starts."""
POINTS: Final = 720
"""Points of a curve; each is the mean of its part, or the highest for waits."""


class Curves(Struct, frozen=True):
    """What is drawn, on a common grid of ``step`` seconds."""

    step: float
    arrivals: list[float]
    replicas: list[float]
    best: list[float]
    wait: list[float]
    violations: list[float]
    """Requests in each part; their sum is that of the whole story."""
    cost: list[float]
    """Replica hours so far."""


class Ending(Struct, frozen=True):
    """One policy in one story."""

    policy: str
    seed: int
    measures: Measures
    curves: Curves | None = None


class Story:
    """A trace drawn with one seed, scaled so that its peak needs ``peak`` replicas; None leaves it as it is.

    The first ``since`` seconds are lived through and not measured: they lead in (:meth:`Trace.led_in`).
    """

    def __init__(self, trace: Trace, site: Site, seed: int, peak: float | None = 30.0, *, since: int = 0) -> None:
        self.site = site
        self.seed = seed
        self.since = since
        rng = Random(seed)  # noqa: S311 - a story, not a secret
        trace = trace if peak is None else trace.scaled(peak * site.rate)
        self.load: Load
        self.unbounded: list[int]
        """What the oracle would have without the site's bounds."""
        self.best: list[int]
        if site.work.mean > FROM:
            self.load = draw_requests(trace, site.work, rng)
            plan = planned(self.load, site, seed + _POOL, since)
            self.unbounded, self.best, self.bill = plan.unbounded, plan.best, plan.bill
            self.start = asked(plan.best, site)[0]
        else:
            self.load = draw(trace, site.work, rng)
            self.unbounded = needed(self.load.rates, site)
            self.best = [min(max(need, site.least), site.most) for need in self.unbounded]
            self.bill = float(sum(self.best[since:]))
            self.start = self.best[0]

    def world(self) -> World:
        """A fresh world at its beginning, with as many replicas as the oracle has there."""
        rng = Random(self.seed + _POOL)  # noqa: S311 - a story, not a secret
        if isinstance(self.load, Requests):
            return RequestWorld(self.site, self.load, rng, start=self.start)
        return World(self.site, self.load, rng, start=self.start)

    def tell(self, name: str, settings: ScalingSettings | None = None, *, with_curves: bool = False) -> Ending:
        """Live through it under a policy by name."""
        return self.live(name, make(name, self.site, self.best, settings, seed=self.seed), with_curves=with_curves)

    def live(
        self,
        name: str,
        policy: Policy,
        *,
        with_curves: bool = False,
        on_progress: Callable[[int], None] | None = None,
    ) -> Ending:
        """Live through it under a policy; ``on_progress`` hears every hour how many seconds are over."""
        world = self.world()
        while on_progress is not None and world.now < len(self.best):
            world.live(policy, world.now + _HOUR)
            on_progress(world.now)
        world.live(policy)
        found = measure(world, self.best, self.bill, self.since)
        return Ending(name, self.seed, found, curves(world, self.best) if with_curves else None)


def curves(world: World, best: Sequence[int]) -> Curves:
    """Thin the columns of a world for drawing."""
    step = max(ceil(len(best) / POINTS), 1)

    def mean(column: Sequence[float]) -> list[float]:
        return [sum(part) / len(part) for part in _parts(column, step)]

    billed = mean(world.billed)
    cost, total = [], 0.0
    for value in billed:
        total += value * step / 3600
        cost.append(total)
    return Curves(
        step=float(step),
        arrivals=mean(world.load.arrivals),
        replicas=billed,
        best=mean(best),
        wait=[max(part) for part in _parts(world.waits, step)],
        violations=[sum(part) for part in _parts(world.violations, step)],
        cost=cost,
    )


def _parts(column: Sequence[float], step: int) -> list[Sequence[float]]:
    return [column[begin : begin + step] for begin in range(0, len(column), step)]
