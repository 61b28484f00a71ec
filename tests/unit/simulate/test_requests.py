"""A pool request by request, beside one that does nothing but count ticks, and an oracle that nobody beats."""

from __future__ import annotations

from array import array
from itertools import pairwise
from random import Random
from statistics import fmean, pvariance
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.simulate.scaling.oracle import closed, planned
from gateway.simulate.scaling.policies import NAMES, make
from gateway.simulate.scaling.profiles import PROFILES
from gateway.simulate.scaling.requests import Requests, RequestWorld, draw_requests
from gateway.simulate.scaling.story import Story
from gateway.simulate.scaling.traces import Trace
from gateway.simulate.scaling.work import MODELS, Work
from gateway.simulate.scaling.world import Site, World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TICKS = 1024
"""A second; instants are whole ticks, so that floats are exact."""
SITE = Site(slots=3, work=Work("long", 3.0, 1.0), cold_start=0.0, least=0, most=50, wait=1.0, max_wait=4.0)


def requests(pairs: Sequence[tuple[int, int]], seconds: int) -> Requests:
    """Requests by (tick of arrival, ticks of service)."""
    pairs = sorted(pairs)
    arrivals = array("l", [0] * seconds)
    for tick, _ in pairs:
        arrivals[tick // TICKS] += 1
    instants = array("d", (tick / TICKS for tick, _ in pairs))
    services = array("d", (ticks / TICKS for _, ticks in pairs))
    return Requests(arrivals, array("d", bytes(8 * seconds)), list(arrivals), instants, services)


def lived(load: Requests, site: Site, start: int, changes: Mapping[int, int]) -> RequestWorld:
    world = RequestWorld(site, load, Random(1), start=start)
    for second in range(len(load.arrivals)):
        if second in changes:
            world.resize(changes[second])
        world.step()
    return world


def tick_by_tick(load: Requests, site: Site, start: int, changes: Mapping[int, int]) -> dict[str, list[float]]:
    """The same pool in steps of a tick, without events: lists are walked through at each one."""
    replicas: list[tuple[int, list[float]]] = [(number, []) for number in range(start)]
    draining: list[list[float]] = []
    born, queue, coming = start, [], list(zip(load.instants, load.services, strict=True))
    names = ("billed", "refused", "violations", "in_flight", "queued")
    book: dict[str, list[float]] = {name: [0.0] * len(load.arrivals) for name in names}
    for tick in range(len(load.arrivals) * TICKS):
        at, second = tick / TICKS, tick // TICKS
        if tick % TICKS == 0:
            wanted = changes.get(second, len(replicas))
            while len(replicas) < wanted:
                replicas.append((born, []))
                born += 1
            while len(replicas) > wanted:
                victim = min(replicas, key=lambda each: (len(each[1]), -each[0]))
                replicas.remove(victim)
                draining.append(victim[1])
            draining = [busy for busy in draining if busy]
            book["billed"][second] = len(replicas) + len(draining)
        for busy in [*(busy for _, busy in replicas), *draining]:
            busy[:] = [end for end in busy if end > at]
        while coming and coming[0][0] == at:
            queue.append(coming.pop(0))
        while queue and any(len(busy) < site.slots for _, busy in replicas):
            came, service = queue.pop(0)
            min(replicas, key=lambda each: (len(each[1]), each[0]))[1].append(at + service)
            book["violations"][second] += at - came > site.wait
        while queue and at - queue[0][0] >= site.max_wait:
            queue.pop(0)
            book["refused"][second] += 1
            book["violations"][second] += 1
        book["in_flight"][second] += sum(len(busy) for _, busy in replicas) + sum(map(len, draining))
        book["queued"][second] += len(queue)
    for name in ("in_flight", "queued"):
        book[name] = [value / TICKS for value in book[name]]
    return book


# arrivals at odd ticks and services of even ones: nothing falls on the begin of a second, where replicas change
PAIRS = st.lists(
    st.tuples(
        st.integers(0, 10 * TICKS // 2 - 1).map(lambda n: 2 * n + 1), st.integers(1, 3 * TICKS).map(lambda n: 2 * n)
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(PAIRS, st.integers(0, 4), st.dictionaries(st.integers(0, 11), st.integers(0, 5), max_size=6))
def test_events_and_ticks_tell_the_same_story(
    pairs: list[tuple[int, int]], start: int, changes: dict[int, int]
) -> None:
    """Whatever comes and however the pool changes: who waits, who is shed, what is busy, and what is paid."""
    load = requests(pairs, 12)
    world, book = lived(load, SITE, start, changes), tick_by_tick(load, SITE, start, changes)
    for name, column in book.items():
        assert list(getattr(world, name)) == pytest.approx(column, abs=1e-9), name


def test_six_seconds_of_work_are_six_seconds_of_a_slot() -> None:
    """Twenty requests of 6 s on forty free slots: nobody waits, and 20 slots are busy for six seconds."""
    site = replace(SITE, slots=8, work=Work("constant", 6.0, 0.0), least=5)
    world = lived(requests([(1, 6 * TICKS)] * 20, 10), site, 5, {})
    assert sum(world.violations) == 0
    assert sum(world.in_flight) == pytest.approx(120)
    assert max(world.in_flight) == pytest.approx(20)


def test_a_service_is_counted_when_it_ends_and_a_slot_while_it_is_held() -> None:
    """The counters are those of a gateway: dispatched at the begin, good and its time at the end, held in between."""
    site = replace(SITE, slots=1)
    load = requests([(1, 5 * TICKS), (3, 2 * TICKS)], 10)
    world = RequestWorld(site, load, Random(1), start=1)
    seen = []
    for _ in range(10):
        world.step()
        seen.append(world.reading())
    assert [each.dispatched for each in seen] == [1] * 10
    assert [each.finished for each in seen] == [0] * 5 + [1] * 5
    assert [each.queued for each in seen][:5] == pytest.approx([1, 1, 1, 1, 0])
    assert seen[-1].shed == {"queue_timeout": 1.0}
    assert (seen[-1].good, seen[-1].bad, seen[-1].service_time) == (1.0, 1.0, 5.0)
    assert seen[-1].in_flight_time == pytest.approx(5.0)
    assert seen[3].in_flight_time == pytest.approx(4.0, abs=0.01)


def test_who_drains_is_paid_until_its_last_answer() -> None:
    """Of two replicas with a request each one goes after a second: it serves no more, and costs until its end."""
    load = requests([(1, 4 * TICKS), (3, 4 * TICKS), (3 * TICKS + 1, TICKS)], 8)
    world = lived(load, SITE, 2, {1: 1})
    assert list(world.billed) == [2, 2, 2, 2, 2, 1, 1, 1]
    assert list(world.serving) == [2] + [1] * 7


@settings(max_examples=40, deadline=None)
@given(PAIRS, st.dictionaries(st.integers(0, 11), st.integers(0, 3), max_size=6), st.integers(1, 3))
def test_more_replicas_never_make_anybody_wait_longer(
    pairs: list[tuple[int, int]], changes: dict[int, int], more: int
) -> None:
    """What the oracle leans on: with at least as many at every instant the sum of waits is no greater."""
    site = replace(SITE, max_wait=1e9)
    load = requests(pairs, 12)
    few = lived(load, site, 1, changes)
    many = lived(load, site, 1 + more, {second: wanted + more for second, wanted in changes.items()})
    assert sum(many.queued) <= sum(few.queued) + 1e-9


def _story(profile: str, seed: int, service: float, cold: float) -> Story:
    site = Site(
        slots=4, work=Work("long", service, 1.5), cold_start=cold, wait=service / 2, max_wait=2 * service, most=60
    )
    return Story(PROFILES[profile](seed).cut(0, 1800), site, seed, 8.0)


@pytest.mark.parametrize(("service", "cold"), [(1.0, 30.0), (2.0, 5.0), (6.0, 60.0), (20.0, 30.0), (60.0, 300.0)])
@pytest.mark.parametrize("profile", ["steps", "surge", "noisy_diurnal"])
def test_nobody_beats_the_oracle_and_nobody_waits_too_long_for_it(profile: str, service: float, cold: float) -> None:
    """It pays once what it pays; every other policy pays more, or lets more wait."""
    story = _story(profile, 5, service, cold)
    for name in NAMES:
        found = make(name, story.site, story.best, seed=5)
        ending = story.live(name, found).measures
        if name == "oracle":
            assert (ending.violations, ending.cost) == (0.0, 1.0)
        else:
            assert ending.cost >= 1.0 or ending.violations > 0, name


def test_the_oracle_sees_a_burst_that_no_mean_shows() -> None:
    """Forty requests of 4 s in one second, in a minute of silence: ten replicas of 4 slots for that time."""
    rates = [0.0] * 60 + [40.0] + [0.0] * 60
    site = Site(slots=4, work=Work("constant", 4.0, 0.0), cold_start=10.0, wait=0.25, max_wait=1.0, most=60)
    load = draw_requests(Trace("burst", 1.0, rates, is_exact=True), site.work, Random(1))
    plan = planned(load, site, 1)
    assert max(plan.best) == 10
    assert plan.violations == 0
    assert plan.best[50] == plan.best[70] == 1
    # ten starts of ten seconds and some four seconds each at work, beside the one that is always there
    assert plan.bill == pytest.approx(121 + 9 * (11 + 5), abs=9 * 4)


def test_what_can_wait_is_served_by_fewer() -> None:
    """A second of forty at once, each for a second: forty slots, or four when everybody may wait ten seconds."""
    load = requests([(1, TICKS)] * 40, 15)
    site = replace(SITE, slots=1, least=1)
    assert max(planned(load, replace(site, wait=0.25), 1).best) == 40
    assert max(planned(load, replace(site, wait=10.0, max_wait=20.0), 1).best) == 4


def test_too_few_replicas_at_most_are_the_only_excuse() -> None:
    """The oracle lets somebody wait where ``most`` is too few, and then no policy can do without."""
    site = replace(SITE, most=2, least=1, cold_start=5.0)
    plan = planned(requests([(1, 4 * TICKS)] * 40, 15), site, 1)
    assert plan.violations > 0
    assert max(plan.unbounded) > 2 == max(plan.best)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(0, 12))
def test_a_gap_is_filled_when_it_is_short_and_nothing_else_is(needs: list[int], seconds: int) -> None:
    """At each level for itself; before the first second everything counts as needed."""
    filled = closed(needs, seconds)
    assert closed(needs, 0) == needs
    for level in range(1, 10):
        places = [-1, *(place for place, need in enumerate(needs) if need >= level)]
        expected = {place for place in places if place >= 0}
        for one, other in pairwise(places):
            if other - one - 1 <= seconds:
                expected.update(range(one + 1, other))
        assert {place for place, got in enumerate(filled) if got >= level} == expected


@pytest.mark.parametrize("work", MODELS.values(), ids=MODELS)
def test_single_services_have_the_mean_and_the_spread_that_they_say(work: Work) -> None:
    rng = Random(3)
    drawn = [work.draw(rng) for _ in range(200_000)]
    assert fmean(drawn) == pytest.approx(work.mean, rel=0.05)
    if not work.rare:
        assert pvariance(drawn) / fmean(drawn) ** 2 == pytest.approx(work.cv2, rel=0.15, abs=1e-9)


def test_short_services_are_a_fluid_and_long_ones_are_single_requests() -> None:
    """And the lead-in is lived through, not measured."""
    trace = Trace("flat", 1.0, [20.0] * 300)
    short, long = Site(work=Work("short", 0.5, 1.0)), Site(work=Work("long", 0.51, 1.0))
    assert type(Story(trace, short, 1, None).world()) is World
    assert type(Story(trace, long, 1, None).world()) is RequestWorld
    led = Story(trace.led_in(200), long, 1, None, since=200)
    assert len(led.best) == 500
    assert led.tell("static-peak").measures.replica_hours == pytest.approx(max(led.best) * 300 / 3600)
