"""One target's loop: it follows the load, tries scale-ins first, and never shrinks on numbers that are old."""

from __future__ import annotations

import asyncio
from math import isfinite
from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.scaling.ledger import read_records
from gateway.control.scaling.past import Past, last_states
from gateway.control.scaling.published import numbers, target_page
from gateway.core.units import Seconds
from gateway.scaling.analyzers.season import SeasonState
from gateway.scaling.settings import ActuatorSettings
from gateway.signals.reading import Replicas

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.control.scaling.conftest import Stage

    Make = Callable[..., Stage]

BUSY = 100.0  # per second, 0.1 s each: ten slots, three replicas of four


async def test_a_load_brings_replicas_and_its_end_takes_them(stage: Make) -> None:
    """Out at once; in after the hold, and only when a trial with the smaller limit has passed."""
    it = stage()
    await it.live(30, BUSY)
    assert it.puppet.replicas.ready >= 3
    grown = it.puppet.replicas.ready
    await it.live(200, 1.0)
    assert it.puppet.replicas.ready == 1
    assert it.changes()[0][0] == 1
    assert it.fate() == ["trial", "trial_passed", "carried_out", "confirmed"]
    assert it.caps[0][0] < 4 * grown
    assert it.caps[-1] == (None, 0.0)


async def test_a_trial_that_makes_a_queue_is_called_off(stage: Make) -> None:
    """The limit is given back at once, the replicas stay, and the next scale-in waits longer."""
    it = stage(ready=4, hold=30.0, max_hold=300.0)
    await it.live(10, 60.0)
    while it.target.trial is None:
        await it.live(1, 1.0)
    assert it.target.asked == it.target.trial.decision.after
    assert it.caps == [(it.target.trial.limit, pytest.approx(35.0))]
    await it.live(1, 1.0, queued=5)
    assert it.caps[-1] == (None, 0.0)
    assert it.target.trial is None
    assert it.puppet.applied == []
    assert it.fate() == ["trial", "called_off"]
    assert it.target.scaler._hysteresis.hold == 45.0


@pytest.mark.parametrize("silence", ["worker", "view"])
async def test_old_numbers_never_scale_in(stage: Make, silence: str) -> None:
    """With the worker or the view of the replicas silent nothing shrinks, and after 30 s the signals are invalid."""
    it = stage(ready=5, hold=60.0, max_hold=60.0)
    await it.live(10, 60.0)
    if silence == "worker":
        it.is_stopped = True
    else:
        it.puppet.seen_at = it.clock.now()
    await it.live(29, 0.0)
    assert it.target.signals.signal_valid == 1
    await it.live(3, 0.0)
    assert it.target.signals.signal_valid == 0
    await it.live(600, 0.0)
    assert it.puppet.replicas.ready == 5
    assert it.changes() == []
    assert numbers(it.target)["signal_age_s"] > 600


async def test_no_worker_is_no_reading(stage: Make) -> None:
    """While no worker lives the last signals stand and grow old."""
    it = stage(ready=5, hold=60.0, max_hold=60.0)
    await it.live(10, 60.0)
    offered = it.target.signals.offered_rps
    for _ in range(120):
        it.clock.advance(1.0)
        it.target.look(None, it.clock.now())
        it.target.decide(it.clock.now())
    assert (it.target.signals.offered_rps, it.target.signals.signal_valid) == (offered, 0)
    assert it.changes() == []


async def test_nothing_is_decided_before_replicas_were_counted(stage: Make) -> None:
    """A view that never knew leads to no decision, not even up to the bounds."""
    it = stage(min=3, fallback=5)
    it.puppet.seen_at = -4000.0
    it.puppet.replicas = Replicas()
    await it.live(100, BUSY)
    assert len(it.records) == 0


async def test_a_decision_under_way_is_not_made_again(stage: Make) -> None:
    """While the actuator works there are as many as are seen, and what is being asked for is not asked for again."""
    it = stage()
    it.puppet.gate = asyncio.Event()
    await it.live(60, BUSY)
    assert it.puppet.at_once == 1
    assert it.puppet.applied == []
    assert len({after for _, after, _ in it.changes()}) == len(it.changes())
    assert (it.target.signals.replicas.desired, it.target.asked) == (1, it.changes()[-1][1])
    it.puppet.gate.set()
    await it.live(5, BUSY)
    assert it.puppet.replicas.ready == it.changes()[-1][1]
    assert it.puppet.most_at_once == 1


async def test_a_pin_holds_and_ends(stage: Make) -> None:
    """A pinned live target goes to the number at once, stays there, and is decided again when the time is over."""
    it = stage()
    await it.live(10, BUSY)
    it.target.pin(7, 60.0)
    await it.live(5, 1.0)
    assert it.puppet.replicas.ready == 7
    assert it.target.scaler.mode == "pinned"
    await it.live(40, 1.0)
    assert it.puppet.replicas.ready == 7
    await it.live(200, 1.0)
    assert it.target.scaler.mode == "live"
    assert it.puppet.replicas.ready == 1


async def test_modes(stage: Make) -> None:
    """Observed and in shadow nothing is carried out; in shadow there is regret."""
    it = stage(mode="observe")
    await it.live(20, BUSY)
    assert (len(it.records), it.target.scaler.desired) == (0, 3)
    it.target.set_mode("shadow")
    await it.live(20, BUSY)
    assert it.puppet.applied == []
    assert it.fate() == []
    assert numbers(it.target)["shadow_regret_replica_seconds"] > 0
    it.target.set_mode("live")
    await it.live(10, BUSY)
    assert it.puppet.replicas.ready >= 3


async def test_what_is_told_is_finite_and_whole(stage: Make) -> None:
    """From the first moment every number is there, and pages have what a reader needs to trust them."""
    it = stage()
    before = numbers(it.target)
    assert (before["signal_valid"], before["signal_age_s"]) == (0, 3600.0)
    await it.live(20, BUSY)
    after = numbers(it.target)
    assert set(before) == set(after)
    assert all(isfinite(value) for value in after.values())
    page: dict[str, Any] = target_page(it.target, "now")
    assert (page["schema"], page["target"], page["seq"], page["age_ms"]) == (1, "app", 20, 0)
    assert page["scaling"]["mode"] == "live"


async def test_the_ledger_has_the_whole_story_and_a_restart_goes_on(stage: Make, tmp_path: Any) -> None:
    """The next process knows the number, the serial, the pin and the freeze; and scales in only after a whole hold."""
    it = stage()
    await it.live(30, BUSY)
    grown = it.puppet.replicas.ready
    it.target.pin(grown, 1000.0)
    it.target.scaler.frozen_at = it.clock.now()
    it.target._say("frozen")
    await it.ledger.stop()
    past = last_states(read_records(tmp_path / "ledger.jsonl"))["app"]
    assert past.replicas == grown
    assert past.serial == len(it.records)
    assert past.frozen_at == pytest.approx(it.clock.wall(), abs=0.01)
    assert past.pinned == (grown, pytest.approx(it.clock.wall() + 1000.0, abs=0.01))

    again = stage(ready=grown, hold=40.0, max_hold=40.0)
    again.clock.advance(30.0)
    again.target.resume(past._replace(pinned=None, frozen_at=None))
    await again.live(39, 1.0)
    assert len(again.records) == 0
    await again.live(60, 1.0)
    assert next(iter(again.records)).decision.id == f"app-{past.serial + 1}"

    frozen = stage(ready=grown)
    frozen.clock.advance(60.0)
    frozen.target.resume(past)
    assert frozen.target.scaler.frozen_at is not None
    assert frozen.target.scaler.pinned == (
        grown,
        pytest.approx(frozen.clock.now() + past.pinned[1] - frozen.clock.wall()),
    )


async def test_a_freeze_that_is_long_over_is_not_brought_back(stage: Make) -> None:
    """Nor a pin whose time has passed while nobody ran."""
    it = stage()
    wall = it.clock.wall()
    it.target.resume(Past(serial=3, replicas=2, frozen_at=wall - 7200.0, pinned=(5, wall - 1.0)))
    assert it.target.scaler.frozen_at is None
    assert it.target.scaler.pinned is None


async def test_admission_is_told_what_is_coming_until_it_has_come(stage: Make) -> None:
    """At each look, with the time that is left; once more when it has come, and never a second time."""
    it = stage(cold_start=Seconds(6))
    await it.live(5, 10.0)
    assert it.promises == []
    it.puppet.replicas = Replicas(ready=1, warming=1, desired=2)
    await it.live(3, 10.0)
    assert [(wait, growth) for wait, growth, _ in it.promises] == [(6.0, 2.0), (5.0, 2.0), (4.0, 2.0)]
    assert it.target.scaler.is_queue_held
    it.puppet.replicas = Replicas(ready=2, desired=2)
    await it.live(3, 10.0)
    assert it.promises[3:] == [(0.0, 1.0, 0.0)]
    assert not it.target.scaler.is_queue_held


@pytest.mark.parametrize(
    ("kind", "mode", "told"), [("pool", "live", [3.0, 2 / 3]), ("pool", "observe", []), ("exec", "live", [])]
)
async def test_a_limit_follows_replicas_that_somebody_counts(
    stage: Make, kind: str, mode: str, told: list[float]
) -> None:
    """Of a pool in live mode; a number that is only observed says nothing about what we ordered."""
    it = stage(mode=mode, max=1, actuator=ActuatorSettings(kind=kind, command=("true", "{to}")))
    await it.live(5, 10.0)
    it.puppet.replicas = Replicas(ready=3, desired=3)
    await it.live(2, 10.0)
    it.puppet.replicas = Replicas(ready=2, desired=2)
    await it.live(2, 10.0)
    assert it.ratios == pytest.approx(told)


async def test_days_that_an_earlier_process_saw_are_known(stage: Make) -> None:
    """By the time of day, not by the clock of the process; a season of another kind is forgotten and said."""
    it = stage()
    await it.live(700, 10.0)
    state = it.target.scaler.season.state()
    assert state is not None
    assert state.slot == int(it.clock.wall() / 300)
    other = stage()
    other.target.resume_season(state)
    assert other.target.scaler.season.state() == state
    other.target.resume_season(SeasonState(0, b"", ()))
    assert ("warning", "season forgotten") in [(level, event) for level, event, _ in other.log.events]
