"""One policy lives through one trace: the measures, and a picture of it."""

from __future__ import annotations

from math import ceil
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from gateway.simulate.scaling.measures import Measures, measure
from gateway.simulate.scaling.oracle import needed
from gateway.simulate.scaling.policies import make
from gateway.simulate.scaling.world import Load, Site, World, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.scaling.settings import ScalingSettings
    from gateway.simulate.scaling.traces import Trace
    from gateway.simulate.scaling.world import Policy

_HOUR: Final = 3600
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
    """A trace drawn with one seed, scaled so that its peak needs ``peak`` replicas; None leaves it as it is."""

    def __init__(self, trace: Trace, site: Site, seed: int, peak: float | None = 30.0) -> None:
        self.site = site
        self.seed = seed
        rng = Random(seed)  # noqa: S311 - a story, not a secret
        self.load: Load = draw(trace if peak is None else trace.scaled(peak * site.rate), site.work, rng)
        self.unbounded = needed(self.load.rates, site)
        """What the oracle would have without the site's bounds."""
        self.best = [min(max(need, site.least), site.most) for need in self.unbounded]

    def world(self) -> World:
        """A fresh world at its beginning, with as many replicas as its first window needs."""
        rng = Random(self.seed + 1000)  # noqa: S311 - a story, not a secret
        return World(self.site, self.load, rng, start=self.best[0])

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
        return Ending(name, self.seed, measure(world, self.best), curves(world, self.best) if with_curves else None)


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
