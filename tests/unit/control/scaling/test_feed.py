"""A reading joins what all workers say, as old as the oldest of what it is made of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.actuators.actuator import View
from gateway.control.scaling.feed import UNKNOWN, look, reading
from gateway.control.scaling.published import queue_page
from gateway.scaling.settings import ActuatorSettings, ScalingSettings
from gateway.signals.reading import DELAY_BOUNDS, Replicas
from gateway.telemetry.snapshot import EndpointSnapshot, GateSnapshot, LoadSnapshot, ResilienceSnapshot, Snapshot
from gateway.telemetry.totals import Totals

KNOWN = View(at=100.0, replicas=Replicas(ready=2, desired=2), cold_starts=(3.0,))


def worker(at: float, arrived: int, states: dict[str, dict[str, int]] | None = None) -> Snapshot:
    endpoints = {url: EndpointSnapshot(states=found) for url, found in (states or {}).items()}
    return Snapshot(
        at=at,
        strain=arrived / 100,
        loads={"app": LoadSnapshot(first_tries=arrived, delays=[1] * (len(DELAY_BOUNDS) + 2), oldest_age=at - 90)},
        gates={"app": GateSnapshot(limit=10, queued_bytes=5)},
        resilience={"app": ResilienceSnapshot(endpoints=endpoints)},
    )


def joined(*workers: Snapshot, view: View = KNOWN, dead: Snapshot | None = None) -> Any:
    totals = Totals()
    if dead is not None:
        totals.update(99, dead)
        totals.retire(99)
    for number, snapshot in enumerate(workers):
        totals.update(number, snapshot)
    seen = look(totals)
    return None if seen is None else reading("app", seen, view, view.replicas)


def test_workers_are_added_up_and_the_dead_are_kept() -> None:
    """Counters of dead workers stay in the sum, their gauges do not."""
    found = joined(worker(100.0, 7), worker(100.2, 5), dead=worker(50.0, 100))
    assert found.first_tries == 112
    assert (found.limit, found.queued_bytes) == (20, 10)
    assert found.at == pytest.approx(100.1)
    assert found.age == pytest.approx(0.1)
    assert found.gateway_strain == pytest.approx(0.07)
    assert found.delays == (6.0, *[3.0] * len(DELAY_BOUNDS))
    assert found.cold_starts == (3.0,)


def test_one_worker_that_has_found_its_limit_is_enough() -> None:
    """The limit is a guess only while no worker has learned anything."""
    guessed, found = worker(100.0, 7), worker(100.0, 5)
    guessed.gates["app"].is_limit_guessed = True
    assert joined(guessed).is_limit_guessed
    assert not joined(guessed, found).is_limit_guessed


def test_a_reading_says_among_how_many_workers_arrivals_are_split() -> None:
    """By their shares: two alike are two, one that gets nearly all is one, and the dead get nothing."""
    assert joined(worker(100.0, 50), dead=worker(50.0, 100)).split == 1.0
    assert joined(worker(100.0, 50), worker(100.0, 50), dead=worker(50.0, 100)).split == pytest.approx(2.0)
    assert joined(worker(100.0, 990), worker(100.0, 10)).split == pytest.approx(1.02, abs=0.01)
    assert joined(worker(100.0, 0), worker(100.0, 0)).split == 1.0


def test_no_living_worker_is_no_reading() -> None:
    """Nobody can say anything, which is not the same as nothing being asked for."""
    assert joined(dead=worker(50.0, 100)) is None


def test_a_worker_that_has_stopped_makes_the_reading_old_and_not_slow() -> None:
    """The instant is that of the fresh ones, the age that of the stopped one."""
    found = joined(worker(100.0, 7), worker(60.0, 5))
    assert (found.at, found.age) == (100.0, 40.0)


def test_an_old_view_makes_the_reading_old() -> None:
    """Replicas that nobody has counted for 40 s are as bad as counters that old; never counted is worst."""
    assert joined(worker(140.0, 7)).age == 40.0
    assert joined(worker(140.0, 7), view=View()).age == UNKNOWN


@pytest.mark.parametrize(
    ("states", "is_open"),
    [
        ({"": {"closed": 1}, "a": {"closed": 1}}, False),
        ({"": {"open": 1}, "a": {"closed": 1}}, True),
        ({"": {"closed": 1}, "a": {"open": 1}, "b": {"closed": 1}}, False),
        ({"": {"closed": 1}, "a": {"open": 1}, "b": {"forced_open": 1}}, True),
        ({"": {"closed": 1}, "a": {"half_open": 1}}, True),
        ({"": {"closed": 1}, "a": {"ramping": 1}}, False),
        ({}, False),
    ],
)
def test_the_breaker_is_open_when_nobody_is_asked(states: dict[str, dict[str, int]], is_open: bool) -> None:  # noqa: FBT001
    """Either the upstream's own, or that of every endpoint."""
    assert joined(worker(100.0, 1, states)).is_breaker_open is is_open


def test_one_worker_of_two_is_no_majority() -> None:
    """While one worker still asks, the upstream is not given up."""
    shut, well = {"": {"open": 1}, "a": {"open": 1}}, {"": {"closed": 1}, "a": {"closed": 1}}
    assert joined(worker(100.0, 1, shut), worker(100.0, 1, well)).is_breaker_open is False
    assert joined(worker(100.0, 1, shut), worker(100.0, 1, shut)).is_breaker_open is True


def test_an_upstream_that_nobody_counted_reads_as_nothing_asked_for() -> None:
    """A worker that has not met an upstream yet adds nothing."""
    totals = Totals()
    totals.update(0, Snapshot(at=1.0))
    seen = look(totals)
    assert seen is not None
    assert reading("other", seen, View(at=1.0), Replicas(ready=1)).first_tries == 0


def test_the_time_that_a_count_takes_is_no_age() -> None:
    """A count of eight seconds that ended twelve seconds ago is four seconds old."""
    slow = View(at=88.0, replicas=KNOWN.replicas, slack=8.0)
    assert joined(worker(100.0, 7), view=slow).age == pytest.approx(4.0)


def test_tunnels_of_dead_workers_are_gone() -> None:
    """Streams, and those of them that keep their place, are those of the living."""
    dead = worker(50.0, 100)
    dead.loads["app"].streams = dead.gates["app"].streams = 7
    living = worker(100.0, 5)
    living.loads["app"].streams, living.gates["app"].streams = 5, 2
    totals = Totals()
    totals.update(0, dead)
    totals.retire(0)
    totals.update(1, living)
    seen = look(totals)
    assert seen is not None
    found = reading("app", seen, KNOWN, KNOWN.replicas)
    assert (found.streams, found.held) == (5, 3)
    assert (totals.sum().loads["app"].streams, totals.sum().gates["app"].streams) == (5, 2)


def test_the_queue_page_counts_what_is_there_and_all_that_ever_came() -> None:
    """In flight and waiting, streams too; arrivals only grow, so that 0.3 a second are not 0; one object is one sum."""
    totals = Totals()
    dead, living = worker(50.0, 100), worker(100.0, 3)
    dead.loads["app"].in_flight = 9
    living.loads["app"] = LoadSnapshot(first_tries=3, retries=2, in_flight=12, streams=12, queued=1)
    living.loads["too"] = LoadSnapshot(first_tries=1)
    totals.update(0, dead)
    totals.retire(0)
    totals.update(1, living)
    targets: Any = [
        SimpleNamespace(
            name=name, scaler=SimpleNamespace(settings=ScalingSettings(actuator=ActuatorSettings(deployment="shop")))
        )
        for name in ("app", "too")
    ]
    assert queue_page(targets, look(totals)) == {"default/shop": {"Concurrency": 13, "RequestCount": 106}}
    assert queue_page(targets, None) == {"default/shop": {"Concurrency": 0, "RequestCount": 0}}
