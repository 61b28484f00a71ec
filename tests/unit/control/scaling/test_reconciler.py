"""What is wanted is asked for one at a time; the newest wins, failures are tried again, and what no longer fits is void."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.actuators.actuator import ActuatorFailed
from gateway.control.scaling.picture import Change, Picture
from gateway.control.scaling.reconciler import Reconciler
from gateway.core.clock import ManualClock
from gateway.signals.reading import Replicas
from tests.unit.control.scaling.conftest import Log, Puppet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.scaling.decision import Decision

    Decide = Callable[[int, int], Decision]

PATIENCE = 20.0


class Rig:
    def __init__(self, ready: int = 1) -> None:
        self.clock = ManualClock(1000.0)
        self.puppet = Puppet(self.clock, ready)
        self.told: list[tuple[str, str]] = []
        self.details: list[str] = []
        self.changes: list[Change] = []
        self.objection = ""
        self.picture = Picture()
        self.reconciler = Reconciler(
            self.puppet,
            self.picture,
            clock=self.clock,
            log=Log(),
            objection=lambda _: self.objection,
            tell=self._tell,
        )

    def _tell(self, decision: Decision, event: str, detail: str) -> None:
        self.told.append((decision.id, event))
        self.details.append(detail)

    @property
    def words(self) -> list[str]:
        return [event for _, event in self.told]

    async def live(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1.0)
            change = self.reconciler.look(self.puppet.view, PATIENCE)
            if change is not None:
                self.changes.append(change)
            await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def rigs() -> AsyncIterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(ready: int = 1) -> Rig:
        made.append(Rig(ready))
        return made[-1]

    yield make
    for each in made:
        await each.reconciler.stop()


Rigs = Any


async def test_the_newest_wins(rigs: Rigs, decide: Decide) -> None:
    """What waits behind a slow actuator gives way to what is decided later; never two at once."""
    rig = rigs()
    await rig.live(1)
    rig.puppet.gate = asyncio.Event()
    one, two, three = decide(1, 2), decide(1, 3), decide(1, 4)
    rig.reconciler.want(one)
    await rig.settle()
    rig.reconciler.want(two)
    rig.reconciler.want(three)
    assert rig.picture.under_way == 4
    rig.puppet.gate.set()
    await rig.live(2)
    assert rig.puppet.applied == [one, three]
    assert rig.told[-2:] == [(one.id, "carried_out"), (three.id, "carried_out")]
    assert (two.id, "superseded") in rig.told
    assert rig.puppet.most_at_once == 1
    assert rig.picture.state == "rest"


@pytest.mark.parametrize("failure", [ActuatorFailed("forbidden", "403"), ZeroDivisionError()])
async def test_what_fails_is_tried_again_and_counted(rigs: Rigs, decide: Decide, failure: Exception) -> None:
    """At once and after 1, 2, 4 and 8 s; a foreign error is as good as a failure that says its reason."""
    rig = rigs()
    await rig.live(1)
    rig.puppet.failure = failure
    decision = decide(1, 3)
    rig.reconciler.want(decision)
    tries = []
    for _ in range(16):
        before = sum(rig.reconciler.failures.values())
        await rig.live(1)
        tries.append(sum(rig.reconciler.failures.values()) - before)
    assert [second for second, count in enumerate(tries, start=1) if count] == [1, 2, 4, 8, 16]
    assert rig.picture.under_way == 3
    assert rig.reconciler.problem
    assert set(rig.reconciler.failures) == {"forbidden" if isinstance(failure, ActuatorFailed) else "internal_error"}
    rig.puppet.failure = None
    await rig.live(20)
    assert rig.puppet.applied == [decision]
    assert rig.reconciler.problem == ""


async def test_what_has_failed_for_two_minutes_is_given_up(rigs: Rigs, decide: Decide, failed: Any) -> None:
    """What is needed then is decided anew, on numbers of then."""
    rig = rigs()
    await rig.live(1)
    rig.puppet.failure = failed
    rig.reconciler.want(decide(1, 3))
    await rig.live(119)
    assert rig.picture.under_way == 3
    await rig.live(2)
    assert rig.words[-1] == "given_up"
    rig.puppet.failure = None
    await rig.live(60)
    assert rig.puppet.applied == []


async def test_what_another_owns_is_not_tried_again(rigs: Rigs, decide: Decide) -> None:
    """No repetition mends that, and two that write one number fight."""
    rig = rigs()
    await rig.live(1)
    rig.puppet.failure = ActuatorFailed("owned", "an HPA scales it")
    rig.reconciler.want(decide(1, 3))
    await rig.live(60)
    assert rig.words == ["failed", "given_up"]
    assert rig.reconciler.failures == {"owned": 1}


async def test_a_decision_is_void_when_the_seen_number_is_another(rigs: Rigs, decide: Decide, failed: Any) -> None:
    """A right that comes back does not make five of sixteen, which a person has set meanwhile."""
    rig = rigs(3)
    await rig.live(1)
    rig.puppet.failure = failed
    rig.reconciler.want(decide(3, 5))
    await rig.live(5)
    rig.puppet.replicas = Replicas(ready=16, desired=16)
    await rig.live(1)
    assert rig.words[-1] == "given_up"
    rig.puppet.failure = None
    await rig.live(60)
    assert rig.puppet.applied == []
    assert [(change.before, change.after) for change in rig.changes] == [(3, 16)]
    assert rig.picture.number == 16


async def test_a_lost_answer_is_no_failure_when_the_number_is_there(rigs: Rigs, decide: Decide, failed: Any) -> None:
    """What is seen counts, and not what an actuator could say of it."""
    rig = rigs(3)
    await rig.live(1)
    rig.puppet.failure = failed
    rig.reconciler.want(decide(3, 5))
    await rig.live(1)
    rig.puppet.replicas = Replicas(ready=5, desired=5)
    await rig.live(10)
    assert rig.words[-1] == "carried_out"
    assert (rig.picture.state, rig.picture.asked, rig.changes) == ("rest", 5, [])


async def test_an_objection_voids_what_waits(rigs: Rigs, decide: Decide, failed: Any) -> None:
    """Another mode, another owner or another pin: the reason is said, and nothing is tried any more."""
    rig = rigs()
    await rig.live(1)
    rig.puppet.failure = failed
    rig.reconciler.want(decide(1, 3))
    await rig.live(2)
    rig.objection = "the mode is off now"
    rig.reconciler.check()
    assert (rig.words[-1], rig.details[-1]) == ("given_up", "the mode is off now")
    rig.puppet.failure = None
    await rig.live(60)
    assert rig.puppet.applied == []


async def test_an_actuator_that_is_being_asked_goes_on(rigs: Rigs, decide: Decide) -> None:
    """What is void meanwhile is not asked again; that it was carried out all the same is no change by others."""
    rig = rigs()
    await rig.live(1)
    rig.puppet.gate = asyncio.Event()
    rig.reconciler.want(decide(1, 3))
    await rig.settle()
    rig.objection = "the mode is off now"
    rig.reconciler.check()
    rig.objection = ""
    rig.puppet.gate.set()
    await rig.live(10)
    assert rig.words == ["given_up", "carried_out"]
    assert (rig.picture.number, rig.changes) == (3, [])


async def test_a_newer_decision_does_not_wait_for_the_next_try(rigs: Rigs, decide: Decide, failed: Any) -> None:
    """The pause after failures ends when something newer comes."""
    rig = rigs()
    await rig.live(1)
    rig.puppet.failure = failed
    rig.reconciler.want(decide(1, 2))
    await rig.live(20)
    rig.puppet.failure = None
    newer = decide(1, 5)
    rig.reconciler.want(newer)
    await rig.settle()
    assert rig.puppet.applied == [newer]


async def test_what_is_not_realised_is_asked_again_and_then_given_up(rigs: Rigs, decide: Decide) -> None:
    """An actuator that takes a decision and does nothing is asked three times, each time with more patience."""
    rig = rigs(3)
    await rig.live(1)
    rig.puppet.is_idle = True
    rig.reconciler.want(decide(3, 5))
    await rig.live(19)
    assert (rig.picture.number, rig.picture.seen.desired) == (5, 3)
    await rig.live(200)
    assert rig.words == ["carried_out", "not_realised", "carried_out", "not_realised", "carried_out", "given_up"]
    assert "3 instead of 5" in rig.details[-1]
    assert (rig.picture.number, rig.changes) == (3, [])


async def test_what_is_only_published_is_not_asked_for_again(rigs: Rigs, decide: Decide) -> None:
    """Nobody has promised to bring it about: after its patience the number that is seen is the start."""
    rig = rigs(3)
    rig.picture.is_exact, rig.picture.is_published = False, True
    await rig.live(1)
    rig.puppet.is_idle = True
    rig.reconciler.want(decide(3, 5))
    await rig.live(200)
    assert rig.words == ["carried_out"]
    assert (rig.picture.number, rig.picture.state) == (3, "rest")


async def test_replicas_that_do_not_become_ready_are_told_of(rigs: Rigs, decide: Decide) -> None:
    """The number is there and the replicas are not: that is said once, and is nobody's change."""
    rig = rigs(3)
    await rig.live(1)
    rig.reconciler.want(decide(3, 5))
    await rig.settle()
    rig.puppet.replicas = Replicas(ready=4, warming=1, desired=5)
    await rig.live(100)
    assert rig.words == ["carried_out", "not_realised"]
    assert "4 of 5 are ready" in rig.details[-1]
    assert (rig.picture.number, rig.changes) == (5, [])


async def test_another_number_that_stays_is_the_new_start(rigs: Rigs, decide: Decide) -> None:
    """It is somebody else's, and nothing is done about it."""
    rig = rigs(3)
    await rig.live(1)
    rig.reconciler.want(decide(3, 5))
    await rig.live(10)
    assert rig.changes == []
    rig.puppet.replicas = Replicas(ready=5, desired=4)
    await rig.live(10)
    assert rig.changes == [Change(5, 4)]
    assert rig.puppet.applied[-1].after == 5


async def test_a_count_that_wavers_is_nobodys_change(rigs: Rigs, decide: Decide) -> None:
    """Where replicas are only counted fewer must stay away for the whole patience; more are believed at once."""
    rig = rigs(5)
    rig.picture.is_exact = False
    await rig.live(1)
    rig.reconciler.want(decide(5, 6))
    await rig.live(2)
    rig.puppet.replicas = Replicas(ready=4, desired=4)
    await rig.live(19)
    assert rig.picture.number == 6
    rig.puppet.replicas = Replicas(ready=6, desired=6)
    await rig.live(10)
    rig.puppet.replicas = Replicas(ready=9, desired=9)
    await rig.live(1)
    assert rig.picture.number == 9
    assert rig.changes == []
    await rig.live(20)
    assert rig.changes == [Change(6, 9)]


async def test_the_picture_says_how_old_each_number_is(rigs: Rigs, decide: Decide) -> None:
    """Wanted, asked and seen; what there is not is none."""
    rig = rigs(3)
    await rig.live(1)
    assert rig.picture.ages(1003.0) == {"wanted": None, "asked": None, "seen": {"replicas": 3, "age_s": 2.0}}
    rig.puppet.is_idle = True
    rig.reconciler.want(decide(3, 5))
    await rig.settle()
    await rig.live(4)
    assert rig.picture.ages(1005.0) == {
        "wanted": {"replicas": 5, "age_s": 4.0},
        "asked": {"replicas": 5, "age_s": 4.0},
        "seen": {"replicas": 3, "age_s": 0.0},
    }
