"""A target on a clock that stands still, with an actuator that plays the other side."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.actuators.actuator import ActuatorFailed, View
from gateway.control.scaling.feed import Look
from gateway.control.scaling.ledger import Ledger
from gateway.control.scaling.record import Records
from gateway.control.scaling.target import Target
from gateway.core.clock import ManualClock
from gateway.core.units import Seconds
from gateway.scaling.decision import Decision, Expected
from gateway.scaling.scaler import TICK
from gateway.scaling.settings import ActuatorSettings, ScalingSettings
from gateway.signals.reading import Replicas
from gateway.telemetry.snapshot import GateSnapshot, LoadSnapshot, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Log:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []

    def bind(self, **_fields: Any) -> Log:
        return self

    def __getattr__(self, level: str) -> Callable[..., None]:
        def keep(event: str, **fields: Any) -> None:
            self.events.append((level, event, fields))

        return keep


class Puppet:
    """An actuator whose view and failures are set by the test."""

    def __init__(self, clock: ManualClock, ready: int) -> None:
        self.clock = clock
        self.replicas = Replicas(ready=ready, desired=ready)
        self.seen_at: float | None = None
        self.applied: list[Decision] = []
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.is_idle = False
        self.at_once = 0
        self.most_at_once = 0

    @property
    def view(self) -> View:
        at = self.clock.now() if self.seen_at is None else self.seen_at
        return View(at=at, replicas=self.replicas)

    def start(self) -> None:
        pass

    async def apply(self, decision: Decision) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.failure is not None:
                raise self.failure
            self.applied.append(decision)
            if self.is_idle:
                return
            self.replicas = Replicas(ready=decision.after, desired=decision.after)
        finally:
            self.at_once -= 1

    async def stop(self) -> None:
        pass


class Stage:
    """One target, its clock and its load: ``live`` lets seconds pass with so many requests in each."""

    def __init__(self, ledger: Ledger, log: Log, **settings: Any) -> None:
        self.clock = ledger._clock
        self.log = log
        self.ledger = ledger
        self.puppet = Puppet(self.clock, settings.pop("ready", 1))
        self.caps: list[tuple[int | None, float]] = []
        self.promises: list[tuple[float, float, float]] = []
        self.ratios: list[float] = []
        self.records = Records()
        usual: dict[str, Any] = {
            "mode": "live",
            "min": 1,
            "max": 10,
            "slots": 4,
            "hold": Seconds(20),
            "max_hold": Seconds(20),
            "cold_start": Seconds(1),
            "actuator": ActuatorSettings(kind="exec", command=("true", "{to}")),
        }
        self.target = Target(
            "app",
            ScalingSettings(**{**usual, **settings}),
            self.puppet,
            clock=self.clock,
            log=log,
            ledger=ledger,
            records=self.records,
            admission=self,
        )
        self.load = LoadSnapshot()
        self.is_stopped = False
        self.worker_at = self.clock.now()
        self.seconds = 0

    def cap(self, upstream: str, limit: int | None, seconds: float) -> None:
        assert upstream == "app"
        self.caps.append((limit, seconds))

    def expect(self, upstream: str, wait: float, growth: float, seconds: float) -> None:
        assert upstream == "app"
        self.promises.append((wait, growth, seconds))

    def rescale(self, upstream: str, ratio: float) -> None:
        assert upstream == "app"
        self.ratios.append(ratio)

    async def live(self, seconds: int, rps: float, *, service: float = 0.1, queued: int = 0, bad: float = 0.0) -> None:
        for _ in range(seconds):
            self.clock.advance(1.0)
            self.seconds += 1
            if not self.is_stopped:
                self._work(rps, service, bad)
                self.worker_at = self.clock.now()
            self.load.queued = queued
            limit = 4 * max(self.puppet.replicas.ready, 1)
            snapshot = Snapshot(at=self.worker_at, loads={"app": self.load}, gates={"app": GateSnapshot(limit=limit)})
            self.target.look(Look(self.worker_at, 0.0, 0.0, (snapshot,), Snapshot()), self.clock.now())
            if self.seconds % TICK == 0:
                self.target.decide(self.clock.now())
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    def _work(self, rps: float, service: float, bad: float) -> None:
        load = self.load
        load.first_tries += rps
        load.dispatched += rps
        load.finished += rps
        load.good += rps * (1 - bad)
        load.bad += rps * bad
        load.service_time += rps * service
        load.service_squares += rps * service * service * 2
        load.in_flight_time += rps * service

    def fate(self, place: int = 0) -> list[str]:
        return [event.event for event in list(self.records)[place].fate]

    def changes(self) -> list[tuple[int, int, str]]:
        return [(one.decision.before, one.decision.after, one.decision.reason) for one in reversed(list(self.records))]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def failed() -> ActuatorFailed:
    return ActuatorFailed("refused", "the other side does not like it")


@pytest.fixture
async def stage(log: Log, tmp_path: Path) -> Any:
    stages: list[Stage] = []

    def make(**settings: Any) -> Stage:
        ledger = Ledger(str(tmp_path / "ledger.jsonl"), clock=ManualClock(1000.0, 1.7e9), log=log)
        stages.append(Stage(ledger, log, **settings))
        return stages[-1]

    yield make
    for each in stages:
        await each.target.reconciler.stop()
        await each.ledger.stop()


@pytest.fixture
def decide() -> Callable[[int, int], Decision]:
    numbers = iter(range(1, 1000))

    def make(before: int, after: int) -> Decision:
        expected = Expected(by=0.0, need=0.0, slots=1.0, throughput=0.0)
        return Decision(f"app-{next(numbers)}", 0.0, "app", before, after, "load", (), (), expected, "live")

    return make
