"""Limits in whole stories, beside the best that a fixed limit could do (or a bound that follows from the service).

Few seeds and short stories: the benchmark (python -m benchmarks.sim) has more of both. The bounds here are what
nothing but a broken limit falls below.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import pytest

from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.limits.aimd import Aimd
from gateway.admission.limits.fixed import Fixed
from gateway.admission.limits.gradient import Gradient
from gateway.admission.limits.vegas import Vegas
from gateway.simulate.client import Patience
from gateway.simulate.scenario import Scenario
from gateway.simulate.service import Sharing, Workers, bimodal, constant, exponential, lognormal

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from gateway.admission.limits.limit import Limit
    from gateway.simulate.book import Span
    from gateway.simulate.clock import EventClock
    from gateway.simulate.service import Service, Work

SEEDS = (1, 2)
CAPACITY = 400.0


def _workers(count: int) -> Callable[[EventClock, Work], Service]:
    return lambda clock, work: Workers(clock, work, count)


def _scenario(
    rate: float,
    until: float = 14.0,
    *,
    work: Callable[[Random], Work] = lambda rng: exponential(rng, 0.02),
    service: Callable[[EventClock, Work], Service] | None = None,
    since: float = 5.0,
    changes: tuple[tuple[float, Callable[[Service], None]], ...] = (),
    patience: Patience | None = None,
) -> Scenario:
    return Scenario(
        work,
        service or _workers(8),
        ((0.0, rate),),
        {"": (since, until)},
        changes=changes,
        patience=patience or Patience(give_up=1.0),
    )


def _live(story: Scenario, limit: Callable[[], Limit] = Adaptive) -> list[Span]:
    return [story.tell(limit(), seed).book.span(*story.spans[""]) for seed in SEEDS]


def _goodput(spans: list[Span]) -> float:
    return median(span.goodput for span in spans)


@pytest.mark.parametrize("times", [1.5, 5.0])
def test_overload_costs_no_goodput_and_little_latency(times: float) -> None:
    """Told nothing, it stays within a few per cent of capacity, and the served wait a seventh of a second at most."""
    spans = _live(_scenario(times * CAPACITY))
    assert _goodput(spans) >= 0.96 * CAPACITY
    assert median(span.p99 for span in spans) <= 0.15


def test_overload_from_the_first_second_is_not_answered_by_starving() -> None:
    """A trial down that costs a third of the goodput is seen as such, with any of these seeds."""
    story = _scenario(3 * CAPACITY, until=3.0, since=0.0)
    assert min(story.tell(Adaptive(), seed).book.span(0.0, 3.0).goodput for seed in range(1, 6)) >= 0.8 * CAPACITY


def test_nobody_is_refused_at_half_load() -> None:
    """Not even in the first second."""
    for span in _live(_scenario(CAPACITY / 2, until=5.0, since=0.0)):
        assert span.shed == 0


def test_it_follows_capacity_down_and_up() -> None:
    """Eight workers, then three, then twelve: each time nearly all that they can do."""
    story = _scenario(
        1200.0,
        until=45.0,
        changes=((14.0, lambda service: service.resize(3)), (26.0, lambda service: service.resize(12))),
    )
    books = [story.tell(Adaptive(), seed).book for seed in SEEDS]
    for begin, end, capacity in ((5, 14, 400), (17, 26, 150), (36, 45, 600)):
        assert median(book.span(begin, end).goodput for book in books) >= 0.93 * capacity


@pytest.mark.parametrize("seed", [24, 30, 39])
def test_what_is_remembered_of_a_smaller_service_does_not_hold_a_larger_one_back(seed: int) -> None:
    """With these seeds the first window of four times the workers is too little to tell a change by."""
    story = _scenario(
        1200.0,
        until=42.0,
        changes=((15.0, lambda service: service.resize(3)), (30.0, lambda service: service.resize(12))),
    )
    assert story.tell(Adaptive(), seed).book.span(37.0, 42.0).goodput >= 0.9 * 600


def test_a_service_that_slows_down_is_not_starved() -> None:
    """All requests take 2.7 times as long: what looks like a line is none, and no chain of cuts may take it for one."""
    story = _scenario(1200.0, until=20.0, since=15.0, changes=((10.0, lambda service: service.hurry(0.375)),))
    goodputs = [story.tell(Adaptive(), seed).book.span(15.0, 20.0).goodput for seed in range(1, 6)]
    assert median(goodputs) >= 0.93 * 150
    assert min(goodputs) >= 0.75 * 150
    assert median(goodputs) >= 0.94 * 150


@pytest.mark.parametrize(
    "work", [lambda _: constant(0.02), lambda rng: lognormal(rng, 0.02), lambda rng: bimodal(rng, 0.02)]
)
def test_the_distribution_of_costs_does_not_matter(work: Callable[[Random], Work]) -> None:
    """Constant, lognormal, and one in twenty fifty times as dear: near what a fixed limit just above the workers gets."""
    story = _scenario(3 * CAPACITY, work=work)
    assert _goodput(_live(story)) >= 0.93 * _goodput(_live(story, lambda: Fixed(9)))


def test_one_slow_worker_is_found() -> None:
    """100 ms each, clients gone after a second: without a way down nearly nobody would be served.

    From a hundred, and no first move is down without evidence, so the way is longer than it was from twenty.
    """
    story = _scenario(50.0, until=60.0, since=20.0, work=lambda rng: exponential(rng, 0.1), service=_workers(1))
    assert _goodput(_live(story, lambda: Fixed(20))) <= 2.0
    assert _goodput(_live(story)) >= 5.0


def test_a_shared_processor_that_answers_hardly_anybody_in_time_is_found() -> None:
    """It took what it cannot do before a line was seen, and shows none; clients leave, and less is answered than was."""
    story = _scenario(1200.0, until=25.0, since=5.0, service=lambda clock, work: Sharing(clock, work, 8))
    assert story.tell(Adaptive(), 6).book.span(15.0, 25.0).goodput >= 0.5 * CAPACITY


def test_many_workers_are_found_from_a_limit_of_twenty() -> None:
    """64 workers at twice their capacity."""
    story = _scenario(6400.0, until=8.0, since=4.0, service=_workers(64))
    assert _goodput(_live(story)) >= 0.9 * 3200


def test_growth_that_does_not_pay_is_taken_back() -> None:
    """A shared processor that thrashes past 16: left at 40 it does half of what it can."""
    story = _scenario(2400.0, service=lambda clock, work: Sharing(clock, work, 16, knee=16))
    best = _goodput(_live(story, lambda: Fixed(16)))
    assert _goodput(_live(story, lambda: Fixed(40))) <= 0.6 * best
    assert _goodput(_live(story)) >= 0.91 * best


def test_clients_that_come_back_at_once_change_nothing() -> None:
    """Three more tries each, at three times the capacity."""
    spans = _live(_scenario(3 * CAPACITY, patience=Patience(give_up=1.0, retries=3)))
    assert _goodput(spans) >= 0.96 * CAPACITY


@pytest.mark.parametrize("kind", [Aimd, Vegas, Gradient])
def test_the_other_policies_keep_goodput_too(kind: Callable[[], Limit]) -> None:
    """They are not the default, but none lets goodput collapse at three times the capacity."""
    assert _goodput(_live(_scenario(3 * CAPACITY), kind)) >= 0.85 * CAPACITY


@pytest.mark.parametrize("kind", [Adaptive, Aimd, Vegas, Gradient])
def test_the_same_seed_tells_the_same_story(kind: Callable[[], Limit]) -> None:
    """With any policy."""
    story = _scenario(2 * CAPACITY, until=6.0)
    assert story.tell(kind(), 1).book.course == story.tell(kind(), 1).book.course


def test_a_limit_that_is_told_of_new_replicas_serves_at_once_what_they_can() -> None:
    """From three to twelve workers: goodput of the first ten seconds with the hint, without it, and what is possible."""

    def first_seconds(seed: int, *, is_told: bool) -> float:
        limit = Adaptive()

        def grow(service: Service) -> None:
            service.resize(12)
            if is_told:
                limit.rescale(4.0, 20.0)

        story = _scenario(1200.0, until=30.0, since=20.0, service=_workers(3), changes=((20.0, grow),))
        return story.tell(limit, seed).book.span(20.0, 30.0).goodput

    told = [first_seconds(seed, is_told=True) for seed in range(1, 5)]
    climbed = [first_seconds(seed, is_told=False) for seed in range(1, 5)]
    assert all(one > other for one, other in zip(told, climbed, strict=True))
    assert median(told) >= 0.93 * 600
