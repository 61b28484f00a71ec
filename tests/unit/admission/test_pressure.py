"""Graded answers to the gateway's own strain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.pressure import CALM, DIRE, TIDY, TIGHT, Protection, Strain, protect

PART = st.floats(min_value=0, max_value=2)


@pytest.mark.parametrize(
    ("strain", "grade"),
    [
        (Strain(0.0, 0.0, 0.0), CALM),
        (Strain(0.0, 0.75, 0.0), TIDY),
        (Strain(0.0, 0.0, 0.85), TIGHT),
        (Strain(0.0, 0.95, 0.1), DIRE),
        (Strain(0.85, 0.1, 0.1), CALM),
        (Strain(0.95, 0.1, 0.1), DIRE),
    ],
)
def test_each_grade_begins_at_its_pressure(strain: Strain, grade: int) -> None:
    """Space is answered in three grades, time only when it is dire."""
    assert protect(strain, Protection()).grade == grade


def test_a_late_loop_closes_nothing() -> None:
    """Opening connections again is work, and work is what a late loop has too much of."""
    answer = protect(Strain(1.5, 0.0, 0.0), Protection())
    assert (answer.closes_idle, answer.keeps_alive, answer.queue_part) == (False, True, 1.0)
    assert answer.last_band == 0


def test_answers_do_not_flutter() -> None:
    """A pressure that wavers around a threshold changes the answer once."""
    answer = Protection()
    grades = []
    for tenth in (0.79, 0.81, 0.79, 0.81, 0.75, 0.71, 0.69, 0.65, 0.59):
        answer = protect(Strain(0.0, tenth, 0.0), answer)
        grades.append(answer.grade)
    assert grades == [TIDY, TIGHT, TIGHT, TIGHT, TIGHT, TIGHT, TIDY, TIDY, CALM]


@given(lag=PART, memory=PART, files=PART, more=PART, before=st.sampled_from([CALM, TIDY, TIGHT, DIRE]))
def test_more_strain_is_never_answered_with_less(
    lag: float, memory: float, files: float, more: float, before: int
) -> None:
    """Monotone in every resource."""
    now = Protection(grade=before)
    least = protect(Strain(lag, memory, files), now)
    for worse in (
        Strain(lag + more, memory, files),
        Strain(lag, memory + more, files),
        Strain(lag, memory, files + more),
    ):
        assert protect(worse, now).grade >= least.grade
