"""Sums and time integrals of a load are what a slow, obvious count says they are."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.counters import UpstreamCounters
from gateway.telemetry.load import Stay, Steps
from gateway.telemetry.snapshot import LoadSnapshot
from gateway.telemetry.totals import added_load


@given(st.lists(st.tuples(st.floats(0.001, 5.0), st.booleans()), max_size=60), st.integers(0, 5))
def test_a_stay_integrates(moves: list[tuple[float, bool]], every: int) -> None:
    """∫ count dt is the area under the count, however often it is read in between."""
    stay, now, area, count = Stay(), 1e5, 0.0, 0
    for number, (passed, comes) in enumerate(moves):
        now += passed
        area += count * passed
        if comes or not count:
            stay.enter(now)
            count += 1
        else:
            stay.leave(now)
            count -= 1
        if every and number % every == 0:
            assert stay.integral(now) == pytest.approx(area, abs=1e-6)
    assert (stay.count, stay.integral(now + 2.0)) == (count, pytest.approx(area + 2.0 * count, abs=1e-6))


def test_steps_of_poisson_arrivals_are_twice_their_variance() -> None:
    """For Poisson arrivals half the mean squared step is the mean (von Neumann), for a steady stream it is nothing."""
    rng, steps, arrived = random.Random(5), Steps(), 0
    for second in range(4000):
        steps.look(arrived, float(second))
        arrived += sum(rng.expovariate(1.0) < 1.0 for _ in range(32))
    rate = arrived / 4000
    assert steps.total / (2 * arrived) == pytest.approx(1 - rate / 32, rel=0.1)  # binomial, a little calmer
    steady = Steps()
    for second in range(100):
        steady.look(7 * second, float(second))
    assert steady.total == 0


def test_a_late_look_is_no_burst() -> None:
    """Three seconds in one look count as their mean rate; looks within a second count nothing."""
    steps = Steps()
    for now, arrived in ((0.0, 0), (1.0, 10), (1.5, 400), (4.0, 40), (5.0, 50)):
        steps.look(arrived, now)
    assert steps.total == 0


def _request(counters: UpstreamCounters, began: float, ended: float) -> None:
    """What the path writes for one request."""
    counters.firsts += 1
    counters.clock -= began
    took = ended - began
    counters.seconds.observe(took)
    counters.clock += ended
    counters.squares += took * took


def test_a_load_is_the_sum_of_its_requests() -> None:
    """Service times, squares and the integral of what is in flight come from begin and end alone."""
    counters = UpstreamCounters()
    _request(counters, 100.0, 100.5)
    _request(counters, 100.2, 101.2)
    counters.firsts += 1  # one that is still under way
    counters.clock -= 101.0
    found = counters.read_load(102.0, 0.0)
    assert (found.first_tries, found.dispatched, found.finished, found.in_flight) == (3, 3, 2, 1)
    assert found.service_time == pytest.approx(1.5)
    assert found.service_squares == pytest.approx(1.25)
    assert found.in_flight_time == pytest.approx(2.5)
    assert counters.read_load(104.0, 0.0).in_flight_time == pytest.approx(4.5)


def test_a_tunnel_is_its_handshake_and_a_held_slot() -> None:
    """The hours of a tunnel are no service time and not in flight; the slot is held until it ends."""
    counters = UpstreamCounters()
    counters.firsts += 1
    counters.clock -= 10.0
    counters.enter_stream(10.5)
    under_way = counters.read_load(110.0, 0.0)
    assert (under_way.streams, under_way.in_flight) == (1, 1)
    assert under_way.in_flight_time == pytest.approx(0.5)
    counters.seconds.observe(3600.0)
    counters.clock += 3610.0
    counters.squares += (3600.0 - 3599.5) ** 2
    counters.leave_stream(3610.0)
    counters.end_stream(3599.5)
    over = counters.read_load(3611.0, 0.0)
    assert (over.streams, over.in_flight, over.finished) == (0, 0, 1)
    assert over.service_time == pytest.approx(0.5, abs=1e-6)
    assert over.service_squares == pytest.approx(0.25, abs=1e-3)
    assert over.in_flight_time == pytest.approx(0.5, abs=1e-6)


def test_arrivals_are_whoever_came_to_the_gate() -> None:
    """Dispatched, shed, gone from the queue and still waiting are arrivals; shadow refusals are counted once."""
    counters = UpstreamCounters()
    _request(counters, 1.0, 2.0)
    counters.count_shed("default", "queue_full", "enforce")
    counters.count_shed("default", "queue_full", "shadow")
    counters.left += 1
    counters.waiting.enter(2.0)
    counters.asked_again += 1
    found = counters.read_load(3.0, 1.0)
    assert (found.first_tries, found.retries) == (3, 1)
    assert (found.queued, found.queued_time, found.oldest_age) == (1, 1.0, 1.0)
    assert (found.bad, found.shed) == (1, {"queue_full": 1})


def test_a_request_that_is_refused_after_an_attempt_is_one_arrival() -> None:
    """Our own retry that finds nobody left is one more refusal of the same request."""
    counters = UpstreamCounters()
    _request(counters, 1.0, 2.0)
    counters.count_retry("connect_refused")
    counters.count_shed("default", "breaker_open", "enforce")
    counters.shed_again += 1
    found = counters.read_load(3.0, 0.0)
    assert (found.first_tries, found.retries, found.dispatched, found.bad) == (1, 1, 2, 0)


loads = st.builds(
    LoadSnapshot,
    first_tries=st.integers(0, 100),
    good=st.integers(0, 100),
    shed=st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 9)),
    delays=st.sampled_from([[], [1, 2, 3], [0, 0, 4]]),
    queued=st.integers(0, 9),
    oldest_age=st.integers(0, 9),
)


@given(loads, loads, loads)
def test_adding_loads_is_in_any_order(one: LoadSnapshot, two: LoadSnapshot, three: LoadSnapshot) -> None:
    """The sum over workers does not depend on their order, and nothing is lost in it."""
    assert added_load(one, added_load(two, three)) == added_load(added_load(one, two), three)
    assert added_load(one, two) == added_load(two, one)
    assert added_load(one, LoadSnapshot()) == one
