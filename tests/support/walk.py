"""A random walk of what happens to one scaled upstream: load, people, failures, silences, modes, restarts.

The target, its scaler, its reconciler and its ledger are the gateway's own, on a clock that is moved by hand; what is
scaled is a :class:`Site`. A second of it is a look, every fifth a decision. What the walk holds:

- each change of the real number is somebody's, or that of a decision in the records that began from the number before;
- a decision that only votes have made never leaves fewer than what the load of its last seconds needs;
- nothing is carried out that was decided in another mode, beside another owner or against a pin;
- a restart goes on with a number that has really been there;
- when nothing is broken any more it comes to rest at the number that is wanted, with nothing on trial or under way.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.control.scaling.feed import Look
from gateway.control.scaling.ledger import Ledger
from gateway.control.scaling.record import Records
from gateway.control.scaling.target import Target
from gateway.core.clock import ManualClock
from gateway.core.units import Seconds
from gateway.scaling.scaler import TICK
from gateway.scaling.settings import ScalingSettings
from gateway.telemetry.snapshot import GateSnapshot, LoadSnapshot, Snapshot
from tests.support.decisions import kept_log
from tests.support.running import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.actuators.actuator import Actuator
    from gateway.scaling.decision import Decision
    from gateway.scaling.settings import ActuatorSettings, Mode

SLOTS = 4
SERVICE = 0.1
HOLD = 20.0
BY_WORD = frozenset({"ordered", "pinned", "above_max"})


class Site(Protocol):
    """What is scaled: something real, or ours that plays it."""

    settings: ActuatorSettings
    actuator: Actuator
    ready: int
    has_hands: bool
    """Whether people can set its number beside us."""

    @property
    def number(self) -> int:
        """How many are asked for, as whoever owns them says."""

    async def open(self, clock: ManualClock) -> None:
        """Begin."""

    async def begin_again(self, number: int | None) -> None:
        """A new process of the gateway, which knows of so many."""

    async def set(self, number: int) -> None:
        """Somebody scales it by hand."""

    def break_down(self, how: str) -> None:
        """From now on the actuator fails, does nothing, loses answers or has another owner; "" mends it."""

    async def second(self) -> None:
        """Time has passed: what was started may be ready, and what was asked has been answered."""

    async def close(self) -> None:
        """End."""


class Walk(RuleBasedStateMachine):
    """One walk; a subclass says on what ``site``."""

    breakages: tuple[str, ...] = ("fails", "idle", "lost", "owned")
    most = 12

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="walk-"))
        self.clock = ManualClock(1000.0, 1.7e9)
        self.log, _ = kept_log()
        self.site = self.make_site()
        self.rps = 0.0
        self.loads: list[float] = []
        self.cap_limit: int | None = None
        self.load = LoadSnapshot()
        self.seconds = 0
        self.is_silent = False
        self.how = ""
        self.numbers: list[int] = []
        self.carried: list[Decision] = []

    def make_site(self) -> Site:
        raise NotImplementedError

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def call(self, order: Callable[[], None]) -> None:
        """Give an order as the control process does, on its loop."""

        async def give() -> None:
            order()

        self.run(give())

    @initialize(ready=st.integers(1, 6))
    def begin(self, ready: int) -> None:
        self.run(self._begin(ready))

    async def _begin(self, ready: int) -> None:
        await self.site.open(self.clock)
        if self.site.has_hands:
            await self.site.set(ready)
        self._make_target()
        await self._live(5)

    def _make_target(self) -> None:
        self.ledger = Ledger(str(self.folder / "ledger"), clock=self.clock, log=self.log)
        self.records = Records()
        apply = self.site.actuator.apply

        async def applied(decision: Decision) -> None:
            self._judge(decision)
            await apply(decision)

        self.site.actuator.apply = applied  # type: ignore[method-assign]
        self._apply = apply
        settings = ScalingSettings(
            mode="live",
            min=1,
            max=self.most,
            slots=SLOTS,
            hold=Seconds(HOLD),
            max_hold=Seconds(2 * HOLD),
            cold_start=Seconds(3),
            actuator=self.site.settings,
        )
        self.target = Target(
            "app",
            settings,
            self.site.actuator,
            clock=self.clock,
            log=self.log,
            ledger=self.ledger,
            records=self.records,
            admission=self,
        )
        past = self.ledger.read_past().get("app")
        if past is not None:
            # an actuator may say that it has carried out what it has not
            assert past.replicas in {None, *self.numbers, *(decision.after for decision in self.carried)}
            self.target.resume(past)

    # --- admission, as the target tells it -------------------------------------------------------

    def cap(self, _upstream: str, limit: int | None, _seconds: float) -> None:
        self.cap_limit = limit

    def expect(self, upstream: str, wait: float, growth: float, seconds: float) -> None:
        """Nobody waits here."""

    def rescale(self, upstream: str, ratio: float) -> None:
        """Limits are four a replica."""

    # --- time ------------------------------------------------------------------------------------

    async def _live(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1.0)
            self.seconds += 1
            self.loads.append(self.rps * SERVICE)
            if self.is_silent:
                self.target.look(None, self.clock.now())
            else:
                self._work()
                limit = SLOTS * max(self.site.ready, 1)
                gates = {"app": GateSnapshot(limit=limit)}
                snapshot = Snapshot(at=self.clock.now(), loads={"app": self.load}, gates=gates)
                self.target.look(Look(self.clock.now(), 0.0, 0.0, (snapshot,), Snapshot()), self.clock.now())
            if self.seconds % TICK == 0:
                self.target.decide(self.clock.now())
            before = self.site.number
            await until(lambda: self.target.picture.asking is None)
            await self.site.second()
            self._saw(before)

    def _work(self) -> None:
        load, slots = self.load, self.rps * SERVICE
        room = SLOTS * self.site.ready if self.cap_limit is None else min(SLOTS * self.site.ready, self.cap_limit)
        load.queued = int(max(slots - room, 0.0) * 2)
        load.oldest_age = 1.0 if load.queued else 0.0
        load.first_tries += self.rps
        load.dispatched += self.rps
        load.finished += self.rps
        load.good += self.rps
        load.service_time += self.rps * SERVICE
        load.service_squares += self.rps * SERVICE * SERVICE * 2
        load.in_flight_time += slots

    # --- what must hold --------------------------------------------------------------------------

    def _judge(self, decision: Decision) -> None:
        """The actuator is being asked: every reason that it should not be is looked at from outside."""
        scaler = self.target.scaler
        note(f"{self.clock.now():.0f}: {decision!r} at {self.site.number}, load {self.rps * SERVICE}")
        self.carried.append(decision)
        assert decision.mode == scaler.mode
        assert self.how != "owned" or self.target.actuator.view.owner is None
        if scaler.pinned is not None:
            assert decision.after == scaler.pinned[0]
        if decision.after < self.site.number and decision.reason not in BY_WORD and not decision.undoes:
            assert decision.after < decision.before
            assert decision.after >= self.need, (decision, self.loads[-15:])

    @property
    def need(self) -> int:
        """Replicas for the least load of the last seconds: what came later nobody could know."""
        return ceil(min(self.loads[-15:]) / SLOTS - 1e-9)

    def _saw(self, before: int) -> None:
        number = self.site.number
        self.numbers.append(number)
        if number != before:
            assert any(decision.after == number for decision in self.carried[-3:]), (before, number, self.carried[-3:])

    # --- what happens ----------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 3, 7, 20, 45, 90]))
    def time_passes(self, seconds: int) -> None:
        self.run(self._live(seconds))

    @rule(part=st.sampled_from([0.0, 0.01, 0.1, 0.2, 0.4, 0.7, 0.9]), seconds=st.sampled_from([5, 30, 60]))
    def load_changes(self, part: float, seconds: int) -> None:
        self.rps = part * self.most * SLOTS / SERVICE
        self.run(self._live(seconds))

    @precondition(lambda self: self.site.has_hands)
    @rule(number=st.integers(0, 15), seconds=st.sampled_from([1, 6, 30]))
    def somebody_scales(self, number: int, seconds: int) -> None:
        note(f"by hand {number}")
        self.run(self._set(number))
        self.run(self._live(seconds))

    async def _set(self, number: int) -> None:
        await self.site.set(number)
        self.numbers.append(number)

    @rule(data=st.data())
    def breaks(self, data: st.DataObject) -> None:
        self.how = data.draw(st.sampled_from(self.breakages))
        self.site.break_down(self.how)

    @rule()
    def is_mended(self) -> None:
        self.how = ""
        self.site.break_down("")

    @rule(seconds=st.sampled_from([5, 20, 40, 100]))
    def nobody_says_anything(self, seconds: int) -> None:
        self.is_silent = True
        self.run(self._live(seconds))
        self.is_silent = False

    @rule(mode=st.sampled_from(["off", "observe", "shadow", "live", "live"]), seconds=st.sampled_from([0, 12]))
    def mode_is_set(self, mode: Mode, seconds: int) -> None:
        note(f"mode {mode}")
        self.call(partial(self.target.set_mode, mode))
        self.run(self._live(seconds))

    @rule(number=st.integers(1, 12), seconds=st.sampled_from([10.0, 60.0]))
    def it_is_pinned(self, number: int, seconds: float) -> None:
        number = min(number, self.most)
        if self.target.scaler.settings.mode == "live":
            note(f"pin {number}")
            self.call(partial(self.target.pin, number, seconds))

    @rule(number=st.integers(1, 12))
    def it_is_ordered(self, number: int) -> None:
        number = min(number, self.most)
        if self.target.scaler.mode == "live":
            note(f"order {number}")
            self.target.scaler.order(number)

    @rule()
    def it_starts_anew(self) -> None:
        self.run(self._restart())

    async def _restart(self) -> None:
        note("restart")
        await self.target.reconciler.stop()
        await self.ledger.stop()
        self.site.actuator.apply = self._apply  # type: ignore[method-assign]
        self.cap_limit = None
        past = Ledger(str(self.folder / "ledger"), clock=self.clock, log=self.log).read_past().get("app")
        await self.site.begin_again(None if past is None else past.replicas)
        self.numbers.append(self.site.number)
        self._make_target()
        await self._live(3)

    @invariant()
    def bounds_hold(self) -> None:
        for decision in self.carried[-3:]:
            assert 1 <= decision.after <= self.most

    # --- the end ---------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if hasattr(self, "target"):
                self.run(self._come_to_rest())
        finally:
            self.run(self._end())
            self.loop.close()
            shutil.rmtree(self.folder)

    async def _come_to_rest(self) -> None:
        self.how = ""
        self.site.break_down("")
        self.is_silent = False
        self.target.set_mode("live")
        self.target.thaw()
        await self._live(20)
        if self.target.is_paused:
            assert self.site.has_hands
            assert self.site.number == 0
            await self._set(1)
        for _ in range(30):
            await self._live(20)
            self.target.thaw()
            if self._is_at_rest():
                break
        note(f"at rest: {self.site.number} of {self.target.scaler.desired}, {self.target.picture!r}, {self.target!r}")
        assert self._is_at_rest()
        assert self.cap_limit is None
        assert self.site.number == self.target.scaler.desired == self.site.ready
        enough = max(ceil(self.rps * SERVICE / SLOTS), 1)
        assert min(enough, self.most) <= self.site.number <= min(ceil(1.5 * self.rps * SERVICE / SLOTS) + 2, self.most)

    def _is_at_rest(self) -> bool:
        target = self.target
        is_calm = target.trial is None and target.picture.state == "rest"
        wanted = max((vote.replicas for vote in target.scaler.votes), default=0)
        enough = max(ceil(1.5 * self.rps * SERVICE / SLOTS) + 2, 1)
        return is_calm and wanted <= self.site.number <= enough and self.site.number == target.scaler.desired

    async def _end(self) -> None:
        if hasattr(self, "target"):
            await self.target.reconciler.stop()
            await self.ledger.stop()
        await self.site.close()
        await self.loop.shutdown_default_executor()
