"""The budget of retries and hedges."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.resilience.budget import Budget


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("per_second", [20, 100, 1000])
def test_everything_failing_costs_a_fifth_more(seed: int, per_second: int) -> None:
    """When each attempt fails and wants two retries, amplification stays at 1 + ratio."""
    rng = Random(seed)
    budget = Budget(0.2, 3.0)
    now = 100.0
    requests = retries = 0
    for _ in range(30 * per_second):
        now += rng.expovariate(per_second)
        budget.deposit(now)
        requests += 1
        retries += budget.withdraw(now) + budget.withdraw(now)
    assert 1.15 <= 1 + retries / requests <= 1.2 + 3 * 2 / requests


def test_few_requests_get_the_floor() -> None:
    """One request a second may be retried each time, though a fifth of it is nothing."""
    budget = Budget(0.2, 3.0)
    given_ = 0
    for second in range(60):
        budget.deposit(float(second))
        given_ += budget.withdraw(second + 0.5)
    assert given_ == 60


def test_the_floor_is_not_saved_up() -> None:
    """After an hour of silence there are three, not ten thousand."""
    budget = Budget(0.2, 3.0)
    assert budget.withdraw(0.0)
    assert sum(budget.withdraw(3600.0) for _ in range(100)) == 3
    assert sum(budget.withdraw(3601.0) for _ in range(100)) == 3


def test_the_floor_is_no_extra_where_requests_pay_more() -> None:
    """A thousand requests in one second: two hundred retries in these ten seconds, not 227."""
    budget = Budget(0.2, 3.0)
    for _ in range(1000):
        budget.deposit(10.5)
    assert sum(budget.withdraw(10.5 + tenth / 10) for tenth in range(90) for _ in range(10)) == 200


def test_without_a_floor_only_requests_pay() -> None:
    """No request, no retry."""
    budget = Budget(0.5, 0.0)
    assert not budget.withdraw(10.0)
    budget.deposit(10.0)
    budget.deposit(10.0)
    assert budget.level(10.0) == pytest.approx(1.0)
    assert [budget.withdraw(10.0), budget.withdraw(10.0)] == [True, False]
    assert budget.ratio_used == 0.5


def test_nothing_at_all_may_be_allowed() -> None:
    """A budget of nothing never gives."""
    budget = Budget(0.0, 0.0)
    for _ in range(1000):
        budget.deposit(1.0)
    assert not budget.withdraw(1.0)


def test_what_was_paid_expires() -> None:
    """Requests of ten seconds ago pay for nothing now."""
    budget = Budget(1.0, 0.0)
    for _ in range(100):
        budget.deposit(0.0)
    assert budget.level(8.0) == pytest.approx(100)
    assert not budget.withdraw(11.0)


@given(
    st.lists(st.tuples(st.floats(0, 4), st.integers(0, 30), st.integers(0, 30)), max_size=80),
    st.sampled_from([0.0, 0.1, 0.2, 1.0]),
    st.sampled_from([0.0, 1.0, 3.0]),
)
def test_over_any_stretch_it_gives_what_was_paid_and_the_floor(
    steps: list[tuple[float, int, int]], ratio: float, floor: float
) -> None:
    """Whatever the order: at most ratio × requests, and the floor for the time that passed."""
    budget = Budget(ratio, floor)
    now = 0.0
    requests = retries = 0
    for step, paid, wanted in steps:
        now += step
        for _ in range(paid):
            budget.deposit(now)
        requests += paid
        retries += sum(budget.withdraw(now) for _ in range(wanted))
        assert retries <= ratio * requests + floor * (now + 1) + 1e-6
        assert budget.level(now) >= 0
        assert budget.ratio_used >= 0
