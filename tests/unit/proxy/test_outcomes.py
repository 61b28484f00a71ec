"""What the end of a request teaches limits and breakers."""

from __future__ import annotations

import pytest

from gateway.core.errors import REASONS
from gateway.core.outcome import Outcome
from gateway.proxy.outcomes import outcome_of


@pytest.mark.parametrize("status", [200, 204, 301, 400, 404, 429, 499])
def test_an_answer_below_500_is_a_success(status: int) -> None:
    assert outcome_of(status, "") is Outcome.SUCCESS


@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_answer_of_5xx_is_a_failure(status: int) -> None:
    assert outcome_of(status, "") is Outcome.FAILURE


@pytest.mark.parametrize(
    "reason", ["connect_timeout", "upstream_head_timeout", "upstream_idle_timeout", "request_timeout"]
)
def test_waiting_in_vain_is_a_timeout(reason: str) -> None:
    assert outcome_of(504, reason) is Outcome.TIMEOUT


def test_what_is_not_the_upstreams_doing_says_nothing() -> None:
    """Clients that leave, their mistakes, and our own refusals."""
    ours = {reason for reason, (status, *_) in REASONS.items() if status < 500 or status in {501, 503, 505, 508}}
    assert "client_gone" in ours
    assert "breaker_open" in ours
    for reason in {*ours, "internal_error"}:
        assert outcome_of(REASONS[reason].status, reason) is Outcome.NEUTRAL, reason


def test_every_failure_of_an_upstream_counts() -> None:
    theirs = {reason for reason, (status, *_) in REASONS.items() if status in {502, 504}}
    assert {reason for reason in theirs if outcome_of(502, reason) is Outcome.NEUTRAL} == set()
