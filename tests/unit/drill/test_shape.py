"""The load of a drill: phases in order, and arrivals that have the rates that were asked for."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from gateway.drill.shape import CALM, Ramp, arrivals, phase_at, phases


@pytest.mark.parametrize("ramp", ["linear", "steps", "surge"])
def test_phases_join_and_end_where_they_should(ramp: Ramp) -> None:
    """Each phase begins where the one before ends; the last one ends with the drill, as low as the first."""
    load = phases(ramp, 200.0, 60.0)
    assert load[0].begin == 0
    assert all(one.end == pytest.approx(other.begin) for one, other in pairwise(load))
    assert load[-1].end == pytest.approx(60.0)
    assert load[0].first == load[-1].last == CALM * 200
    assert max(phase.last for phase in load) == 200
    assert [phase_at(load, instant).name for instant in (0.0, 59.9, 600.0)] == ["calm", "after", "after"]


@pytest.mark.parametrize("ramp", ["linear", "steps", "surge"])
def test_arrivals_have_the_rates_of_their_phases(ramp: Ramp) -> None:
    """In every phase there are as many as its mean rate says, within four standard deviations; in order."""
    load = phases(ramp, 2000.0, 40.0)
    found = list(arrivals(load, Random(7)))
    assert found == sorted(found)
    for phase in load:
        expected = (phase.first + phase.last) / 2 * phase.seconds
        count = sum(1 for instant in found if phase.begin <= instant < phase.end)
        assert abs(count - expected) < 4 * expected**0.5


def test_one_seed_gives_one_drill() -> None:
    load = phases("linear", 50.0, 20.0)
    assert list(arrivals(load, Random(3))) == list(arrivals(load, Random(3)))
    assert list(arrivals(load, Random(3))) != list(arrivals(load, Random(4)))
