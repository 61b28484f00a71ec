"""Upstreams to simulate: workers with an endless backlog, a shared processor, and what requests cost them.

None of them notices a client that has left: like most real servers they do the work all the same.
``GAP`` is the time on the wire after the work, in which a request is in flight and occupies nobody.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from math import log, sqrt
from typing import TYPE_CHECKING, Final, Protocol

from gateway.core.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from gateway.simulate.clock import EventClock

GAP: Final = 0.0005


class Work(Protocol):
    """What requests cost: seconds of one worker's or one core's time."""

    def kind(self) -> str:
        """The kind (route) of the next request."""

    def draw(self, kind: str) -> float:
        """The cost of one request of this kind."""


class Costs:
    """One kind of request whose cost is drawn by ``draw``."""

    __slots__ = ("_draw",)

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw

    def kind(self) -> str:
        """Always the same."""
        return "all"

    def draw(self, kind: str) -> float:
        """One cost."""
        del kind
        return self._draw()


def constant(mean: float) -> Costs:
    """Every request costs the same."""
    return Costs(lambda: mean)


def exponential(rng: Random, mean: float) -> Costs:
    """Most cost little, some a lot (coefficient of variation 1)."""
    return Costs(lambda: rng.expovariate(1 / mean))


def lognormal(rng: Random, mean: float, cv: float = 1.0) -> Costs:
    """Hardly any cost nothing; ``cv`` is standard deviation ÷ mean."""
    variance = log(1 + cv * cv)
    return Costs(lambda: rng.lognormvariate(log(mean) - variance / 2, sqrt(variance)))


def bimodal(rng: Random, mean: float, ratio: float = 50.0, share: float = 0.05) -> Costs:
    """A ``share`` of the requests costs ``ratio`` times as much as the others, and nothing tells them apart."""
    cheap = mean / (1 - share + share * ratio)
    return Costs(lambda: cheap * ratio if rng.random() < share else cheap)


class Mix:
    """Several routes in one upstream: kind → (share of the requests, what one costs)."""

    __slots__ = ("_costs", "_kinds", "_rng", "_shares")

    def __init__(self, rng: Random, parts: Mapping[str, tuple[float, Costs]]) -> None:
        self._rng = rng
        self._kinds = list(parts)
        self._shares = [share for share, _ in parts.values()]
        self._costs = {kind: costs for kind, (_, costs) in parts.items()}

    def kind(self) -> str:
        """A route, by its share."""
        return self._rng.choices(self._kinds, self._shares)[0]

    def draw(self, kind: str) -> float:
        """One cost on this route."""
        return self._costs[kind].draw(kind)


class Service(Protocol):
    """Something that does work and says when it is done."""

    def begin(self, kind: str, done: Callable[..., None]) -> None:
        """Take a request; ``done`` is called when its answer has arrived, with the outcome if that is no success."""

    def resize(self, count: int) -> None:
        """Have so many workers (or cores) from now on."""

    def hurry(self, speed: float) -> None:
        """Work at this multiple of the nominal speed from now on."""


class Workers:
    """``count`` workers, first come first served, with a backlog that has no end, or one of this length."""

    __slots__ = ("_backlog", "_busy", "_clock", "_count", "_most", "_speed", "_work")

    def __init__(self, clock: EventClock, work: Work, count: int, *, backlog: int | None = None) -> None:
        self._most = backlog
        self._clock = clock
        self._work = work
        self._count = count
        self._speed = 1.0
        self._busy = 0
        self._backlog: deque[tuple[str, Callable[..., None]]] = deque()

    def begin(self, kind: str, done: Callable[..., None]) -> None:
        """Start at once, or when those before have been served; fail at once when as many wait as may."""
        if self._most is not None and self._busy >= self._count and len(self._backlog) >= self._most:
            self._clock.after(GAP, done, Outcome.FAILURE)
            return
        self._backlog.append((kind, done))
        self._pump()

    def resize(self, count: int) -> None:
        """Have so many workers; those above the number finish what they do."""
        self._count = count
        self._pump()

    def hurry(self, speed: float) -> None:
        """Change the speed for work that begins from now on."""
        self._speed = speed

    def _pump(self) -> None:
        while self._busy < self._count and self._backlog:
            kind, done = self._backlog.popleft()
            self._busy += 1
            self._clock.after(self._work.draw(kind) / self._speed, self._finish, done)

    def _finish(self, done: Callable[..., None]) -> None:
        self._busy -= 1
        self._clock.after(GAP, done)
        self._pump()

    def __repr__(self) -> str:
        return f"<Workers busy={self._busy}/{self._count} backlog={len(self._backlog)}>"


class Sharing:
    """``cores`` shared equally by all (processor sharing): nobody waits, everybody gets slower.

    Beyond ``knee`` requests at once the whole is slower too: its rate is divided by
    1 + ``thrash`` × (requests - knee), as when memory or locks run short.
    """

    __slots__ = ("_clock", "_cores", "_due", "_epoch", "_knee", "_last", "_served", "_speed", "_thrash", "_work")

    def __init__(
        self,
        clock: EventClock,
        work: Work,
        cores: int,
        *,
        knee: int | None = None,
        thrash: float = 0.05,
    ) -> None:
        self._clock = clock
        self._work = work
        self._cores = cores
        self._knee = knee
        self._thrash = thrash
        self._speed = 1.0
        # Work that each request present since the beginning would have got by now (virtual time).
        self._served = 0.0
        self._last = clock.now()
        self._due: list[tuple[float, int, Callable[..., None]]] = []
        self._epoch = 0

    def begin(self, kind: str, done: Callable[..., None]) -> None:
        """Join those who share."""
        self._advance()
        heappush(self._due, (self._served + self._work.draw(kind), self._epoch, done))
        self._plan()

    def resize(self, count: int) -> None:
        """Have so many cores."""
        self._advance()
        self._cores = count
        self._plan()

    def hurry(self, speed: float) -> None:
        """Change the speed of everything, work under way included."""
        self._advance()
        self._speed = speed
        self._plan()

    def _rate(self) -> float:
        present = len(self._due)
        whole = min(present, self._cores) * self._speed
        if self._knee is not None and present > self._knee:
            whole /= 1 + self._thrash * (present - self._knee)
        return whole / present

    def _advance(self) -> None:
        now = self._clock.now()
        if self._due:
            self._served += (now - self._last) * self._rate()
        self._last = now

    def _plan(self) -> None:
        self._epoch += 1
        if self._due:
            self._clock.after((self._due[0][0] - self._served) / self._rate(), self._finish, self._epoch)

    def _finish(self, epoch: int) -> None:
        if epoch != self._epoch:
            return  # somebody came or the speed changed, and the end was planned anew
        self._advance()
        _, _, done = heappop(self._due)
        self._clock.after(GAP, done)
        self._plan()

    def __repr__(self) -> str:
        return f"<Sharing present={len(self._due)} cores={self._cores}>"
