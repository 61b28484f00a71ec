"""Whoever waits gets service by weight, whoever comes and goes."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.fairness import FairShare, Sharer


def serve(shares: FairShare[Sharer], times: int, cost: float = 1.0) -> Counter[Sharer]:
    """Serve that often, everybody staying in line; how much each got."""
    got: Counter[Sharer] = Counter()
    for _ in range(times):
        first = shares.first()
        assert first is not None
        shares.charge(first, cost, is_backlogged=True)
        got[first] += 1
    return got


def line(*weights: float) -> tuple[FairShare[Sharer], list[Sharer]]:
    shares: FairShare[Sharer] = FairShare()
    sharers = [Sharer(weight) for weight in weights]
    for sharer in sharers:
        shares.activate(sharer)
    return shares, sharers


@given(st.lists(st.sampled_from([0.5, 1.0, 2.0, 5.0]), min_size=1, max_size=20))
def test_service_is_by_weight(weights: list[float]) -> None:
    """To within two services of each share, at any moment."""
    shares, sharers = line(*weights)
    for _ in range(5):
        got = serve(shares, 100)
        for sharer in sharers:
            assert got[sharer] == pytest.approx(100 * sharer.weight / sum(weights), abs=2 + 2 * sharer.weight)


@given(st.lists(st.integers(1, 50), min_size=2, max_size=8), st.integers())
def test_service_is_by_cost(costs: list[int], seed: int) -> None:
    """Who needs longer is served less often, so that all get as much time."""
    shares, sharers = line(*[1.0] * len(costs))
    rng = random.Random(seed)
    needs = dict(zip(sharers, costs, strict=True))
    time: Counter[Sharer] = Counter()
    for _ in range(2000):
        first = shares.first()
        assert first is not None
        cost = needs[first] * rng.uniform(0.5, 1.5)
        shares.charge(first, cost, is_backlogged=True)
        time[first] += cost
    assert max(time.values()) - min(time.values()) <= 3 * 50


def test_idle_share_is_lent_and_not_saved_up() -> None:
    """Whoever was away gets its share from now on, not what it left to others."""
    shares, (first, second) = line(1.0, 1.0)
    shares.deactivate(second)
    assert serve(shares, 1000) == {first: 1000}
    shares.activate(second)
    assert serve(shares, 100)[second] == pytest.approx(50, abs=1)


def test_leaving_and_coming_back_gains_nothing() -> None:
    """A sharer that needs five times as long is served a fifth as often, though it leaves the line each time."""
    shares, sharers = line(1.0, 1.0, 1.0, 1.0)
    restless = sharers[0]
    got: Counter[Sharer] = Counter()
    for _ in range(400):
        first = shares.first()
        assert first is not None
        cost = 5.0 if first is restless else 1.0
        got[first] += 1
        shares.charge(first, cost, is_backlogged=first is not restless)
        shares.activate(restless)
        shares.deactivate(restless)
        shares.activate(restless)
    assert got[restless] * 5 == pytest.approx(got[sharers[1]], rel=0.1)


def test_a_long_service_is_paid_for_after_coming_back() -> None:
    """The other has its turn for as long, at once and not only in the long run."""
    shares, (first, second) = line(1.0, 1.0)
    shares.charge(first, 100.0, is_backlogged=False)
    shares.activate(first)
    assert serve(shares, 99) == {second: 99}


def test_a_newcomer_is_not_owed_what_those_who_left_did_not_use() -> None:
    """It starts at the tag in service, although the service given since then, by weight, comes to much less."""
    shares, (first, second) = line(1.0, 1.0)
    shares.charge(first, 100.0, is_backlogged=True)
    shares.deactivate(second)
    assert serve(shares, 1) == {first: 1}
    newcomer = Sharer()
    shares.activate(newcomer)
    assert serve(shares, 10)[newcomer] == pytest.approx(5, abs=1)


def test_a_flood_of_strangers_does_not_stop_those_who_were_here() -> None:
    """Virtual time moves with service, so a stranger's first service does not always come first."""
    shares, (known, *_) = line(*[1.0] * 10)
    got = 0
    for _ in range(1000):
        first = shares.first()
        assert first is not None
        got += first is known
        shares.charge(first, 1.0, is_backlogged=first is known)
        if first is not known:
            shares.activate(Sharer())
    assert got >= 80  # a tenth, with ten in line


def test_when_all_have_left_all_are_even() -> None:
    """A busy period leaves no debts to the next."""
    shares, (first, second) = line(1.0, 1.0)
    shares.deactivate(second)
    shares.charge(first, 50.0, is_backlogged=False)
    assert shares.first() is None
    shares.activate(first)
    shares.activate(second)
    assert serve(shares, 10)[first] == 5


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=300))
def test_the_line_holds_whom_it_should_and_not_much_more(story: list[tuple[int, bool]]) -> None:
    """Coming and going without any service does not pile up entries."""
    shares, sharers = line(*[1.0] * 10)
    for number, comes in story:
        (shares.activate if comes else shares.deactivate)(sharers[number])
        assert shares.backlogged == sum(sharer.is_backlogged for sharer in sharers)
        assert len(shares._heap) <= 10
    first = shares.first()
    assert (first is None) is not any(sharer.is_backlogged for sharer in sharers)
    assert first is None or first.is_backlogged


def test_strangers_that_leave_unserved_are_forgotten() -> None:
    """A stuck upstream in front of clients that give up must not cost memory."""
    shares: FairShare[Sharer] = FairShare()
    for _ in range(10_000):
        sharer = Sharer()
        shares.activate(sharer)
        shares.deactivate(sharer)
    assert len(shares._heap) < 50
