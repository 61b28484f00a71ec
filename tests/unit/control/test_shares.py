"""What is configured for the whole gateway is dealt out to its workers, and adds up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.control.shares import Demand, fractions, split, within
from gateway.telemetry.counters import Snapshot

DEMANDS = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=16)


@given(demand=DEMANDS, total=st.integers(min_value=1, max_value=10_000))
def test_the_parts_are_the_whole(demand: list[float], total: int) -> None:
    """Fractions sum to one and nobody gets nothing; whole numbers sum to the total unless there are too few."""
    parts = fractions(demand)
    assert abs(sum(parts) - 1) < 1e-9
    assert min(parts) > 0
    dealt = split(total, parts)
    assert min(dealt) >= 1
    if total >= 20 * len(demand):
        assert sum(dealt) == total
    assert sum(dealt) <= total + len(demand)


def test_whoever_is_asked_more_gets_more() -> None:
    """Nine tenths follow the demand."""
    assert fractions([300.0, 100.0]) == [0.05 + 0.9 * 0.75, 0.05 + 0.9 * 0.25]
    assert split(8, [0.5, 0.5]) == [4, 4]
    assert split(10, fractions([0.0, 0.0, 0.0])) in ([4, 3, 3], [3, 4, 3], [3, 3, 4])


def test_demand_is_what_came_since_the_last_look() -> None:
    """Counters are compared with those of the look before; a worker that started again counts from zero."""
    demand = Demand()
    demand.look({0: Snapshot(requests=[("r", "GET", 200, 100)])})
    first = demand.look({0: Snapshot(requests=[("r", "GET", 200, 140), ("r", "GET", 503, 20)])})[0]["r"]
    assert first == 0.5 * 50 + 0.5 * 60
    again = demand.look({0: Snapshot(requests=[("r", "GET", 200, 10)])})[0]["r"]
    assert again == 0.5 * first + 0.5 * 10


def test_no_place_is_given_twice() -> None:
    """What a worker still holds beyond its part is not given to another until it is free."""
    assert within(8, [2, 6], [7, 0]) == [2, 1]
    assert within(8, [2, 6], [4, 1]) == [2, 4]
    assert within(8, [2, 6], [2, 3]) == [2, 6]
