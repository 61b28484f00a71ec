"""Arrivals, services, clients, and the book that the world keeps."""

from __future__ import annotations

from functools import partial
from operator import eq
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.classes import TrafficClass
from gateway.admission.limits.fixed import Fixed
from gateway.simulate.arrivals import ClosedLoop, Poisson
from gateway.simulate.client import Patience
from gateway.simulate.clock import EventClock
from gateway.simulate.crowd import Caller
from gateway.simulate.oracle import best_fixed, max_min
from gateway.simulate.scenario import Scenario, make_gate
from gateway.simulate.service import Mix, Sharing, Workers, bimodal, constant, exponential, lognormal
from gateway.simulate.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.simulate.service import Costs, Service


def _nothing() -> None:
    pass


def test_poisson_arrivals_keep_the_rate_of_each_step() -> None:
    """100 a second, none, 400 a second: counted per phase, within four standard deviations."""
    clock = EventClock()
    instants: list[float] = []

    def submit(ended: Callable[[], None] | None = None, /) -> None:
        assert ended is None
        instants.append(clock.now())

    Poisson(Random(1), (0.0, 100.0), (10.0, 0.0), (20.0, 400.0)).start(clock, submit)
    clock.run(30.0)
    counts = [sum(low <= instant < low + 10 for instant in instants) for low in (0, 10, 20)]
    assert abs(counts[0] - 1000) < 4 * 1000**0.5
    assert counts[1] == 0
    assert abs(counts[2] - 4000) < 4 * 4000**0.5


def test_a_closed_loop_never_has_more_requests_than_users() -> None:
    """Everybody waits for the answer before thinking and asking again."""
    clock = EventClock()
    work = constant(0.01)
    gate = make_gate(Fixed(100))
    world = World(
        clock,
        Random(1),
        arrivals=ClosedLoop(Random(2), users=5, think=0.05),
        gate=gate,
        service=Workers(clock, work, 1),
        work=work,
    )
    world.run(20.0)
    assert max(in_flight for _, _, in_flight in world.book.course) <= 5
    assert world.book.span(1.0, 20.0).goodput == pytest.approx(5 / (0.05 + 0.0175), rel=0.2)


@pytest.mark.parametrize("make", [exponential, lognormal, bimodal])
def test_costs_have_the_mean_that_was_asked_for(make: Callable[[Random, float], Costs]) -> None:
    """Capacity in a scenario is workers ÷ mean, whatever the distribution."""
    costs = make(Random(1), 0.02)
    draws = [costs.draw("all") for _ in range(50_000)]
    assert sum(draws) / len(draws) == pytest.approx(0.02, rel=0.05)


def test_a_mix_draws_kinds_by_share_and_costs_by_kind() -> None:
    """Nine of ten are cheap."""
    rng = Random(1)
    mix = Mix(rng, {"fast": (0.9, constant(0.005)), "slow": (0.1, constant(0.5))})
    kinds = [mix.kind() for _ in range(5000)]
    assert kinds.count("slow") == pytest.approx(500, rel=0.2)
    assert (mix.draw("fast"), mix.draw("slow")) == (0.005, 0.5)


def _ends(service: Service, clock: EventClock, count: int) -> list[float]:
    ends: list[float] = []
    for _ in range(count):
        service.begin("all", lambda: ends.append(round(clock.now(), 4)))
    clock.run(100.0)
    return ends


def test_workers_serve_first_come_first_served_and_let_the_others_wait() -> None:
    """Two workers of 1 s: two after a second, two after two."""
    clock = EventClock()
    assert _ends(Workers(clock, constant(1.0), 2), clock, 4) == [1.0005, 1.0005, 2.0005, 2.0005]


def test_a_shared_processor_slows_all_alike() -> None:
    """Four requests of 1 s on two cores: all after two seconds."""
    clock = EventClock()
    assert _ends(Sharing(clock, constant(1.0), 2), clock, 4) == [2.0005] * 4


def test_past_the_knee_more_at_once_get_less_done() -> None:
    """Six on two cores with knee 2 and 50 % thrash: 3 s of work each pair, three times as long for the excess."""
    clock = EventClock()
    ends = _ends(Sharing(clock, constant(1.0), 2, knee=2, thrash=0.5), clock, 6)
    assert ends == [9.0005] * 6


@pytest.mark.parametrize("make", [Workers, Sharing])
def test_more_workers_and_more_speed_end_sooner(make: Callable[[EventClock, Costs, int], Service]) -> None:
    """Capacity may change under way."""
    clock = EventClock()
    service = make(clock, constant(1.0), 1)
    service.resize(2)
    service.hurry(2.0)
    assert _ends(service, clock, 2) == [0.5005, 0.5005]


def test_a_client_that_got_nothing_comes_back_as_often_as_it_may() -> None:
    """Nobody is served: one first try and three more, then the end."""
    clock = EventClock()
    work = constant(1000.0)
    world = World(
        clock,
        Random(1),
        arrivals=ClosedLoop(Random(1), users=1, think=1e9),
        gate=make_gate(Fixed(1)),
        service=Workers(clock, work, 1),
        work=work,
        patience=Patience(give_up=1.0, retries=3),
    )
    world._submit(_nothing)
    clock.run(10.0)
    assert (len(world.book.arrivals), len(world.book.answers)) == (4, 0)
    assert len(world.book.leaves) + len(world.book.sheds) == 4


def test_backoff_waits_a_random_share_of_a_doubling_time() -> None:
    """Full jitter: in [0, backoff × 2ⁿ]."""
    patience = Patience(retries=3, backoff=0.1)
    rng = Random(1)
    for attempt, most in ((1, 0.1), (2, 0.2), (3, 0.4)):
        pauses = [patience.pause(attempt, rng) or 0.0 for _ in range(200)]
        assert most / 2 < max(pauses) <= most
    assert patience.pause(4, rng) is None


def test_the_gate_of_the_gateway_decides_and_everybody_is_accounted_for() -> None:
    """In flight never exceeds the limit; who came was served, turned away, or is still there."""
    story = Scenario(
        lambda rng: exponential(rng, 0.02),
        lambda clock, work: Workers(clock, work, 8),
        ((0.0, 1200.0),),
        {"": (1.0, 5.0)},
    )
    world = story.tell(Fixed(8), 1)
    book = world.book
    span = book.span(1.0, 5.0)
    assert max(in_flight for _, _, in_flight in book.course) <= 8
    assert {reason for _, _, reason in book.sheds} == {"queue_delay"}
    here = world.gate.in_flight + world.gate.queue.count
    assert len(book.answers) + len(book.sheds) + len(book.leaves) + here == len(book.arrivals)
    assert span.goodput == pytest.approx(390, rel=0.05)
    assert span.lost == pytest.approx(span.arrived - span.goodput, rel=0.02)
    assert span.p99 < 0.25


def test_a_client_that_leaves_gives_back_its_place_wherever_it_was() -> None:
    """One in flight and one in the queue give up: the gate is empty, and the answer that comes later is nobody's."""
    clock = EventClock()
    work = constant(3.0)
    world = World(
        clock,
        Random(1),
        arrivals=Poisson(Random(1), (0.0, 0.0)),
        gate=make_gate(Fixed(1)),
        service=Workers(clock, work, 1),
        work=work,
        patience=Patience(give_up=0.05),
    )
    world._submit()
    world._submit()
    assert (world.gate.in_flight, world.gate.queue.count) == (1, 1)
    clock.run(0.04)
    assert (world.gate.in_flight, world.gate.queue.count) == (1, 1)
    clock.run(10.0)
    assert (world.gate.in_flight, world.gate.queue.count) == (0, 0)
    assert (len(world.book.leaves), len(world.book.answers)) == (2, 0)


@pytest.mark.parametrize("patience", [0.1, 0.3, 1.1, 4.0])
def test_whoever_gives_up_does_so_when_its_time_is_over(patience: float) -> None:
    """Not earlier, and whatever the rounding of instants, not never."""
    story = Scenario(
        lambda rng: exponential(rng, 2.0),
        lambda clock, work: Workers(clock, work, 1),
        ((0.0, 40.0), (3.0, 0.0)),
        {"": (0.0, 9.0)},
        patience=Patience(give_up=patience),
    )
    book = story.tell(Fixed(20), 3).book
    assert book.leaves
    arrivals = {at + patience for at, _ in book.arrivals}
    assert {at for at, _ in book.leaves} <= arrivals


def test_classes_and_keys_reach_the_queue() -> None:
    """Of three classes at five times the capacity the first band loses nobody and the last gets nothing."""
    classes = [Caller(TrafficClass(name, band=band)) for band, name in enumerate(("critical", "usual", "batch"))]
    story = Scenario(
        lambda rng: exponential(rng, 0.02),
        lambda clock, work: Workers(clock, work, 8),
        ((0.0, 2000.0),),
        {"": (2.0, 8.0)},
        callers=dict(zip(classes, (0.1, 0.6, 0.3), strict=True)),
    )
    book = story.tell(Fixed(10), 1).book
    critical, usual, batch = (book.span(2.0, 8.0, partial(eq, one)) for one in classes)
    assert critical.lost < 0.002 * critical.arrived
    assert usual.goodput == pytest.approx(200, rel=0.1)
    assert batch.goodput < 2
    assert sum(book.asked(2.0, 8.0).values()) == pytest.approx(12_000, rel=0.05)
    assert book.served(2.0, 8.0)[classes[1]] == round(usual.served * 6)


def test_one_key_that_asks_for_everything_does_not_take_it() -> None:
    """Twenty keys below their share beside one at twice the capacity: they lose little, it gets what is left."""
    usual = TrafficClass("usual")
    others = [Caller(usual, f"key {number}") for number in range(20)]
    greedy = Caller(usual, "greedy")
    story = Scenario(
        lambda rng: exponential(rng, 0.02),
        lambda clock, work: Workers(clock, work, 8),
        ((0.0, 1040.0),),
        {"": (2.0, 10.0)},
        callers={**dict.fromkeys(others, 12.0), greedy: 800.0},
    )
    span = story.tell(Fixed(10), 1).book.span(2.0, 10.0, lambda caller: caller != greedy)
    assert span.lost < 0.02 * span.arrived


def test_the_same_seed_tells_the_same_story() -> None:
    """And another seed another one."""
    story = Scenario(
        lambda rng: lognormal(rng, 0.02),
        lambda clock, work: Workers(clock, work, 2),
        ((0.0, 150.0),),
        {"": (0.0, 5.0)},
        patience=Patience(give_up=0.2, retries=1, backoff=0.05),
    )
    books = [
        (world.book.answers, world.book.sheds, world.book.leaves, world.book.course)
        for world in (story.tell(Fixed(3), seed) for seed in (1, 1, 2))
    ]
    assert books[0] == books[1]
    assert books[0] != books[2]


@pytest.mark.parametrize("peak", [1, 9, 37, 200])
def test_the_oracle_finds_the_peak(peak: int) -> None:
    """A single peak is found to within 3 %, and of equals the smallest is taken."""

    def hill(limit: int, seed: int) -> float:
        del seed
        return min(limit / peak, 1.0) if limit <= 3 * peak else 0.5

    found = best_fixed(hill, [1, 2, 3])
    assert found.limit == pytest.approx(peak, rel=0.03, abs=0)
    assert found.goodputs == pytest.approx([1.0] * 3, rel=0.03)


def test_the_oracle_tries_few_limits() -> None:
    """A search of two hundred costs a score of stories a seed at most."""
    tried = set()

    def hill(limit: int, seed: int) -> float:
        tried.add((limit, seed))
        return min(limit / 37, 1.0)

    best_fixed(hill, [1])
    assert len(tried) <= 20


@given(
    demands=st.lists(st.integers(0, 50), min_size=1, max_size=20),
    capacity=st.integers(0, 300),
)
def test_max_min_shares_use_everything_and_envy_nobody(demands: list[int], capacity: int) -> None:
    """All that is there is given out or all are content; who is not content has as much as anybody."""
    shares = max_min(demands, capacity)
    assert sum(shares) == pytest.approx(min(capacity, sum(demands)))
    for demand, share in zip(demands, shares, strict=True):
        assert share <= demand + 1e-9
        assert share == pytest.approx(demand) or share >= max(shares) - 1e-9
