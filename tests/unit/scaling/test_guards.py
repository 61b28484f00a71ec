"""Guards: each one's own work, and their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.scaling.analyzers.cost import cost
from gateway.scaling.guards.order import GUARDS, guarded
from gateway.scaling.guards.plan import Facts, Plan
from gateway.scaling.settings import PriceSettings, ScalingSettings
from gateway.scaling.vote import Vote
from gateway.signals.reading import Replicas
from gateway.signals.signals import Signals

SETTINGS = ScalingSettings(mode="live", min=1, max=50)
SIGNALS = Signals(at=0.0, signal_valid=1, replicas=Replicas(ready=10, desired=10), slots_per_replica=8.0)


def facts(signals: Signals = SIGNALS, settings: ScalingSettings = SETTINGS, **more: object) -> Facts:
    return Facts(signals, settings, more.pop("ceilings", ()), **more)  # type: ignore[arg-type]


def with_(**more: object) -> Signals:
    return replace(SIGNALS, **more)


CASES = [
    ("min_max", 20, 60, facts(), 50, "above_max"),
    ("min_max", 10, 0, facts(), 1, "below_min"),
    ("steps", 5, 40, facts(), 20, "step"),
    ("starts", 10, 30, facts(settings=replace(SETTINGS, max_starts=3)), 13, "starts"),
    (
        "starts",
        10,
        30,
        facts(with_(replicas=Replicas(ready=10, warming=1, standby=2)), replace(SETTINGS, max_starts=3)),
        14,  # two that start, and two that are warm and need not
        "starts",
    ),
    ("machine", 10, 20, facts(room=12), 12, "no_room"),
    ("machine", 10, 20, facts(room=4), 10, "no_room"),
    ("budget", 10, 20, facts(ceilings=(Vote("cost", 15, "budget", "ceiling"),)), 15, "budget"),
    ("dependency", 10, 20, facts(ceilings=(Vote("dependency", 10, "breaker_open", "ceiling"),)), 10, "breaker_open"),
    ("dependency", 10, 20, facts(ceilings=(Vote("gateway", 10, "gateway_full", "ceiling"),)), 10, "gateway_full"),
    ("calm", 10, 5, facts(is_burning=True), 10, "slo_burn"),
    ("calm", 10, 5, facts(with_(queued=5.0, time_to_drain_s=1.0)), 10, "queue"),
    ("calm", 10, 5, facts(with_(replicas=Replicas(ready=10, draining=4))), 10, "draining"),
    ("calm", 10, 5, facts(with_(breaker_open=1)), 10, "breaker_open"),
    ("calm", 10, 5, facts(has_window=False), 10, "start_up"),
    ("calm", 10, 5, facts(with_(signal_valid=0)), 10, "stale"),
    ("calm", 10, 5, facts(with_(signal_age_s=16.0)), 10, "stale"),
    ("calm", 10, 20, facts(with_(signal_age_s=16.0)), 10, "stale"),
    ("calm", 10, 5, facts(with_(signal_valid=0), replace(SETTINGS, fallback=15)), 15, "fallback"),
    ("freeze", 10, 12, facts(is_frozen=True), 10, "frozen"),
    ("freeze", 10, 12, facts(pin=7), 7, "pinned"),
    ("owner", 10, 12, facts(owner="hpa"), 10, "owned_by_hpa"),
]


@pytest.mark.parametrize(("name", "current", "target", "known", "left", "reason"), CASES)
def test_a_guard_does_its_work_alone(
    *, name: str, current: int, target: int, known: Facts, left: int, reason: str
) -> None:
    """Through the whole chain, so that a guard which is taken out is missed."""
    found, marks = guarded(Plan(current, target), known)
    assert found == left
    assert (marks[-1].guard, marks[-1].reason) == (name, reason)


def test_a_calm_target_may_scale_in_and_out() -> None:
    assert guarded(Plan(10, 5), facts()) == (5, ())
    assert guarded(Plan(10, 14), facts()) == (14, ())


def test_the_order_is_fixed() -> None:
    names = [name for name, _ in GUARDS]
    assert names == [
        "min_max",
        "steps",
        "starts",
        "machine",
        "budget",
        "dependency",
        "calm",
        "pause",
        "freeze",
        "owner",
    ]


def test_a_veto_does_not_keep_a_target_below_its_minimum() -> None:
    ceilings = (Vote("dependency", 0, "breaker_open", "ceiling"),)
    assert guarded(Plan(0, 1), facts(ceilings=ceilings))[0] == 1


def test_a_frozen_target_may_still_be_restored() -> None:
    assert guarded(Plan(10, 12), facts(is_frozen=True, is_restoring=True))[0] == 12


def test_the_budget_pays_for_standby_first() -> None:
    vote = cost(PriceSettings(replica_hour=0.1, budget_hour=1.0), standby=2)
    assert vote == Vote("cost", 8, "budget", "ceiling")
    assert cost(PriceSettings(), standby=2) is None
    smallest = cost(PriceSettings(replica_hour=1e-310, budget_hour=1.0), standby=2)
    assert smallest is not None
    assert smallest.replicas == 10**9 - 2


SIGNAL_STATES = st.builds(
    with_,
    signal_valid=st.integers(0, 1),
    signal_age_s=st.floats(0, 60),
    queued=st.floats(0, 100),
    time_to_drain_s=st.floats(0, 10),
    breaker_open=st.integers(0, 1),
)


@given(st.integers(1, 50), st.integers(0, 100), SIGNAL_STATES, st.one_of(st.none(), st.integers(1, 50)))
def test_old_or_missing_numbers_never_scale_in(
    current: int, target: int, signals: Signals, fallback: int | None
) -> None:
    found, _ = guarded(Plan(current, target), facts(signals, replace(SETTINGS, fallback=fallback)))
    if not signals.signal_valid or signals.signal_age_s > 15:
        assert found >= current


@given(st.integers(1, 50), st.integers(0, 200), SIGNAL_STATES, st.integers(1, 60), st.integers(0, 60))
def test_no_plan_leaves_the_bounds(current: int, target: int, signals: Signals, room: int, ceiling: int) -> None:
    known = facts(signals, room=room, ceilings=(Vote("dependency", ceiling, "no_gain", "ceiling"),))
    found, marks = guarded(Plan(current, target), known)
    assert SETTINGS.min <= found <= SETTINGS.max
    order = [name for name, _ in GUARDS]
    assert [mark.guard for mark in marks] == sorted((mark.guard for mark in marks), key=order.index)


def test_replicas_on_standby_need_no_start() -> None:
    """Three may be starting at once; the two that are warm come on top."""
    warm = with_(replicas=Replicas(ready=10, standby=2, desired=10))
    assert guarded(Plan(10, 30), facts(warm, replace(SETTINGS, max_starts=3)))[0] == 15


def test_a_pause_gives_way_to_a_pin_alone() -> None:
    """Nobody decides on what somebody has set to none, but for the word of another person."""
    assert guarded(Plan(0, 5), facts(is_paused=True))[0] == 0
    assert guarded(Plan(0, 5), facts(is_paused=True, pin=3))[0] == 3
