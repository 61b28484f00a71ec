"""Days in virtual time: a rise that comes every day is met before it comes; days that are like no other are left alone."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from gateway.scaling.analyzers.season import DAY
from gateway.scaling.scaler import TICK, Scaler
from gateway.scaling.settings import ScalingSettings
from gateway.signals.reading import Replicas
from gateway.signals.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Callable

SLOTS = 8.0
RISE = 9 * 3600.0


def live(load: Callable[[float], float], days: float, seed: int) -> list[tuple[float, int, float, bool]]:
    """What a scaler wants at each tick: (instant, replicas, load without noise, whether the season has a vote)."""
    rng, scaler = Random(seed), Scaler(ScalingSettings(mode="live", max=60))
    present, now = 1, 0.0
    told = []
    while now < days * DAY:
        now += TICK
        quiet = load(now)
        slots = max(quiet * rng.gauss(1.0, 0.03), 0.0)
        signals = Signals(
            at=now,
            signal_valid=1,
            load_slots=slots,
            spare_slots=2.0,
            demand_slots=slots + 2.0,
            slots_per_replica=SLOTS,
            cold_start_p90_s=60.0,
            replicas=Replicas(ready=present, desired=present),
        )
        decision = scaler.step(signals, now)
        present = present if decision is None else decision.after
        told.append((now, present, quiet, any(vote.analyzer == "season" for vote in scaler.votes)))
    return told


def workday(now: float) -> float:
    """Little at night; from nine o'clock it climbs for a quarter of an hour, and falls in the evening."""
    time = now % DAY
    climbed = min(max(time - RISE, 0.0) / 900.0, 1.0)
    fallen = min(max(time - 18 * 3600.0, 0.0) / 3600.0, 1.0)
    return 20.0 + 180.0 * (climbed - fallen)


def grown_at(told: list[tuple[float, int, float, bool]], day: int) -> float:
    """The time of the day's first morning tick at which more was wanted than at half past eight."""
    morning = [
        (now - day * DAY, wanted) for now, wanted, *_ in told if day * DAY + RISE - 1800 <= now < (day + 1) * DAY
    ]
    return next(time for time, wanted in morning if wanted > morning[0][1])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_on_the_third_identical_day_it_scales_out_before_the_rise(seed: int) -> None:
    """On the first two it can only follow: the first has no past, and the second is what forecasts are judged by."""
    told = live(workday, 3, seed)
    assert grown_at(told, 0) >= RISE
    assert grown_at(told, 1) >= RISE
    assert grown_at(told, 2) < RISE
    assert not any(is_voting for now, _, _, is_voting in told if now < 1.95 * DAY)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_on_random_days_it_stays_silent(seed: int) -> None:
    """Each day has other hours in which much is asked for, so the day before says nothing."""
    rng = Random(100 + seed)
    hours = [rng.choice([20.0, 60.0, 120.0, 200.0]) for _ in range(5 * 24)]
    told = live(lambda now: hours[min(int(now / 3600), len(hours) - 1)], 4.5, seed)
    assert not any(is_voting for *_, is_voting in told)
