"""What every limit keeps to, and what the adaptive one learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.limit_settings import Limit as LimitSettings
from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.limits.choice import make_limit
from gateway.admission.limits.steering import Steering
from gateway.admission.sample import Sample
from gateway.core.outcome import Outcome

if TYPE_CHECKING:
    from gateway.admission.limits.limit import Limit

KINDS = ["adaptive", "fixed", "aimd", "vegas", "gradient"]


def _feed(
    limit: Limit,
    count: int,
    *,
    start: float = 0.0,
    latency: float = 0.02,
    step: float = 0.002,
    outcome: Outcome = Outcome.SUCCESS,
    is_held: bool = True,
) -> tuple[list[str], float]:
    """Requests that end one after another; the reasons of all changes, and the time afterwards."""
    reasons = []
    now = start
    for _ in range(count):
        now += step
        if is_held:
            limit.held_back(now)
        change = limit.update(Sample(now - latency, now, limit.value, "", outcome))
        if change is not None:
            reasons.append(change.reason)
    return reasons, now


@pytest.mark.parametrize("kind", KINDS)
@given(
    samples=st.lists(
        st.tuples(
            st.floats(min_value=0, max_value=0.5),
            st.floats(min_value=0.0001, max_value=5),
            st.sampled_from(Outcome),
            st.booleans(),
        ),
        max_size=300,
    )
)
def test_a_limit_stays_in_its_bounds_and_says_why_it_moved(
    kind: str, samples: list[tuple[float, float, Outcome, bool]]
) -> None:
    """Whatever comes, min <= value <= max, every move has a reason, and no move goes unsaid."""
    limit = make_limit(LimitSettings(kind=kind, initial=10, min=2, max=40))  # type: ignore[arg-type]
    now = 100.0
    for wait, latency, outcome, is_held in samples:
        now += wait
        if is_held:
            limit.held_back(now)
        before = limit.value
        change = limit.update(Sample(now - latency, now, before, "", outcome))
        assert 2 <= limit.value <= 40
        assert (change is None) == (limit.value == before)
        assert change is None or (change.limit == limit.value and change.reason)


@pytest.mark.parametrize("kind", ["adaptive", "aimd", "vegas", "gradient"])
def test_nothing_moves_while_the_limit_holds_nobody_back(kind: str) -> None:
    """At low load the limit stays where it is, however long."""
    limit = make_limit(LimitSettings(kind=kind))  # type: ignore[arg-type]
    now = 100.0
    for _ in range(5000):
        now += 0.01
        limit.update(Sample(now - 0.02, now, 2, "", Outcome.SUCCESS))
    assert limit.value == 100


@pytest.mark.parametrize("kind", ["adaptive", "aimd", "vegas", "gradient"])
def test_clients_that_leave_teach_nothing_about_latency(kind: str) -> None:
    """Cancelled requests among answered ones, fast as they end, change no decision."""
    plain = make_limit(LimitSettings(kind=kind))  # type: ignore[arg-type]
    mixed = make_limit(LimitSettings(kind=kind))  # type: ignore[arg-type]
    now = 0.0
    for number in range(4000):
        now += 0.0025
        latency = 0.02 + 0.0025 * (number % 7)
        for limit in (plain, mixed):
            limit.held_back(now)
            if limit is mixed and number % 3 == 0:
                limit.update(Sample(now - 0.0001, now, limit.value, "", Outcome.NEUTRAL))
            limit.update(Sample(now - latency, now, limit.value, "", Outcome.SUCCESS))
    assert plain.value == mixed.value


def test_all_time_outs_are_not_stability() -> None:
    """When nothing but time-outs comes back the limit falls to its least."""
    limit = Steering(20, 1, 500)
    reasons, _ = _feed(limit, 3000, latency=1.0, step=0.02, outcome=Outcome.TIMEOUT)
    assert limit.value == 1
    assert set(reasons) <= {"silence", "timeouts"}


def test_when_every_client_leaves_nobody_is_served() -> None:
    """A service so slow that all clients give up is not left with twenty of them: silence halves the limit."""
    limit = Steering(20, 1, 500)
    reasons, _ = _feed(limit, 3000, latency=1.0, step=0.02, outcome=Outcome.NEUTRAL)
    assert limit.value == 1
    assert set(reasons) == {"silence"}


def test_one_cut_a_generation() -> None:
    """Samples admitted before the last change do not vote: a crowd of old ones moves the limit no further."""
    limit = Adaptive(20, 1, 500)
    _, now = _feed(limit, 400, latency=0.02)
    _, now = _feed(limit, 400, start=now, latency=0.3)
    after, moved_at = limit.value, now
    for _ in range(500):
        now += 0.001
        limit.held_back(now)
        assert limit.update(Sample(moved_at - 10.0, now, 20, "", Outcome.SUCCESS)) is None
    assert limit.value == after


def test_every_kind_of_the_settings_can_be_made() -> None:
    """No word in the configuration is without a policy, and a share of a limit is at least one."""
    for kind in KINDS:
        limit = make_limit(LimitSettings(kind=kind, initial=1), 0.1)  # type: ignore[arg-type]
        assert limit.value == 1
