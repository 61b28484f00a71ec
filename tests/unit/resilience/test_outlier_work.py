"""The work of judging endpoints is linear in their number, and its verdicts are those of one against all others."""

from __future__ import annotations

import sys
from random import Random
from statistics import median
from typing import TYPE_CHECKING

import pytest

from gateway.core.outcome import Outcome
from gateway.resilience.outlier import Others, Outliers
from gateway.resilience.settings import OutlierSettings
from gateway.resilience.standing import Standing

if TYPE_CHECKING:
    from types import FrameType


def _calls_made(count: int) -> int:
    """Function calls for one judgement of so many endpoints, all of which fail a little and have stuck calls."""
    rng = Random(1)
    standings = [Standing() for _ in range(count)]
    for one in standings:
        for _ in range(30):
            one.note(Outcome.SUCCESS if rng.random() < 0.9 else Outcome.FAILURE, 0.01, 1.0, 0.02)
        one.in_progress = (5.0, 6.0)
    calls = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        Outliers(OutlierSettings()).judge(standings, 1.1)
    finally:
        sys.setprofile(None)
    return calls


def test_twice_the_endpoints_are_twice_the_work() -> None:
    """From 100 to 400 endpoints the calls made grow four times, not sixteen."""
    assert _calls_made(400) <= 5 * _calls_made(100)


@pytest.mark.parametrize("seed", range(20))
def test_medians_without_one(seed: int) -> None:
    """Each member's is the median of the other members' figures."""
    rng = Random(seed)
    figures = {place: rng.choice([1.0, 2.0, rng.random()]) for place in range(rng.randint(2, 9))}
    others = Others(figures.items())
    for place in figures:
        rest = [figure for other, figure in figures.items() if other != place]
        assert others.median_without(place) == pytest.approx(median(rest))
        assert others.count_without(place) == len(rest)
    assert others.median_without(99) == pytest.approx(median(figures.values()))
