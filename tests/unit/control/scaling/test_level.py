"""Decisions start from what is: trials, failures, people, silences and restarts leave nothing that only was asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.actuators.actuator import ActuatorFailed, View
from gateway.control.scaling import ledger as ledger_room
from gateway.control.scaling.ledger import Ledger, read_records
from gateway.control.scaling.past import Past, last_states
from gateway.control.scaling.published import numbers, target_page
from gateway.core.clock import ManualClock
from gateway.scaling.settings import ActuatorSettings
from gateway.signals.reading import Replicas

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.control.scaling.conftest import Log, Stage

    Make = Callable[..., Stage]

EXACT = ActuatorSettings(kind="kubernetes", deployment="app")
FORBIDDEN = ActuatorFailed("forbidden", "no right to patch")


async def until_trial(it: Stage, rps: float, after: int) -> None:
    for _ in range(600):
        await it.live(1, rps)
        if it.target.trial is not None and it.target.trial.decision.after <= after:
            return
    pytest.fail("no trial")


# --- trials ----------------------------------------------------------------------------------------


async def test_a_climb_in_a_trial_starts_from_the_real_number(stage: Make) -> None:
    """Fourteen serve while three are tried; what ends below fourteen is a scale-in, and has a trial of its own."""
    it = stage(ready=16, max=20, hold=100.0, max_hold=100.0, cold_start=10.0, actuator=EXACT)
    await it.live(110, 500.0)
    await until_trial(it, 60.0, 8)
    real, made = it.puppet.replicas.ready, len(it.changes())
    assert real == 14
    applied = len(it.puppet.applied)
    while len(it.changes()) == made:
        await it.live(1, 140.0)
    before, after, reason = it.changes()[-1]
    assert (before, reason) == (14, "surplus")
    assert 4 <= after < 14
    assert it.target.trial is not None
    assert it.target.trial.limit == 4 * after
    assert it.puppet.replicas.ready == 14
    assert len(it.puppet.applied) == applied


async def test_a_trial_ends_when_more_is_wanted_than_there_is(stage: Make) -> None:
    """The lid is lifted at once and nothing was taken away."""
    it = stage(ready=8, max=20, hold=60.0, max_hold=60.0, actuator=EXACT)
    await it.live(70, 250.0)
    await until_trial(it, 20.0, 7)
    await it.live(12, 400.0)
    assert it.target.trial is None
    assert it.caps[-1] == (None, 0.0)
    assert all(decision.after > 8 for decision in it.puppet.applied)
    assert it.puppet.replicas.ready > 8


async def test_a_trial_over_a_trial_has_the_lid_of_the_real_number(stage: Make) -> None:
    """Of sixteen replicas with 64 slots five may have twenty, however many were on trial before."""
    it = stage(ready=16, max=20, hold=100.0, max_hold=100.0, cold_start=10.0, actuator=EXACT)
    await it.live(110, 500.0)
    for _ in range(300):
        await it.live(1, 60.0)
        if it.target.trial is not None:
            assert it.target.trial.decision.before == it.puppet.replicas.desired
            assert it.target.trial.limit == 4 * it.target.trial.decision.after
    assert len({limit for limit, _ in it.caps if limit is not None}) > 1


async def test_a_trial_goes_on_while_the_load_falls(stage: Make) -> None:
    """A scale-in that is tried is not made larger under way, or its window would never be over."""
    it = stage(ready=16, max=20, hold=100.0, max_hold=100.0, cold_start=5.0, actuator=EXACT)
    await it.live(110, 500.0)
    await until_trial(it, 60.0, 15)
    first = it.target.trial
    while it.clock.now() < first.until - 1:
        await it.live(1, 10.0)
        assert it.target.trial is first
    assert it.target.scaler.wanted < first.decision.after
    await it.live(1, 10.0)
    assert it.puppet.applied[-1].id == first.decision.id


async def test_a_person_who_scales_ends_a_trial(stage: Make) -> None:
    """It was decided from another number."""
    it = stage(ready=8, max=20, hold=60.0, max_hold=60.0, actuator=EXACT)
    await it.live(70, 250.0)
    await until_trial(it, 20.0, 7)
    it.puppet.replicas = Replicas(ready=12, desired=12)
    await it.live(1, 20.0)
    assert it.target.trial is None
    assert (it.fate()[-1], it.caps[-1]) == ("given_up", (None, 0.0))
    await it.live(59, 20.0)
    assert (it.puppet.replicas.ready, it.puppet.applied) == (12, [])


# --- decisions that wait for a broken actuator -------------------------------------------------------


async def failing(stage: Make, **settings: Any) -> Stage:
    it = stage(ready=2, max=20, actuator=EXACT, **settings)
    await it.live(20, 80.0)
    assert it.puppet.replicas.desired == 3
    it.puppet.failure = FORBIDDEN
    await it.live(20, 150.0)
    assert it.target.picture.is_failing
    return it


async def test_off_is_obeyed(stage: Make) -> None:
    """A decision that waits is void with the mode, and is not carried out when the right comes back."""
    it = await failing(stage)
    it.target.set_mode("off")
    assert it.fate()[-1] == "given_up"
    it.puppet.failure = None
    await it.live(60, 150.0)
    assert [decision for decision in it.puppet.applied if decision.after > 3] == []


async def test_a_pin_stands_above_what_waits(stage: Make) -> None:
    """The number of the pin is brought about, and the number of before is not."""
    it = await failing(stage)
    it.target.pin(4, 600.0)
    await it.live(1, 150.0)
    assert "given_up" in it.fate()
    it.puppet.failure = None
    await it.live(20, 150.0)
    assert it.puppet.replicas.desired == 4
    assert {decision.after for decision in it.puppet.applied if decision.t > it.clock.now() - 30} == {4}


async def test_another_owner_stands_above_what_waits(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that write one number fight: nothing is tried any more, and nothing is decided."""
    it = await failing(stage)
    kind = type(it.puppet)
    monkeypatch.setattr(kind, "view", property(lambda self: View(self.clock.now(), self.replicas, owner="hpa")))
    it.puppet.failure = None
    applied = len(it.puppet.applied)
    await it.live(60, 150.0)
    assert it.fate()[-1] == "given_up"
    assert len(it.puppet.applied) == applied
    assert it.target.scaler.reason == "owned_by_hpa"


async def test_sixteen_of_a_person_do_not_become_what_failed(stage: Make) -> None:
    """A right that comes back carries nothing out that was decided from another number."""
    it = await failing(stage)
    it.puppet.replicas = Replicas(ready=16, desired=16)
    await it.live(1, 150.0)
    it.puppet.failure = None
    await it.live(10, 150.0)
    assert it.puppet.replicas.desired == 16


async def test_what_is_desired_follows_the_load_while_the_actuator_fails(stage: Make) -> None:
    """Not the number that has failed for half an hour."""
    it = await failing(stage)
    wanted = numbers(it.target)["desired_replicas"]
    for _ in range(10):
        await it.live(60, 60.0)
    assert numbers(it.target)["desired_replicas"] < wanted
    assert it.puppet.replicas.desired <= 3
    it.puppet.failure = None
    await it.live(200, 60.0)
    assert it.puppet.replicas.desired == numbers(it.target)["desired_replicas"]


async def test_a_decision_that_is_not_needed_any_more_is_given_up(stage: Make) -> None:
    """Before its time is over, when what is there is enough."""
    it = await failing(stage)
    given_up = next(iter(it.records))
    await it.live(15, 1.0)
    assert given_up.decision.after > 3
    assert "are enough by now" in given_up.fate[-1].detail


async def test_what_was_never_carried_out_is_not_confirmed(stage: Make) -> None:
    """Nor undone: there is nothing to judge."""
    it = await failing(stage, hold=600.0, max_hold=600.0)
    await it.live(300, 150.0)
    words = {event.event for record in it.records for event in record.fate if record.decision.after > 3}
    assert words - {"superseded"} == {"failed", "given_up"}
    assert not any(record.decision.undoes for record in it.records)


async def test_judgement_begins_when_it_is_carried_out(stage: Make) -> None:
    """A scale-out that waited a minute for its actuator is confirmed a cold start and a window later."""
    it = await failing(stage, hold=600.0, max_hold=600.0)
    await it.live(40, 150.0)
    it.puppet.failure = None
    while "carried_out" not in it.fate():
        await it.live(1, 150.0)
    await it.live(30, 150.0)
    assert "confirmed" not in it.fate()
    await it.live(10, 150.0)
    assert it.fate()[-1] == "confirmed"


async def test_a_scale_in_of_a_shadow_is_not_undone_in_the_world(stage: Make) -> None:
    """What was only imagined has harmed nobody, whatever burns after the mode has become live."""
    it = stage(ready=2, mode="shadow", max=20, hold=20.0, max_hold=20.0, actuator=EXACT)
    await it.live(30, 250.0)
    for _ in range(100):
        await it.live(1, 60.0)
        if it.changes()[-1][1] < it.changes()[-1][0]:
            break
    it.target.set_mode("live")
    await it.live(6, 60.0, bad=0.2)
    assert not any(record.decision.undoes for record in it.records)


# --- people ----------------------------------------------------------------------------------------


async def test_a_number_set_by_hand_is_the_new_start(stage: Make, log: Log) -> None:
    """It is said, with its name where that is known; it stays a whole hold, and then goes by a decision with a trial."""
    it = stage(ready=3, max=20, hold=100.0, max_hold=100.0, actuator=EXACT)
    await it.live(150, 80.0)
    assert it.puppet.replicas.desired == 3
    it.puppet.replicas = Replicas(ready=12, desired=12)
    await it.live(100, 80.0)
    assert (it.puppet.replicas.desired, it.puppet.applied) == (12, [])
    said = [fields for _, event, fields in log.events if event == "replicas changed by others"]
    assert said == [{"before": 3, "after": 12, "by": "somebody else"}]
    await it.live(60, 80.0)
    assert it.puppet.replicas.desired < 12
    assert it.fate()[:2] == ["trial", "trial_passed"]
    assert it.changes()[-1][0] == 12
    await it.ledger.stop()
    kinds = [record["kind"] for record in read_records(it.ledger._path)]
    assert kinds.count("changed") == 1


async def test_none_by_hand_is_a_pause(stage: Make) -> None:
    """As an HPA has it: nothing is decided until somebody sets another number, or orders one."""
    it = stage(ready=3, max=20, actuator=EXACT)
    await it.live(30, 50.0)
    it.puppet.replicas = Replicas()
    await it.live(120, 50.0)
    assert (it.puppet.replicas.desired, it.target.scaler.reason) == (0, "paused")
    assert it.target.vacancy is None
    assert it.target.start_first(it.clock.now(), "first_request") is False
    it.target.scaler.order(2)
    await it.live(5, 50.0)
    assert it.puppet.replicas.desired == 2
    await it.live(10, 50.0)
    assert it.puppet.replicas.desired >= 2
    it.puppet.replicas = Replicas()
    await it.live(10, 50.0)
    it.puppet.replicas = Replicas(ready=1, desired=1)
    await it.live(20, 50.0)
    assert it.puppet.replicas.desired >= 2


async def test_with_a_minimum_of_none_none_is_no_pause(stage: Make) -> None:
    """Then it is where nobody asks for anything, and the first request starts one."""
    it = stage(ready=0, min=0, max=20, actuator=EXACT)
    await it.live(30, 0.0)
    assert not it.target.is_paused
    assert it.target.start_first(it.clock.now(), "first_request")
    await it.live(2, 0.0)
    assert it.puppet.replicas.desired == 1


# --- silence ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [35, 90, 700])
async def test_after_a_silence_a_whole_hold_is_seen_again(stage: Make, length: int) -> None:
    """One reading after it does not empty what the same load still needs, nor does what is wanted before rates are known."""
    it = stage(ready=8, max=20, hold=60.0, max_hold=60.0, cold_start=10.0, actuator=EXACT)
    await it.live(200, 250.0)
    before, made = it.puppet.replicas.desired, len(it.changes())
    for _ in range(length):
        it.clock.advance(1.0)
        it.seconds += 1
        it.target.look(None, it.clock.now())
        if it.seconds % 5 == 0:
            it.target.decide(it.clock.now())
    caps = len(it.caps)
    for _ in range(59):
        await it.live(1, 250.0)
        assert it.puppet.replicas.desired >= before
    assert it.caps[caps:] == []
    assert [change for change in it.changes()[made:] if change[1] < change[0]] == []


# --- restarts --------------------------------------------------------------------------------------


async def test_a_restart_in_a_trial_begins_with_what_is(stage: Make) -> None:
    """The number on trial was not carried out."""
    it = stage(ready=16, max=20, hold=100.0, max_hold=100.0, cold_start=10.0, actuator=EXACT)
    await it.live(110, 500.0)
    await until_trial(it, 60.0, 8)
    await it.ledger.stop()
    assert last_states(read_records(it.ledger._path))["app"].replicas == it.puppet.replicas.desired == 14


async def test_a_restart_after_failures_begins_with_what_was_carried_out(stage: Make) -> None:
    """Not with the number that the actuator did not take."""
    it = await failing(stage)
    assert it.puppet.replicas.desired == 3
    await it.ledger.stop()
    assert last_states(read_records(it.ledger._path))["app"].replicas == 3


async def test_a_restart_knows_what_people_have_set(stage: Make) -> None:
    """It is the number that was there last."""
    it = stage(ready=3, max=20, actuator=EXACT)
    await it.live(10, 50.0)
    it.puppet.replicas = Replicas(ready=7, desired=7)
    await it.live(5, 50.0)
    await it.ledger.stop()
    assert last_states(read_records(it.ledger._path))["app"].replicas == 7


async def test_a_pin_that_ended_with_its_mode_does_not_come_back(stage: Make) -> None:
    """The ledger has its end at once, and not with the next decision."""
    it = stage(ready=2)
    await it.live(30, 40.0)
    it.target.pin(7, 3600.0)
    await it.live(6, 40.0)
    it.target.set_mode("observe")
    await it.ledger.stop()
    assert last_states(read_records(it.ledger._path))["app"].pinned is None


async def test_states_outlive_any_number_of_lines(tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pin, a freeze, a number and a serial are known after a ledger of any length, rotated many times."""
    monkeypatch.setattr(ledger_room, "_TAIL", 20_000)
    monkeypatch.setattr(ledger_room, "STATE_EVERY", 10_000)
    path = tmp_path / "l"
    ledger = Ledger(str(path), clock=ManualClock(0.0, 1.7e9), log=log, largest=100_000)
    ledger.write({"kind": "decision", "id": "app-41", "target": "app", "mode": "live", "to": 6})
    ledger.write({"kind": "carried_out", "id": "app-41", "target": "app"})
    ledger.write({"kind": "frozen", "target": "app"})
    ledger.write({"kind": "pinned", "target": "app", "replicas": 6, "until": "2033-01-01T00:00:00Z"})
    for number in range(4000):
        ledger.write({"kind": "decision", "id": f"other-{number}", "target": "other", "mode": "shadow", "to": 1})
        if number % 100 == 0:
            await asyncio.sleep(0)
    await ledger.stop()
    assert path.with_name("l.1").stat().st_size > 20_000
    found = Ledger(str(path), clock=ManualClock(0.0, 1.7e9), log=log).read_past()
    assert found["app"] == Past(41, 6, 1.7e9, (6, 1988150400.0))
    assert found["other"].serial == 3999


async def test_a_line_that_was_dropped_is_said_again(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pin that a full disk has cost is among what waits as soon as anything else is written."""
    monkeypatch.setattr(ledger_room, "_MOST_WAITING", 3)
    ledger = Ledger("/dev/full", clock=ManualClock(0.0, 1.7e9), log=log)
    ledger.write({"kind": "pinned", "target": "app", "replicas": 6, "until": "2033-01-01T00:00:00Z"})
    for _ in range(4):
        ledger.write({"kind": "mode", "target": "other"})
    assert any(b'"pinned":[6,"2033' in line for line in ledger._waiting)
    await ledger.stop()


# --- the picture -------------------------------------------------------------------------------------


async def test_the_page_has_the_picture(stage: Make) -> None:
    """Wanted, asked and seen, and how old each is."""
    it = await failing(stage)
    page = target_page(it.target, "now")["scaling"]["picture"]
    assert page["wanted"]["replicas"] == it.changes()[-1][1]
    assert (page["asked"]["replicas"], page["seen"]) == (3, {"replicas": 3, "age_s": 0.0})


async def test_what_fails_is_no_promise(stage: Make) -> None:
    """Nobody is kept waiting for replicas that an actuator does not bring."""
    it = stage(ready=2, max=20, cold_start=60.0, actuator=EXACT)
    await it.live(20, 80.0)
    it.puppet.failure = FORBIDDEN
    while not it.target.picture.is_failing:
        await it.live(1, 150.0)
    it.puppet.replicas = Replicas(ready=3, desired=3)
    await it.live(1, 150.0)
    count = len(it.promises)
    await it.live(4, 150.0)
    assert it.target.picture.is_failing
    assert [wait for wait, _, seconds in it.promises[count:] if seconds] == []


async def test_what_undoes_a_decision_is_noted_with_it(stage: Make) -> None:
    """The record of a scale-in that hurt says by what it was undone."""
    it = stage(ready=6, max=20, hold=60.0, max_hold=60.0, actuator=EXACT)
    await it.live(70, 200.0)
    it.target.scaler.order(3)
    await it.live(5, 60.0)
    assert it.puppet.replicas.desired == 3
    for _ in range(15):
        await it.live(1, 60.0, bad=0.5)
    undoing = next(record for record in it.records if record.decision.undoes)
    undone = it.records.get(undoing.decision.undoes)
    assert undone is not None
    assert ("undone", f"by {undoing.decision.id}: scale_in_hurt") in [
        (event.event, event.detail) for event in undone.fate
    ]
    assert undoing.decision.after == 6


async def test_a_trial_ends_when_all_that_is_there_is_wanted(stage: Make) -> None:
    """No more than there is, so nothing new is decided; the lid goes all the same."""
    it = stage(ready=8, max=8, hold=60.0, max_hold=60.0, actuator=EXACT)
    await it.live(70, 250.0)
    await until_trial(it, 20.0, 7)
    await it.live(12, 400.0)
    assert it.fate() == ["trial", "called_off"]
    assert "8 are wanted by now" in next(iter(it.records)).fate[-1].detail
    assert (it.puppet.applied, it.caps[-1]) == ([], (None, 0.0))


async def test_what_waits_gives_way_to_a_trial(stage: Make) -> None:
    """A scale-out that its actuator has not taken when a scale-in is tried is asked for no more."""
    it = stage(ready=6, max=20, hold=20.0, max_hold=20.0, actuator=EXACT)
    await it.live(10, 200.0)
    it.puppet.gate = asyncio.Event()
    await it.live(20, 300.0)
    out = it.changes()[-1]
    assert out[1] > out[0]
    await until_trial(it, 20.0, 5)
    assert it.fate(1)[-1] == "superseded"
    assert it.target.picture.wanted is None
