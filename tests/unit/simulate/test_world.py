"""Arrivals, services, clients, and the book that the world keeps."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from gateway.admission.limits.fixed import Fixed
from gateway.simulate.arrivals import ClosedLoop, Poisson
from gateway.simulate.client import Patience
from gateway.simulate.clock import EventClock
from gateway.simulate.gate import MinimalGate
from gateway.simulate.oracle import best_fixed
from gateway.simulate.scenario import Scenario
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
    gate = MinimalGate(Fixed(100))
    world = World(
        clock,
        Random(1),
        arrivals=ClosedLoop(Random(2), users=5, think=0.05),
        gate=gate,
        service=Workers(clock, work, 1),
        work=work,
    )
    world.run(20.0)
    assert max(in_flight for _, _, in_flight in world.course) <= 5
    assert world.span(1.0, 20.0).goodput == pytest.approx(5 / (0.05 + 0.0175), rel=0.2)


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
        gate=MinimalGate(Fixed(1)),
        service=Workers(clock, work, 1),
        work=work,
        patience=Patience(give_up=1.0, retries=3),
    )
    world._submit(_nothing)
    clock.run(10.0)
    assert (len(world.arrivals), len(world.leaves), len(world.answers)) == (4, 4, 0)


def test_backoff_waits_a_random_share_of_a_doubling_time() -> None:
    """Full jitter: in [0, backoff × 2ⁿ]."""
    patience = Patience(retries=3, backoff=0.1)
    rng = Random(1)
    for attempt, most in ((1, 0.1), (2, 0.2), (3, 0.4)):
        pauses = [patience.pause(attempt, rng) or 0.0 for _ in range(200)]
        assert most / 2 < max(pauses) <= most
    assert patience.pause(4, rng) is None


def test_the_small_gate_serves_the_newest_and_sheds_who_waited_too_long() -> None:
    """Whatever happens, in flight never exceeds the limit, and everybody is accounted for."""
    story = Scenario(
        lambda rng: exponential(rng, 0.02),
        lambda clock, work: Workers(clock, work, 8),
        ((0.0, 1200.0),),
        {"": (1.0, 5.0)},
    )
    world = story.tell(Fixed(8), 1)
    span = world.span(1.0, 5.0)
    assert max(in_flight for _, _, in_flight in world.course) <= 8
    assert {reason for _, reason in world.sheds} == {"queue_timeout"}
    assert span.served + span.shed == pytest.approx(span.arrived, rel=0.02)
    assert span.goodput == pytest.approx(390, rel=0.05)
    assert span.p99 < 0.25


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
        (world.answers, world.sheds, world.leaves, world.course)
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
