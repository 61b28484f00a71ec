"""The sample of admissions, and the log of completions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.limits.admissions import FEWEST, MOST, Admissions
from gateway.admission.limits.pace import Pace


@given(st.integers(1, 2000))
def test_no_more_are_kept_than_allowed(count: int) -> None:
    """They are thinned out evenly: the newest and the oldest half are about as many."""
    admissions = Admissions()
    for number in range(count):
        admissions.begin(number / 10, number % 50 + 1, "")
    assert min(count, MOST // 2) <= len(admissions.entries) <= MOST
    half = sum(entry.at < count / 20 for entry in admissions.entries)
    assert abs(2 * half - len(admissions.entries)) <= MOST / 4 + 1


def test_an_end_finds_its_beginning() -> None:
    """By the instant and n; one that was not sampled is nobody's end."""
    admissions = Admissions()
    admissions.begin(1.0, 3, "page")
    assert not admissions.end(1.0, 4, 0.1, has_ended=True)
    assert admissions.end(1.0, 3, 0.5, has_ended=True)
    assert not admissions.end(1.0, 3, 0.5, has_ended=True)
    entry = admissions.entries[0]
    assert (entry.kind, entry.took, entry.has_ended, admissions.deaths) == ("page", 0.5, True, 1)


def test_equals_are_all_sampled_or_none() -> None:
    """Of those admitted at one instant with one n the first to end would else always be the one that was sampled."""
    admissions = Admissions()
    for number in range(MOST + 1):
        admissions.begin(float(number), 1, "")
    for _ in range(3):
        admissions.begin(1000.0, 7, "")
    assert sum(entry.at == 1000.0 for entry in admissions.entries) in {0, 3}


def test_who_leaves_is_known_to_have_lasted_so_long() -> None:
    """It is no end."""
    admissions = Admissions()
    admissions.begin(0.0, 1, "")
    assert not admissions.end(0.0, 1, 2.0, has_ended=False)
    admissions.age(5.0, -1.0)
    assert [(one.duration, one.has_ended) for one in admissions.observations()] == [(2.0, False)]


def test_what_is_in_flight_gets_older() -> None:
    """And what is old is forgotten, but for the last few."""
    admissions = Admissions()
    for number in range(FEWEST + 10):
        admissions.begin(float(number), 1, "")
    admissions.age(100.0, 99.0)
    assert len(admissions.entries) == FEWEST
    assert admissions.entries[-1].took == 100.0 - (FEWEST + 9)


def test_what_is_forgotten_leaves_nothing() -> None:
    """A stream that lets go."""
    admissions = Admissions()
    admissions.begin(0.0, 1, "")
    admissions.forget(0.0, 1)
    assert not admissions.entries
    assert not admissions.end(0.0, 1, 1.0, has_ended=True)


def test_alone_is_what_requests_take_where_least_are_in_flight() -> None:
    """A tenth of a second with one or two, a second with fifty."""
    admissions = Admissions()
    for number in range(60):
        n = 1 + number % 2 if number < 20 else 50
        admissions.begin(float(number), n, "")
        admissions.end(float(number), n, 0.1 if number < 20 else 1.0, has_ended=True)
    assert admissions.alone()[0] == pytest.approx(0.1)


def test_the_places_before_which_a_line_stands_are_those_from_which_on_it_takes_longer() -> None:
    """Five places of a tenth of a second each, and twice as long for each five more: also when the last still wait."""
    admissions = Admissions()
    for number in range(40):
        n = number + 1
        admissions.begin(number / 100, n, "")
        if n <= 30:
            admissions.end(number / 100, n, 0.1 * max(1.0, n / 5), has_ended=True)
    admissions.age(0.8, -1.0)
    alone, places = admissions.alone()
    assert 4 <= places <= 8
    assert 0.08 <= alone <= 0.2


def test_requests_that_take_no_time_say_nothing() -> None:
    """A clock that stands still is no reason to fail."""
    admissions = Admissions()
    for number in range(20):
        admissions.begin(0.0, number + 1, "")
        admissions.end(0.0, number + 1, 0.0, has_ended=True)
    assert admissions.alone() == (0.0, 0.0)


def test_a_rare_slow_route_counts_by_its_share() -> None:
    """Nineteen of 10 ms and one that has lasted for ten seconds."""
    admissions = Admissions()
    for number in range(20):
        admissions.begin(float(number), 1, "slow" if number == 19 else "fast")
        if number < 19:
            admissions.end(float(number), 1, 0.01, has_ended=True)
    admissions.age(29.0, -1.0)
    assert admissions.alone()[0] == pytest.approx((19 * 0.01 + 10.0) / 20)


def test_many_kinds_with_few_requests_each_say_it_together() -> None:
    """Twenty pages, three of each, one of them early: a tenth of a second with few in flight, a second with fifty."""
    admissions = Admissions()
    for number in range(60):
        n = 1 + number % 2 if number < 20 else 50
        admissions.begin(float(number), n, f"page {number % 20}")
        admissions.end(float(number), n, 0.1 if number < 20 else 1.0, has_ended=True)
    assert admissions.alone()[0] == pytest.approx(0.1)


def test_too_few_ends_say_nothing_of_what_requests_take_alone() -> None:
    """Five are not enough."""
    admissions = Admissions()
    for number in range(5):
        admissions.begin(float(number), 1, "")
        admissions.end(float(number), 1, 0.1, has_ended=True)
    assert admissions.alone()[0] == 0.0


def test_pace_reads_rates_and_crowds() -> None:
    """Ten a second with four in flight, then twenty with eight."""
    pace = Pace()
    for tenth in range(1, 101):
        pace.ended += 1 if tenth <= 50 else 2
        pace.note(tenth / 10, 4 if tenth <= 50 else 8, 0.05)
    assert pace.rate(10.0, 2.0) == pytest.approx(20.0)
    assert pace.rate(10.0, 100.0) == pytest.approx(15.0, rel=0.05)
    assert pace.crowd(10.0, 2.0) == pytest.approx(8.0)
    assert pace.best(1.0) == pytest.approx(20.0 - 20.0**0.5, rel=0.1)
    assert pace.alone() == pytest.approx(0.4, rel=0.1)


def test_in_the_long_run_the_sample_is_of_the_present() -> None:
    """A hundred thousand later it is not thinned out for good: a surge finds what it is compared with."""
    admissions = Admissions()
    admissions.horizon = 0.24
    for number in range(100_000):
        now = number / 1000
        admissions.begin(now, number % 8 + 1, "")
        admissions.end(now, number % 8 + 1, 0.02, has_ended=True)
    assert len(admissions.entries) >= FEWEST
    assert sum(entry.at > 99.0 for entry in admissions.entries) >= FEWEST - 8
