"""Targets that nothing happens to are left alone, and nobody can tell."""

from __future__ import annotations

import random

import msgspec
import pytest
import structlog
from msgspec.structs import replace

from gateway.actuators.publish import Publish
from gateway.config.settings import Settings
from gateway.control.scaling.admission import WorkersAdmission
from gateway.control.scaling.feed import look, reading
from gateway.control.scaling.inforce import in_force, objective
from gateway.control.scaling.loop import Scaling
from gateway.core.clock import ManualClock
from gateway.signals.meter import Meter
from gateway.telemetry.snapshot import EndpointSnapshot, GateSnapshot, LoadSnapshot, ResilienceSnapshot, Snapshot
from gateway.telemetry.totals import Totals

MANY = 50


class Story:
    """A control process's signals of many upstreams, of which its one worker reports those that are awake."""

    def __init__(self) -> None:
        names = [f"u{number}" for number in range(MANY)]
        data = {
            "upstreams": {name: {"endpoints": ["http://127.0.0.1:80"]} for name in names},
            "routes": {name: {"upstream": name, "match": {"path": f"/{name}/*"}} for name in names},
        }
        settings = msgspec.convert(data, Settings, dec_hook=lambda kind, text: kind.parse(text))
        self.clock = ManualClock(1000.0, 1.7e9)
        self.totals = Totals()
        self.scaling = Scaling(
            settings,
            self.totals,
            clock=self.clock,
            log=structlog.get_logger(),
            make_actuator=lambda _name, _settings: Publish(self.clock),
            admission=WorkersAdmission((), self.totals),
        )
        self.served = dict.fromkeys(names, 0)
        self.meter = Meter(objective(in_force(settings.upstreams["u7"])))
        self._report(names, is_partial=False)

    def _report(self, names: list[str], *, is_partial: bool = True) -> None:
        endpoints = {"a": EndpointSnapshot(states={"closed": 1}, in_rotation=1)}
        loads = {
            name: LoadSnapshot(
                first_tries=(n := self.served[name]),
                dispatched=n,
                good=n,
                finished=n,
                service_time=0.1 * n,
                service_squares=0.01 * n,
                in_flight_time=0.1 * n,
                arrival_steps=2 * n,
            )
            for name in names
        }
        self.totals.update(
            0,
            Snapshot(
                at=self.clock.now(),
                strain=self.clock.now() % 7 / 10,
                is_partial=is_partial,
                loads=loads,
                gates={name: GateSnapshot(limit=20, is_limit_guessed=True) for name in names},
                resilience={name: ResilienceSnapshot(endpoints=endpoints) for name in names},
            ),
        )

    async def second(self, asked: int) -> bool:
        """One look after so many requests to u7; whether its signals were made for it."""
        self.clock.advance(1.0)
        self.served["u7"] += asked
        self._report(["u7"] if asked else [])
        await self.scaling.tick()
        return not self.scaling.targets["u7"].is_resting


async def test_a_target_that_rests_has_the_signals_that_it_would_have_if_all_were_measured() -> None:
    """Whenever somebody reads them: while it rests, when it wakes after an hour, and when it rests again."""
    story = Story()
    rng = random.Random(1)
    target = story.scaling.targets["u7"]
    looked = 0
    for second in range(6000):
        is_busy = second % 2500 in range(300, 500) or second % 2500 in range(560, 570)
        looked += await story.second(20 if is_busy else 0)
        seen = look(story.totals)
        assert seen is not None
        view = replace(target.actuator.view, at=seen.at)
        found = story.meter.observe(reading("u7", seen, view, view.replicas), story.clock.now())
        if second > 5 and rng.random() < 0.3 and (is_busy or target.is_resting):
            read = target.signals
            # windows begin at a reading that was kept, and those are up to 2.5 s apart
            flat = {**found.flat(), "history_s": read.history_s}
            if found.offered_rps:  # a slope of what differs
                flat["time_to_saturation_s"] = read.time_to_saturation_s
            assert read.flat() == (flat if target.is_resting else pytest.approx(flat, rel=0.3, abs=7.0)), second
    assert looked < 3500
    assert target.signals.offered_rps == 0


async def test_of_many_targets_those_are_looked_at_of_which_a_worker_says_something() -> None:
    """Once all are known, none is looked at until one is asked, and then that one alone."""
    story = Story()
    for _ in range(12):
        await story.second(0)
    assert all(target.is_resting for target in story.scaling.targets.values())
    await story.second(5)
    assert [name for name, target in story.scaling.targets.items() if not target.is_resting] == ["u7"]
    assert story.scaling.targets["u8"].signals.signal_age_s == 0
    assert story.scaling.targets["u8"].signals.seq == 13


async def test_without_a_worker_the_signals_of_who_rests_grow_old() -> None:
    """Nobody takes for the present what no process says any more."""
    story = Story()
    for _ in range(12):
        await story.second(0)
    story.totals.retire(0)
    for _ in range(40):
        story.clock.advance(1.0)
        await story.scaling.tick()
    assert story.scaling.targets["u8"].signals.signal_age_s == 40
    assert story.scaling.targets["u8"].signals.signal_valid == 0


async def test_who_gets_a_mode_that_decides_rests_no_more() -> None:
    """An order that lets somebody decide wakes it, and it is looked at again each time."""
    story = Story()
    for _ in range(12):
        await story.second(0)
    target = story.scaling.targets["u8"]
    target.set_mode("observe")
    for _ in range(12):
        await story.second(0)
    assert not target.is_resting
    assert target.scaler.desired == 1
