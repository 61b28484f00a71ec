"""A trial passes when nobody has to wait, and fails at the first sign that somebody does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.scaling.trial import LONGEST, Trial
from gateway.signals.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.scaling.decision import Decision

CALM = Signals(at=0.0, signal_valid=1, limit=40.0, shed_rps={"queue_full": 0.5})


def trial(decision: Decision, length: float = 600.0) -> Trial:
    return Trial(decision, CALM, wait=0.25, length=length, now=100.0)


def test_it_takes_one_window(decide: Callable[[int, int], Decision]) -> None:
    """The limit is the part of those that remain; it lasts half a minute, or a hold when that is shorter."""
    it = trial(decide(4, 3))
    assert it.limit == 30
    assert it.look(CALM, 100.0 + LONGEST - 0.1) == "wait"
    assert it.look(CALM, 100.0 + LONGEST) == "passed"
    assert trial(decide(4, 3), length=5.0).until == 105.0
    assert trial(decide(3, 0)).limit == 1


@pytest.mark.parametrize(
    "sign",
    [
        {"queued": 4.0},
        {"oldest_age_s": 0.2},
        {"shed_rps": {"queue_full": 0.5, "queue_delay": 0.1}},
        {"slo_burn_5s": 20.0},
        {"signal_age_s": 16.0},
    ],
)
def test_signs_that_it_hurts(decide: Callable[[int, int], Decision], sign: dict[str, Any]) -> None:
    """A queue, a wait, more refusals than before, a burn, or numbers that are too old to see any of it."""
    words = {name: getattr(CALM, name) for name in CALM.__struct_fields__}
    it = trial(decide(4, 3))
    assert it.look(Signals(**{**words, **sign}), 101.0) == "failed"
    assert it.look(Signals(**{**words, "queued": 1.0, "oldest_age_s": 0.1}), 101.0) == "wait"
