"""Decisions are carried out one at a time; the newest wins, failures are tried again, old scale-ins are not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.actuators.actuator import ActuatorFailed
from gateway.control.scaling import carrier as room
from gateway.control.scaling.carrier import Carrier
from gateway.core.clock import ManualClock
from tests.support.running import until
from tests.unit.control.scaling.conftest import Log, Puppet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway.scaling.decision import Decision

    Decide = Callable[[int, int], Decision]


class Rig:
    def __init__(self) -> None:
        self.puppet = Puppet(ManualClock(), 1)
        self.told: list[tuple[str, str]] = []
        self.may_shrink = True
        self.carrier = Carrier(self.puppet, log=Log(), may_shrink=lambda: self.may_shrink, tell=self._tell)

    def _tell(self, decision: Decision, event: str, _detail: str) -> None:
        self.told.append((decision.id, event))


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(room, "_FIRST", 0.01)
    made = Rig()
    yield made
    await made.carrier.stop()


async def test_the_newest_wins(rig: Rig, decide: Decide) -> None:
    """What waits behind a slow actuator gives way to what is decided later; never two at once."""
    rig.puppet.gate = asyncio.Event()
    one, two, three = decide(1, 2), decide(2, 3), decide(3, 4)
    rig.carrier.submit(one)
    await until(lambda: rig.puppet.at_once)
    rig.carrier.submit(two)
    rig.carrier.submit(three)
    assert rig.carrier.asked == 4
    rig.puppet.gate.set()
    await until(lambda: rig.carrier.asked is None)
    assert rig.puppet.applied == [one, three]
    assert rig.told == [(two.id, "superseded"), (one.id, "carried_out"), (three.id, "carried_out")]
    assert rig.puppet.most_at_once == 1


@pytest.mark.parametrize("failure", [ActuatorFailed("forbidden", "403"), ZeroDivisionError()])
async def test_what_fails_is_tried_again_and_counted(rig: Rig, decide: Decide, failure: Exception) -> None:
    """A foreign error is as good as a failure that says its reason; the problem is shown until it works."""
    rig.puppet.failure = failure
    decision = decide(1, 3)
    rig.carrier.submit(decision)
    await until(lambda: sum(rig.carrier.failures.values()) >= 3)
    assert rig.carrier.asked == 3
    assert rig.carrier.problem
    assert set(rig.carrier.failures) == {"forbidden" if isinstance(failure, ActuatorFailed) else "internal_error"}
    rig.puppet.failure = None
    await until(lambda: rig.puppet.applied == [decision])
    assert rig.carrier.problem == ""


async def test_a_scale_in_is_not_tried_again_on_numbers_that_are_old(rig: Rig, decide: Decide, failed: Any) -> None:
    """What was enough when it was decided may not be enough when the actuator works again."""
    rig.puppet.failure, rig.may_shrink = failed, False
    rig.carrier.submit(decide(5, 2))
    await until(lambda: rig.carrier.asked is None)
    assert [event for _, event in rig.told] == ["failed", "given_up"]
    rig.puppet.failure = None
    out = decide(5, 6)
    rig.carrier.submit(out)
    await until(lambda: rig.puppet.applied == [out])


async def test_a_newer_decision_does_not_wait_for_the_next_try(
    rig: Rig, decide: Decide, failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause after a failure ends when something newer comes."""
    monkeypatch.setattr(room, "_FIRST", 1000.0)
    rig.puppet.failure = failed
    rig.carrier.submit(decide(1, 2))
    await until(lambda: rig.carrier.failures)
    rig.puppet.failure = None
    newer = decide(1, 5)
    rig.carrier.submit(newer)
    await until(lambda: rig.puppet.applied == [newer])
