"""When an opinion of an endpoint changes."""

from __future__ import annotations

from gateway.checks.rise_fall import RiseFall


def test_up_until_enough_checks_failed_in_a_row() -> None:
    """And down until enough have passed."""
    judge = RiseFall(rise=2, fall=3)
    story = "--+---++"
    changes = [(step, judge.is_up) for step, mark in enumerate(story) if judge.note(has_passed=mark == "+")]
    assert changes == [(5, False), (7, True)]


def test_a_check_that_disagrees_makes_it_uncertain() -> None:
    """Until the next one agrees."""
    judge = RiseFall(rise=2, fall=3)
    assert judge.is_certain
    judge.note(has_passed=False)
    assert not judge.is_certain
    judge.note(has_passed=True)
    assert judge.is_certain
