"""What was at this time of day: forecast only from what is known, believed only when judged, the same after a restart."""

from __future__ import annotations

from math import sin, tau

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import msgpack

from gateway.scaling.analyzers.season import BIN, KEPT, Season, SeasonState

PERIOD = 24 * BIN
LEAD = 60.0


def wave(now: float) -> float:
    return 50.0 + 40.0 * sin(tau * now / PERIOD)


def lived(season: Season, begin: float, end: float, step: float = 20.0) -> Season:
    now = begin
    while now < end:
        now += step
        season.update(wave(now), LEAD, now)
    return season


def test_it_says_what_was_one_period_before() -> None:
    """Means of five minutes, joined by lines: near the load itself."""
    season = lived(Season((PERIOD,)), 0.0, 1.5 * PERIOD)
    forecast = season.skills[0].forecast
    assert forecast == pytest.approx(wave(1.5 * PERIOD + LEAD), abs=2.0)


def test_it_has_a_vote_when_two_periods_are_known() -> None:
    """One to forecast from, one to be judged in; and only for more than there is."""
    season = lived(Season((PERIOD,)), 0.0, 1.9 * PERIOD)
    assert season.vote(0.0, 1.0, 8.0) is None
    lived(season, 1.9 * PERIOD, 2.05 * PERIOD)
    vote = season.vote(wave(2.05 * PERIOD), 1.0, 8.0)
    assert vote is not None
    assert (vote.analyzer, vote.reason) == ("season", "season")
    assert season.vote(1000.0, 1.0, 8.0) is None


def test_when_days_change_their_shape_it_falls_silent() -> None:
    """Within a period."""
    season = lived(Season((PERIOD,)), 0.0, 2.5 * PERIOD)
    assert season.skills[0].is_trusted
    now = 2.5 * PERIOD
    while now < 3.5 * PERIOD:
        now += 20.0
        season.update(10.0, LEAD, now)
    assert not season.skills[0].is_trusted
    assert season.vote(10.0, 1.0, 8.0) is None


def test_a_night_without_numbers_is_not_a_night_without_load() -> None:
    """What was not seen has no forecast."""
    season = lived(Season((PERIOD,)), 0.0, 0.5 * PERIOD)
    lived(season, 0.9 * PERIOD, 1.0 * PERIOD)
    now = 1.6 * PERIOD
    season.update(wave(now), LEAD, now)
    assert season.skills[0].forecast is None


def test_it_goes_on_after_a_restart() -> None:
    """What is written down is all that it knows; the forecasts and the trust are the same."""
    first = lived(Season((PERIOD,)), 0.0, 2.2 * PERIOD)
    state = first.state()
    assert state is not None
    second = Season((PERIOD,))
    second.resume(msgpack.decode(msgpack.encode(state), type=SeasonState))
    for season in (first, second):
        lived(season, 2.2 * PERIOD, 2.3 * PERIOD)
    assert second.skills[0].forecast == first.skills[0].forecast
    assert second.skills[0].is_trusted
    assert Season().state() is None


@pytest.mark.parametrize(
    ("means", "why"),
    [(b"", "another kind"), (b"123", "multiple of item size"), (b"\0" * 4 * (KEPT - 1), "another kind")],
)
def test_what_is_no_season_is_refused(means: bytes, why: str) -> None:
    """And changes nothing."""
    season = lived(Season((PERIOD,)), 0.0, PERIOD)
    before = season.state()
    assert before is not None
    with pytest.raises(ValueError, match=why):
        season.resume(SeasonState(0, means, before.skills))
    assert season.state() == before


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(-2 * BIN, 3 * PERIOD), st.floats(0, 1e9)), max_size=60))
def test_whatever_the_clock_does_nothing_breaks_and_memory_is_bounded(steps: list[tuple[float, float]]) -> None:
    """Jumps forward and back, days asleep, loads of any size."""
    season, now = Season((PERIOD, 7 * PERIOD)), 0.0
    for passed, load in steps:
        now += passed
        season.update(load, LEAD, now)
        vote = season.vote(load, 0.0, 8.0)
        assert vote is None or vote.replicas >= 0
    state = season.state()
    assert state is None or len(state.means) == 4 * KEPT
