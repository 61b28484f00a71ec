"""The two laws of the zoo: numbers in, verdicts out."""

from __future__ import annotations

from benchmarks.zoo.cells import all_cells
from benchmarks.zoo.laws import judge
from benchmarks.zoo.report import show
from benchmarks.zoo.story import Told

CELLS = all_cells()
HARM = CELLS["8 workers, 20 ms exponential, 0.5x"]
GOOD = CELLS["8 workers, 20 ms exponential, 5x"]


def _told(*, lost: int = 0, p99: float = 0.1, early: float = 100.0, late: float = 100.0, window: int = 100) -> Told:
    return Told(1000, lost, p99, early, late, [window] * 3)


def test_what_nothing_in_front_loses_too_is_not_our_loss() -> None:
    """Ten of a thousand more than without us are one per cent; the others were lost anyhow."""
    verdict = judge(HARM, [_told(lost=30)], [_told(lost=20)], None)
    assert (verdict.lost, verdict.broken) == (0.01, ("lost",))
    assert judge(HARM, [_told(lost=20)], [_told(lost=30)], None).broken == ()


def test_two_milliseconds_or_a_tenth_more_are_allowed() -> None:
    """Whichever is more."""
    assert judge(HARM, [_told(p99=0.0029)], [_told(p99=0.001)], None).broken == ()
    assert judge(HARM, [_told(p99=0.109)], [_told(p99=0.1)], None).broken == ()
    assert judge(HARM, [_told(p99=0.112)], [_told(p99=0.1)], None).broken == ("p99",)


def test_goodput_is_a_share_of_the_best() -> None:
    """84 % early and 96 % late are too little; what is lost does not count above capacity."""
    ours = [_told(lost=900, early=84.0, late=96.0)]
    assert judge(GOOD, ours, [_told(window=0)], [_told()]).broken == ("early", "late")
    assert judge(GOOD, [_told(early=85.0, late=97.0)], [_told(window=0)], [_told()]).broken == ()


def test_a_window_with_less_than_nothing_in_front_breaks_either_law() -> None:
    """Less than chance explains: 60 of 100, not 65."""
    for cell in (HARM, GOOD):
        assert judge(cell, [_told(window=59)], [_told()], [_told()]).broken == ("below",)
        assert judge(cell, [_told(window=61)], [_told()], [_told()]).broken == ()


def test_the_report_names_what_breaks_a_law() -> None:
    """And says nothing of what does not."""
    good = judge(HARM, [_told()], [_told()], None)
    bad = judge(GOOD, [_told(early=10.0)], [_told(window=0)], [_told()])
    lines = show([(HARM, good), (GOOD, bad)]).splitlines()
    assert not any(line.startswith(HARM.name) for line in lines)
    assert any(line.startswith(GOOD.name) and "early 10 %" in line for line in lines)
