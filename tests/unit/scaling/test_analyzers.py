"""What the signals mean for the number of replicas."""

from __future__ import annotations

from math import hypot

import pytest
from msgspec.structs import replace

from gateway.scaling.analyzers import trend as trend_room
from gateway.scaling.analyzers.backlog import backlog
from gateway.scaling.analyzers.burn import burn, is_burning
from gateway.scaling.analyzers.demand import demand, demand_slots
from gateway.scaling.analyzers.dependency import Dependency
from gateway.scaling.analyzers.strain import strain
from gateway.scaling.analyzers.trend import Trend
from gateway.signals.reading import Replicas
from gateway.signals.signals import Signals

SIGNALS = Signals(
    at=0.0,
    signal_valid=1,
    slots_per_replica=8.0,
    load_slots=40.0,
    spare_slots=6.0,
    offered_rps=400.0,
    admitted_rps=400.0,
    service_time_s=0.1,
    replicas=Replicas(ready=6, desired=6),
)


def with_(**more: object) -> Signals:
    return replace(SIGNALS, **more)


def test_demand_is_the_load_and_what_may_come() -> None:
    assert demand(SIGNALS).replicas == 6
    assert demand_slots(with_(growth_slots=5.0)) == pytest.approx(40 + hypot(6, 5))
    assert demand(with_(surge_slots=40.0)).replicas == 12
    assert demand(with_(surge_slots=40.0)).reason == "load_grows"


def test_what_a_surge_left_behind_counts_as_growth_only_in_part() -> None:
    """The last ten minutes remember it; the present load is small."""
    assert demand_slots(with_(load_slots=5.0, spare_slots=3.0, growth_slots=100.0)) == pytest.approx(5 + hypot(3, 0.65))


def test_a_climb_that_brings_half_of_the_load_is_no_surge() -> None:
    """Autoscalers that look seldom are told of it in ``demand_slots``; our own vote waits for the next look."""
    assert demand_slots(with_(surge_slots=20.0)) == demand_slots(SIGNALS)
    assert demand_slots(with_(surge_slots=24.0)) == pytest.approx(40 + hypot(6, 1.3 * 24))


def test_a_queue_is_drained_in_its_time() -> None:
    assert backlog(SIGNALS) is None
    vote = backlog(with_(queued=200.0, backlog_slots=20.0))
    assert vote is not None
    assert vote.replicas == 9


def test_a_burn_asks_for_a_step_and_waits_for_it() -> None:
    burning = with_(slo_burn_5s=20.0, slo_burn_60s=20.0)
    vote = burn(burning, 6)
    assert vote is not None
    assert vote.replicas == 7
    assert burn(with_(slo_burn_5s=20.0, slo_burn_60s=1.0), 6) is None
    assert burn(with_(slo_burn_5s=0.0, slo_burn_60s=20.0), 6) is None
    assert burn(replace(burning, replicas=Replicas(ready=6, warming=1)), 7) is None


def test_an_open_breaker_sets_a_ceiling_at_what_there_is() -> None:
    vote = Dependency().vote(with_(breaker_open=1, replicas=Replicas(ready=6, warming=2)), 0.0)
    assert vote is not None
    assert (vote.replicas, vote.reason, vote.kind) == (8, "breaker_open", "ceiling")


def test_failures_without_saturation_set_a_ceiling_and_failures_of_a_full_pool_do_not() -> None:
    assert Dependency().vote(with_(failed_rps=200.0, utilization=0.95), 0.0) is None
    vote = Dependency().vote(with_(failed_rps=200.0, utilization=0.3), 0.0)
    assert vote is not None
    assert vote.reason == "upstream_failing"


def _grow(dependency: Dependency, throughput: list[float], first: int = 6) -> list[str]:
    """One replica more every 30 s, under full load; what is said at the end of each time."""
    said = []
    for index, admitted in enumerate(throughput):
        for tick in range(6):
            now = 30.0 * index + 5.0 * tick
            signals = with_(
                replicas=Replicas(ready=first + index),
                admitted_rps=admitted,
                pressure=1.5,
                queued=50.0,
                time_to_drain_s=5.0,
                at=now,
            )
            vote = dependency.vote(signals, now)
        said.append(vote.reason if vote is not None else "")
    return said


def test_the_last_replica_that_did_not_help_is_the_knee() -> None:
    assert _grow(Dependency(), [400.0, 465.0, 530.0]) == ["", "", ""]
    assert _grow(Dependency(), [400.0, 465.0, 470.0]) == ["", "", "no_gain"]


def test_among_many_replicas_one_that_did_not_help_is_within_chance() -> None:
    """A share of 1/28 is less than the counts of ten seconds vary by."""
    assert _grow(Dependency(), [2200.0, 2195.0, 2200.0], first=28) == ["", "", ""]


def test_the_knee_is_forgotten() -> None:
    dependency = Dependency()
    _grow(dependency, [400.0, 401.0])
    assert dependency.vote(with_(replicas=Replicas(ready=7)), 100.0) is not None
    assert dependency.vote(with_(replicas=Replicas(ready=7)), 800.0) is None


def test_a_full_gateway_in_front_of_idle_replicas_sets_a_ceiling() -> None:
    assert strain(with_(gateway_strain=0.95, utilization=0.9)) is None
    vote = strain(with_(gateway_strain=0.95, utilization=0.3))
    assert vote is not None
    assert vote.reason == "gateway_full"


def test_a_trend_that_is_right_has_a_vote() -> None:
    trend = Trend()
    for tick in range(100):
        trend.update(10.0 + 0.5 * tick, 35.0, 5.0 * tick)
    assert trend.is_trusted
    vote = trend.vote(5.0, 8.0)
    assert vote is not None
    assert vote.replicas * 8 > 10 + 0.5 * 99 + 5


def test_a_trend_that_is_no_better_than_the_present_has_none() -> None:
    """Up and down each minute: what was learned of the slope is wrong by the time it matters."""
    trend = Trend()
    for tick in range(400):
        trend.update(10.0 if tick // 7 % 2 else 30.0, 35.0, 5.0 * tick)
    assert not trend.is_trusted
    assert trend.vote(5.0, 8.0) is None


def test_a_trend_loses_its_vote_when_it_fails() -> None:
    trend = Trend()
    for tick in range(100):
        trend.update(10.0 + 0.5 * tick, 35.0, 5.0 * tick)
    assert trend.is_trusted
    for tick in range(100, 400):
        trend.update(60.0 + (20.0 if tick // 7 % 2 else -20.0), 35.0, 5.0 * tick)
    assert not trend.is_trusted


def test_what_burned_for_long_services_is_past_when_slots_are_free_and_nobody_waits() -> None:
    """An answer after a minute tells of a wait a minute ago; only a queue or full slots say that it goes on."""
    late = {"slo_burn_5s": 500.0, "slo_burn_60s": 500.0, "slo_burn_600s": 500.0, "service_time_s": 60.0}
    assert burn(with_(**late, utilization=0.5), 6) is None
    assert not is_burning(with_(**late, utilization=0.5))
    assert is_burning(with_(**late, utilization=0.95))
    assert is_burning(with_(**late, utilization=0.5, queued=3.0))
    assert is_burning(with_(**{**late, "service_time_s": 0.1}, utilization=0.5))


def test_a_climb_is_not_believed_to_go_on_for_ever() -> None:
    """The slope is damped: in sixty steps it brings some 35 times itself, and not 60 times."""
    trend = Trend()
    for step in range(200):
        trend.update(float(step), 300.0, 5.0 * step)
    assert 199 + 25 < trend.forecast < 199 + 45


def test_a_trend_is_damped() -> None:
    """Holt's method with a damped slope (Gardner & McKenzie 1985): a climb does not go on for ever in the forecast."""
    alpha, beta, phi = trend_room._LEVEL, trend_room._SLOPE, trend_room._DAMPING
    trend = Trend()
    level, slope = 0.0, 0.0
    trend.update(0.0, 50.0, 0.0)
    for step in range(1, 40):
        load = 3.0 * step
        trend.update(load, 50.0, step * trend_room._STEP)
        before, level = level, alpha * load + (1 - alpha) * (level + phi * slope)
        slope = beta * (level - before) + (1 - beta) * phi * slope
        ahead = range(round(50.0 / trend_room._STEP))
        assert trend.forecast == pytest.approx(level + slope * sum(phi**each for each in ahead))
    trend.update(120.0, 1e6, 40 * trend_room._STEP)
    assert trend.forecast < 120.0 + 3.0 / (1 - phi) + 1.0
