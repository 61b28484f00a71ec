"""Policies of other scalers, as their documents describe them, to be measured beside ours."""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.simulate.scaling.world import Policy, World

    Usage = Callable[[World, int], float]


def concurrency(world: World, seconds: int) -> float:
    """In flight and queued, the mean of the last so many seconds: what autoscalers are fed with today."""
    return world.mean(world.in_flight, seconds) + world.mean(world.queued, seconds)


class Later:
    """A policy that looks for the first time at second ``begin``, and from there at its period.

    What loops every 15 s meets a surge somewhere between two looks, and each second of waiting for the next one may
    cost a fifth of all its violations. Whoever is compared must wait alike.
    """

    period = 1.0

    def __init__(self, policy: Policy, begin: int) -> None:
        self._policy = policy
        self.begin = begin

    def desired(self, world: World) -> int | None:
        """What the policy says when it looks; None in between."""
        passed = world.now - self.begin
        return None if passed < 0 or passed % self._policy.period else self._policy.desired(world)


class Static:
    """Always the same number."""

    period = 3600.0

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas

    def desired(self, world: World) -> int:
        """That number."""
        del world
        return self._replicas


class Clairvoyant:
    """What the oracle says, one cold start ahead."""

    period = 10.0

    def __init__(self, best: Sequence[int], ahead: float) -> None:
        self._best = best
        self._ahead = ahead

    def desired(self, world: World) -> int:
        """The most that is needed from now until a replica that is asked for later would be ready."""
        begin = world.now
        return max(self._best[begin : begin + int(self._ahead * 1.1 + self.period) + 1])


class Hpa:
    """Kubernetes' HorizontalPodAutoscaler (autoscaling/v2, defaults) with an average-value target for each replica.

    Every 15 s: within the tolerance of 10 % hold, else ceil(usage/target). Scale-in on the most of 300 s, at
    once otherwise; out by at most max(+4, ×2) in 15 s.
    """

    period = 15.0
    _TOLERANCE: Final = 0.1
    _DOWN: Final = 300

    def __init__(self, target: float, usage: Usage = concurrency, *, down: int = _DOWN) -> None:
        self._target = target
        self._usage = usage
        self._down = down
        self._wanted: deque[tuple[int, int]] = deque()

    def desired(self, world: World) -> int | None:
        """One turn of its loop; without metrics it holds."""
        if not world.now:
            return None
        have = world.asked
        usage = self._usage(world, 15)
        ratio = usage / (self._target * max(have, 1))
        wanted = have if abs(ratio - 1) <= self._TOLERANCE else ceil(usage / self._target)
        wanted = min(max(wanted, world.site.least), world.site.most)
        self._wanted.append((world.now, wanted))
        while self._wanted[0][0] <= world.now - self._down:
            self._wanted.popleft()
        if wanted < have:
            return min(have, max(each for _, each in self._wanted))
        return min(wanted, max(have + 4, have * 2))


class Kpa:
    """Knative's KPA: every 2 s the mean of 60 s, or of 6 s in a panic (knative.dev, autoscaler defaults)."""

    period = 2.0
    _PANIC_RATIO: Final = 2.0
    _STABLE: Final = 60
    _PANIC: Final = 6

    def __init__(self, target: float, usage: Usage = concurrency) -> None:
        self._target = target
        self._usage = usage
        self._panicked_at: int | None = None
        self._panic_most = 0

    def desired(self, world: World) -> int | None:
        """One turn of its loop; without metrics it holds."""
        if not world.now:
            return None
        ready = max(world.ready, 1)
        stable = ceil(self._usage(world, self._STABLE) / self._target)
        panic = ceil(self._usage(world, self._PANIC) / self._target)
        low, high = ready // 2, ready * 1000
        stable, panic = (min(max(each, low), high) for each in (stable, panic))
        if panic / ready >= self._PANIC_RATIO:
            if self._panicked_at is None:
                self._panic_most = 0
            self._panicked_at = world.now
        elif self._panicked_at is not None and world.now - self._panicked_at >= self._STABLE:
            self._panicked_at = None
        if self._panicked_at is None:
            return stable
        self._panic_most = max(self._panic_most, panic, ready)
        return self._panic_most


class RayServe:
    """Ray Serve's autoscaling: ongoing requests over a target of 2 in 5, out after 30 s, in after 600 s (defaults)."""

    period = 10.0
    _OUT: Final = 30.0
    _IN: Final = 600.0
    _LOOK_BACK: Final = 30

    def __init__(self, target: float) -> None:
        self._target = target
        self._since = 0.0
        self._direction = 0

    def desired(self, world: World) -> int | None:
        """One turn: a direction must last for its delay before it is taken."""
        wanted = ceil(concurrency(world, self._LOOK_BACK) / self._target)
        direction = (wanted > world.asked) - (wanted < world.asked)
        if direction != self._direction:
            self._direction, self._since = direction, world.now
        if direction > 0 and world.now - self._since >= self._OUT:
            self._direction = 0
            return wanted
        if direction < 0 and world.now - self._since >= self._IN:
            self._direction = 0
            return wanted
        return None


class UwsgiBusyness:
    """uWSGI's cheaper busyness: a worker more above 50 % busy, one less after ten cycles below 25 % (defaults).

    A cycle is 30 s; 33 requests in the listen queue start a worker at once, two cycles of calm end that.
    """

    period = 1.0
    _CYCLE: Final = 30
    _BUSY: Final = 0.5
    _IDLE: Final = 0.25
    _CYCLES: Final = 10
    _ALERT: Final = 33

    def __init__(self) -> None:
        self._calm = 0

    def desired(self, world: World) -> int | None:
        """One second: the alarm at once, the rest at the ends of cycles."""
        if world.now and world.queued[world.now - 1] > self._ALERT:
            return world.asked + 1
        if not world.now or world.now % self._CYCLE:
            return None
        busy = world.mean(world.in_flight, self._CYCLE) / (world.site.slots * max(world.ready, 1))
        if busy > self._BUSY:
            self._calm = 0
            return world.asked + 1
        self._calm = self._calm + 1 if busy < self._IDLE else 0
        if self._calm >= self._CYCLES:
            self._calm = 0
            return world.asked - 1
        return None
