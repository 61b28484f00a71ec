"""What could have been, for who knows everything ahead.

Of a fluid (:func:`needed`): in each window the fewest replicas that its mean rate needs, changed for free. That is a
yardstick and not a policy: nothing is carried over from one window to the next.

Of single requests (:func:`planned`): a plan that is carried out in the same pool by the same rules as any policy, so it
pays for its starts and for replicas that drain. A plan begins a request when a slot of what there is is free, and has
one replica more when the patience of the first who waits is over; or at once, up to any number, or up to the least that
ever suffices. The cheapest in the pool counts. Work is carried over as it is, and bursts are seen in full. A replica
that is needed again soon stays. A pool with at least as many replicas as the plan at every instant begins every request
no later than the plan: by induction over the requests, the k-th of them finds at most as many in flight. So nobody
waits too long, unless ``most`` is too few.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from math import ceil, inf
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.signals.staffing import slots_needed
from gateway.simulate.scaling.requests import RequestWorld

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.simulate.scaling.requests import Requests
    from gateway.simulate.scaling.world import Site, World

WINDOW: Final = 10
_KEPT: Final = (0.0, 1.0, 4.0)
"""Service times for which a replica stays that is needed again, beside the time of a start: a drain costs as well."""


def needed(rates: Sequence[float], site: Site) -> list[int]:
    """Replicas in each second: the least n with P(W > w) ≤ ``site.risk`` at the mean rate of its 10 s window.

    The bounds of the site are not asked.
    """
    found: list[int] = []
    for begin in range(0, len(rates), WINDOW):
        part = rates[begin : begin + WINDOW]
        load = sum(part) / len(part) * site.work.mean
        slots = slots_needed(load, site.wait / site.work.mean, site.risk)
        found += [ceil(slots / site.slots - 1e-9)] * len(part)
    return found


class Plan(NamedTuple):
    """The cheapest plan that was found."""

    unbounded: list[int]
    """Replicas that serve in each second, without the site's bounds."""
    best: list[int]
    """The same within the bounds."""
    bill: float
    """Replica seconds that it pays in the pool, the lead-in aside."""
    violations: float
    """0 unless ``most`` is too few."""


class Planned:
    """A policy that asks for the replicas of a plan, one cold start ahead."""

    period = 1.0

    def __init__(self, best: Sequence[int], site: Site) -> None:
        self._asked = asked(best, site)

    def desired(self, world: World) -> int:
        """The most that is needed from now until a replica that is asked for later would be ready."""
        return self._asked[world.now]


def planned(load: Requests, site: Site, seed: int, since: int = 0) -> Plan:
    """Try plans in the pool and take the cheapest of those with the fewest violations."""
    plans: list[Plan] = []
    at_once = least_replicas(load, site, site.wait, most=len(load.instants))
    fewest = _fewest(load, site, max(at_once, default=0))
    several = [at_once, least_replicas(load, site, site.wait, most=fewest), least_replicas(load, site, site.wait)]
    for place, least in enumerate(several):
        if least in several[:place]:
            continue
        for kept in _KEPT:
            seconds = round(kept * site.work.mean)
            if kept and seconds <= lead(site):
                continue  # what is needed again within a start is kept anyway
            unbounded = closed(least, seconds)
            best = [min(max(need, site.least), site.most) for need in unbounded]
            world = RequestWorld(site, load, Random(seed), start=asked(best, site)[0])  # noqa: S311 - a story
            world.live(Planned(best, site))
            plans.append(Plan(unbounded, best, sum(world.billed[since:]), sum(world.violations[since:])))
    return min(plans, key=lambda plan: (plan.violations, plan.bill))


def _fewest(load: Requests, site: Site, enough: int) -> int:
    """The least number of replicas that always suffices; ``enough`` does."""
    low, high = 0, enough
    while high - low > 1:
        middle = (low + high) // 2
        if max(least_replicas(load, site, site.wait, most=middle)) <= middle:
            high = middle
        else:
            low = middle
    return high


def least_replicas(load: Requests, site: Site, patience: float, *, most: int = 0) -> list[int]:
    """Replicas that hold what is in flight in each second, when each request begins within ``patience`` seconds.

    Up to ``most`` of them a request begins at once; beyond that when a slot is free or its patience over.
    """
    slots, paid = site.slots, max(site.least, most) * site.slots
    needs = [0] * len(load.arrivals)
    ends: list[float] = []
    queue: deque[tuple[float, float]] = deque()
    following, second = 0, 0
    while True:
        arrival = load.instants[following] if following < len(load.instants) else inf
        end = ends[0] if ends else inf
        late = queue[0][0] + patience if queue else inf
        at = min(end, arrival, late)
        while second + 1 <= min(at, len(needs)):
            second += 1
            if second < len(needs):
                needs[second] = -(-len(ends) // slots)
        if second >= len(needs):
            return needs
        if end == at:
            heappop(ends)
        elif arrival == at:
            queue.append((at, load.services[following]))
            following += 1
        while queue and (len(ends) < paid or len(ends) % slots or queue[0][0] + patience <= at):
            heappush(ends, at + queue.popleft()[1])
            needs[second] = max(needs[second], -(-len(ends) // slots))


def closed(needs: Sequence[int], seconds: int) -> list[int]:
    """The same with all gaps of up to so many seconds filled: what is needed again so soon stays."""
    wide = list(_sliding(needs, seconds, max))
    return list(reversed(list(_sliding(wide[::-1], seconds, min))))


def asked(best: Sequence[int], site: Site) -> list[int]:
    """What must be asked for in each second, so that it is there however long its start takes."""
    return list(_sliding(best, lead(site), max))


def lead(site: Site) -> int:
    """Seconds that the longest start takes, rounded up, and one more."""
    return int(site.cold_start * 1.1) + 2


def _sliding(values: Sequence[int], seconds: int, pick: Callable[[int, int], int]) -> Iterable[int]:
    """The highest or lowest of each value and the following ones, so many seconds of them."""
    found: list[int] = []
    window: deque[int] = deque()
    for place in range(len(values) - 1, -1, -1):
        while window and pick(values[place], values[window[0]]) == values[place]:
            window.popleft()
        window.appendleft(place)
        while window[-1] > place + seconds:
            window.pop()
        found.append(values[window[-1]])
    return reversed(found)
