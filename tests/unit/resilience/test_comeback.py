"""Who has just come back has no credit, and no old debts."""

from __future__ import annotations

from gateway.core.outcome import Outcome
from gateway.resilience.outlier import Outliers
from gateway.resilience.settings import OutlierSettings
from gateway.resilience.standing import Standing


def _busy(standing: Standing, now: float, count: int = 40) -> None:
    for _ in range(count):
        standing.note(Outcome.SUCCESS, 0.02, now, 0.02)


def test_a_few_stuck_calls_tell_after_a_long_healthy_time() -> None:
    """What ended before they began is no excuse: a starved endpoint has few calls that could be stuck."""
    standings = [Standing() for _ in range(4)]
    outliers = Outliers(OutlierSettings())
    for second in range(8):
        for standing in standings:
            _busy(standing, second + 0.5, 100)
    for second in (9.5, 10.5):
        for standing in standings[1:]:
            _busy(standing, second, 100)
    standings[0].in_progress = [2.2, 2.1, 2.0, 1.9]
    (ejection,) = outliers.judge(standings, 10.6)
    assert (ejection.index, ejection.reason) == (0, "stuck")


def test_one_failure_after_a_comeback_is_enough() -> None:
    """In the slow start behind an ejection the first failure ejects again, and for longer."""
    standings = [Standing() for _ in range(3)]
    outliers = Outliers(OutlierSettings())
    for standing in standings:
        _busy(standing, 1.0)
    for _ in range(5):
        standings[0].note(Outcome.FAILURE, 0.001, 1.1)
    (first,) = outliers.judge(standings, 1.2)
    back = 1.2 + first.seconds + 0.1
    assert outliers.judge(standings, back) == []
    for standing in standings[1:]:
        _busy(standing, back)
    standings[0].note(Outcome.FAILURE, 0.001, back)
    (second,) = outliers.judge(standings, back + 0.1)
    assert second.seconds > first.seconds


def test_a_restart_forgets_latency_and_failures() -> None:
    standing = Standing()
    _busy(standing, 1.0)
    for _ in range(4):
        standing.note(Outcome.TIMEOUT, 5.0, 1.5)
    assert standing.penalty > 1
    standing.restart(2.0)
    assert (standing.penalty, standing.consecutive, standing.usual_latency) == (1.0, 0, 0.0)
