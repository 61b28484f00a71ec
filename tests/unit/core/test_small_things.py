"""Clock, ids and histogram."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.clock import ManualClock
from gateway.core.histogram import LATENCY_BOUNDS, Histogram
from gateway.core.ids import RequestIds


def test_a_manual_clock_never_goes_back() -> None:
    """Both clocks move together and only forward."""
    clock = ManualClock(5, 100)
    clock.advance(2.5)
    assert (clock.now(), clock.wall()) == (7.5, 102.5)
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)


def test_ids_are_unique_and_repeatable() -> None:
    """The same seed tells the same story, and no id comes twice."""
    one, two = RequestIds(random.Random(1)), RequestIds(random.Random(1))
    ids = [one.next() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert ids == [two.next() for _ in range(1000)]
    assert {len(one) for one in ids} == {24}


@given(st.lists(st.floats(0, 1000), max_size=50))
def test_a_histogram_counts_everything_once(values: list[float]) -> None:
    """Every value is in the first bucket whose bound is not below it."""
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    assert sum(histogram.counts) == len(values)
    assert histogram.total == pytest.approx(sum(values))
    for index, bound in enumerate(LATENCY_BOUNDS):
        assert sum(histogram.counts[: index + 1]) == sum(value <= bound for value in values)
