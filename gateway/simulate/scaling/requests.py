"""A pool request by request: each holds a slot of one replica for as long as its service takes.

For services of more than :data:`FROM` seconds, where a fluid is wrong: six seconds of work fall into one second of it,
and twenty requests on forty free slots have to wait. Between two seconds, at which policies act, the instants of
arrivals, ends and lost patience follow each other. The queue is first come, first served; who has waited ``max_wait``
is shed. A request goes to the replica with the fewest in flight. Scale-in takes the one with the fewest, which drains:
it gets no more requests and is paid for until its last one ends. Costs some ten microseconds a request.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Final

from gateway.signals.reading import DELAY_BOUNDS
from gateway.simulate.scaling.work import poisson
from gateway.simulate.scaling.world import Load, World

if TYPE_CHECKING:
    from random import Random

    from gateway.simulate.scaling.traces import Trace
    from gateway.simulate.scaling.work import Work
    from gateway.simulate.scaling.world import Site

FROM: Final = 0.5
"""Mean service time in seconds above which requests are simulated one by one."""


class Requests(Load, frozen=True):
    """The instants of all arrivals in order, and how long each one takes, in seconds."""

    instants: array[float]
    services: array[float]


def draw_requests(trace: Trace, work: Work, rng: Random) -> Requests:
    """One story's requests, spread by chance over the second that they come in; the same seed draws the same ones."""
    rates = trace.seconds()
    arrivals = array("l", (round(rate) if trace.is_exact else poisson(rate, rng) for rate in rates))
    instants, services, sums = array("d"), array("d"), array("d")
    for second, count in enumerate(arrivals):
        instants.extend(sorted(second + rng.random() for _ in range(count)))
        drawn = [work.draw(rng) for _ in range(count)]
        services.extend(drawn)
        sums.append(sum(drawn))
    return Requests(arrivals, sums, rates, instants, services)


class RequestWorld(World):
    """A pool that serves single requests; its columns are those of the fluid one.

    A violation is booked when it is known: at the begin of the service, or when the request is shed.
    """

    load: Requests

    def __init__(self, site: Site, load: Requests, rng: Random, start: int | None = None) -> None:
        super().__init__(site, load, rng, start)
        self._names = 0
        self._busy: dict[int, int] = {}
        """Requests in flight at each ready replica, by its number."""
        self._draining: dict[int, int] = {}
        self._free = 0
        for _ in range(self.ready):
            self._put()
        self._next = 0
        self._queue: deque[tuple[float, float]] = deque()
        self._ends: list[tuple[float, int, float, bool]] = []
        self._serving = self._late = 0
        self._longest = 0.0
        self._clock = self._queue_clock = 0.0

    def _put(self) -> None:
        self._busy[self._names] = 0
        self._names += 1
        self._free += self.site.slots

    def _add(self) -> None:
        super()._add()
        self._put()

    def _remove(self) -> None:
        super()._remove()
        busy = self._busy
        victim = min(reversed(busy), key=busy.__getitem__)
        count = busy.pop(victim)
        self._free -= self.site.slots - count
        if count:
            self._draining[victim] = count

    @property
    def draining(self) -> int:
        """Replicas that get no more requests and have not answered all."""
        return len(self._draining)

    def step(self) -> None:
        """One second passes, event by event."""
        now = self.now
        self._boot()
        sums, late_before = self._sums, self._late
        self.billed[now] = self.paid + self.draining
        self.serving[now] = self.ready
        until = now + 1.0
        refused = self._pass(float(now), until)
        arrivals, waiting = self.load.arrivals[now], len(self._queue)
        self.in_flight[now] = busy = self._serving * until + self._clock
        self.queued[now] = queued = waiting * until + self._queue_clock
        self._clock, self._queue_clock = -self._serving * until, -waiting * until
        self.waits[now] = max(self._longest, until - self._queue[0][0]) if waiting else self._longest
        self.refused[now] = refused
        self.violations[now] = refused + self._late - late_before
        sums[0] += arrivals
        sums[2] += refused
        sums[4] += refused
        sums[6] += queued
        sums[9] += busy
        if now:
            sums[8] += (arrivals - self.load.arrivals[now - 1]) ** 2
        self._pending = waiting * self.site.work.mean
        self.now = now + 1

    def _pass(self, at: float, until: float) -> int:
        """What happens from one instant to another; how many are shed."""
        queue, ends, instants = self._queue, self._ends, self.load.instants
        refused, patience = 0, self.site.max_wait
        self._longest = 0.0
        while True:
            if queue and self._free > 0 and not self.is_down:
                self._begin(at)
            arrival = instants[self._next] if self._next < len(instants) else inf
            end = ends[0][0] if ends else inf
            given_up = queue[0][0] + patience if queue else inf
            at = min(end, arrival, given_up)
            if at >= until:
                return refused
            if end == at:
                self._end(heappop(ends))
            elif arrival == at:
                queue.append((at, self.load.services[self._next]))
                self._queue_clock -= at
                self._next += 1
            else:
                came, _ = queue.popleft()
                self._queue_clock += at
                self._note_wait(at - came)
                refused += 1

    def _begin(self, at: float) -> None:
        """Let those who wait begin while slots are free."""
        queue, busy, site = self._queue, self._busy, self.site
        while queue and self._free > 0:
            came, service = queue.popleft()
            place = min(busy, key=busy.__getitem__)
            busy[place] += 1
            self._free -= 1
            self._serving += 1
            self._queue_clock += at
            self._clock -= at
            wait = at - came
            is_late = wait > site.wait
            self._late += is_late
            self._sums[10] += 1
            self._note_wait(wait)
            if site.slow_down:
                service *= 1.0 + site.slow_down * (self.ready - 1)
            heappush(self._ends, (at + service, place, service, is_late))

    def _end(self, ended: tuple[float, int, float, bool]) -> None:
        at, place, service, is_late = ended
        self._serving -= 1
        self._clock += at
        if place in self._busy:
            self._busy[place] -= 1
            self._free += 1
        else:
            self._draining[place] -= 1
            if not self._draining[place]:
                del self._draining[place]
        sums = self._sums
        sums[1] += 1
        sums[4 if is_late else 3] += 1
        sums[5] += service
        sums[7] += service * service

    def _note_wait(self, wait: float) -> None:
        self._longest = max(self._longest, wait)
        self._delays[bisect_left(DELAY_BOUNDS, wait)] += 1
