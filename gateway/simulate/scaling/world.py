"""A fluid pool under virtual time: arrivals and work in, waits and shed requests out, one second a step.

The queue is seconds of work. In a step work flows in at a constant rate and out at the rate of the ready slots, so
the wait W/C runs along a straight line and the share of the step that is above the objective is exact. What
would have to wait longer than ``max_wait`` is shed. Randomness comes from the arrivals and their work (Poisson,
service times), drawn once a seed and the same for every policy, and from the cold starts.

What it leaves out: the random wait inside a second when the pool is not short (Erlang's), single long requests that
hold one slot while others are free, and failures. Both of the first make a pool slightly better here than it is. It is
for services of up to half a second; longer ones are simulated one by one (:mod:`gateway.simulate.scaling.requests`).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from gateway.signals.reading import DELAY_BOUNDS, Reading, Replicas
from gateway.simulate.scaling.work import LOGNORMAL, Work, poisson

if TYPE_CHECKING:
    from random import Random

    from gateway.simulate.scaling.traces import Trace


class Site(Struct, frozen=True):
    """Where a story happens: the replicas, the work, and what counts as a violation."""

    slots: int = 8
    """Requests that one replica serves at once."""
    work: Work = LOGNORMAL
    cold_start: float = 30.0
    """Seconds from intent to ready; each one differs by up to a tenth."""
    least: int = 1
    most: int = 300
    standby: int = 0
    max_wait: float = 1.0
    """Seconds; what would wait longer is shed."""
    wait: float = 0.25
    """The objective: a longer wait is a violation, in seconds."""
    risk: float = 0.001
    """The share of requests that may wait longer than that."""
    boots: int = 0
    """At most so many replicas boot at a time; 0 = any number."""
    slow_down: float = 0.0
    """How much longer the work of one replica takes for each further ready one: contention for something shared."""

    @property
    def rate(self) -> float:
        """Requests per second that one replica serves."""
        return self.slots / self.work.mean


class Load(Struct, frozen=True):
    """The arrivals of each second and the work that they bring, in seconds."""

    arrivals: array[int]
    work: array[float]
    rates: Sequence[float]


def draw(trace: Trace, work: Work, rng: Random) -> Load:
    """One story's load; the same seed draws the same one."""
    rates = trace.seconds()
    arrivals = array("l", (round(rate) if trace.is_exact else poisson(rate, rng) for rate in rates))
    return Load(arrivals, array("d", (work.total(count, rng) for count in arrivals)), rates)


class Policy(Protocol):
    """Says how many replicas there should be, every ``period`` seconds."""

    period: float

    def desired(self, world: World) -> int | None:
        """How many from now on; None leaves it."""


class World:
    """A pool that lives through a load; afterwards its columns say second by second what happened."""

    def __init__(self, site: Site, load: Load, rng: Random, start: int | None = None) -> None:
        self.site = site
        self.load = load
        self.now = 0
        """Seconds since the story began: so many steps are done."""
        self.ready = site.least if start is None else start
        self.standby = site.standby
        self.asked = self.ready
        self.starts = 0
        self.moves: list[tuple[int, int]] = []
        """(second, difference) of every change of what was asked for."""
        length = len(load.arrivals)
        self.billed = array("d", bytes(8 * length))
        self.serving = array("d", bytes(8 * length))
        self.in_flight = array("d", bytes(8 * length))
        """Busy slots, the mean of each second."""
        self.queued = array("d", bytes(8 * length))
        self.waits = array("d", bytes(8 * length))
        self.violations = array("d", bytes(8 * length))
        self.refused = array("d", bytes(8 * length))
        self.is_dark = False
        """Whether the source of metrics is dead."""
        self.is_down = False
        """Whether a dependency is: nothing is served, however many replicas there are."""
        self.claimed_slots: int | None = None
        """What the admission limit believes one replica can serve; None = the truth."""
        self._rng = rng
        self._booting: deque[float] = deque()
        self._spares: deque[float] = deque()
        self._pending = 0.0
        self._due = 0.0
        self._cold: deque[float] = deque(maxlen=20)
        self._sums = [0.0] * 12
        self._delays = [0.0] * (len(DELAY_BOUNDS) + 1)

    @property
    def warming(self) -> int:
        """Replicas that were asked for and are not ready."""
        return len(self._booting)

    def resize(self, desired: int) -> None:
        """Ask for so many ready replicas: standby first, then starts; fewer end the youngest starts first."""
        desired = min(max(desired, self.site.least), self.site.most)
        if desired == self.asked:
            return
        self.moves.append((self.now, desired - self.asked))
        self.asked = desired
        while self.ready + len(self._booting) > desired:
            if self._booting:
                self._booting.pop()
            else:
                self._remove()
        while self.ready + len(self._booting) < desired:
            if self.standby:
                self.standby -= 1
                self._add()
                self._spares.append(self._intent())
            else:
                self._booting.append(self._intent())

    def _intent(self) -> float:
        took = self.site.cold_start * self._rng.uniform(0.9, 1.1)
        self.starts += 1
        # of those that boot at a time the one that is ready first makes room for the next one
        begin, boots = float(self.now), self.site.boots
        if 0 < boots <= len(self._booting) + len(self._spares):
            begin = sorted((*self._booting, *self._spares))[-boots]
        self._cold.append(begin + took - self.now)
        return begin + took

    def _add(self) -> None:
        self.ready += 1

    def _remove(self) -> None:
        self.ready -= 1

    def _boot(self) -> None:
        """Make ready whose time has come."""
        now = self.now
        while self._booting and self._booting[0] <= now:
            self._booting.popleft()
            self._add()
        while self._spares and self._spares[0] <= now:
            self._spares.popleft()
            self.standby += 1

    @property
    def paid(self) -> int:
        """Replicas that cost something now and do not drain."""
        return self.ready + len(self._booting) + self.standby + len(self._spares)

    @property
    def draining(self) -> int:
        """Replicas that get no more requests and have not answered all; a fluid has none."""
        return 0

    def step(self) -> None:
        """One second passes."""
        site, now = self.site, self.now
        self._boot()
        arrivals, work = self.load.arrivals[now], self.load.work[now]
        speed = self.ready * site.slots / (1.0 + site.slow_down * (self.ready - 1))
        if self.is_down:
            speed = 0.0
        before = self._pending
        room = max(speed, site.slots) * site.max_wait
        after = before + work - speed
        refused = 0.0
        if after > room:
            refused = min(arrivals, (after - room) / site.work.mean)
            after = room
        busy = speed
        if after < 0.0:
            busy, after = speed + after, 0.0
        self._pending = after
        pace = speed or site.slots * 0.01
        bound = site.wait * pace
        if after <= bound and before <= bound:
            late = 0.0
        elif after > bound and before > bound:
            late = 1.0
        else:
            late = (max(after, before) - bound) / abs(after - before)
        served = arrivals - refused
        self.billed[now] = self.paid
        self.serving[now] = self.ready
        self.in_flight[now] = busy
        self.queued[now] = waiting = (before + after) / 2 / site.work.mean
        self.waits[now] = wait = (before + after) / 2 / pace
        self.violations[now] = bad = refused + served * late
        self.refused[now] = refused
        finished = busy / site.work.mean
        sums = self._sums
        sums[0] += arrivals
        sums[1] += finished
        sums[2] += refused
        sums[3] += arrivals - bad
        sums[4] += bad
        sums[5] += busy
        sums[6] += waiting
        sums[7] += finished * site.work.squares
        sums[9] += busy
        sums[10] += finished
        if now:
            sums[8] += (arrivals - self.load.arrivals[now - 1]) ** 2
        self._delays[bisect_left(DELAY_BOUNDS, wait)] += arrivals
        self.now = now + 1

    def mean(self, column: array[float], seconds: int) -> float:
        """The mean of the last so many seconds of a column; 0 before the first."""
        part = column[max(0, self.now - seconds) : self.now]
        return sum(part) / len(part) if part else 0.0

    def reading(self) -> Reading:
        """What the gateway's counters would say now."""
        arrivals, finished, refused, good, bad, worked, waiting, squares, steps, busy, dispatched, *_ = self._sums
        return Reading(
            at=float(self.now),
            first_tries=arrivals,
            dispatched=dispatched,
            good=good,
            bad=bad,
            finished=finished,
            service_time=worked,
            service_squares=squares,
            arrival_steps=steps,
            queued_time=waiting,
            in_flight_time=busy,
            shed={"queue_timeout": refused},
            delays=tuple(self._delays),
            queued=self._pending / self.site.work.mean,
            in_flight=self.in_flight[self.now - 1] if self.now else 0.0,
            limit=float(self.ready * (self.claimed_slots or self.site.slots)),
            replicas=Replicas(
                ready=self.ready,
                warming=len(self._booting),
                draining=self.draining,
                standby=self.standby,
                desired=self.asked,
            ),
            is_breaker_open=self.is_down,
            cold_starts=tuple(self._cold),
            has_data=not self.is_dark,
        )

    def live(self, policy: Policy, until: int | None = None) -> None:
        """Live on under a policy, to the end or up to a second."""
        end = len(self.load.arrivals) if until is None else min(until, len(self.load.arrivals))
        while self.now < end:
            if self.now >= self._due:
                desired = policy.desired(self)
                if desired is not None:
                    self.resize(desired)
                self._due += policy.period
            self.step()
