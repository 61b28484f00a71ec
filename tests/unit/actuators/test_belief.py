"""What is believed of replicas that cannot be counted, and of decisions that are only published."""

from __future__ import annotations

from gateway.actuators.actuator import View
from gateway.actuators.belief import Belief
from gateway.actuators.publish import Publish
from gateway.core.clock import ManualClock
from gateway.signals.reading import Replicas
from tests.support.decisions import decision


def test_at_first_nothing_is_known() -> None:
    """Neither told nor asked: no moment, so nothing is scaled in."""
    assert Belief(ManualClock(5.0)).view == View()


def test_what_was_told_is_as_old_as_the_telling() -> None:
    """Whoever counts has to go on counting."""
    clock = ManualClock(5.0)
    belief = Belief(clock)
    belief.tell(Replicas(ready=2, warming=1))
    clock.advance(60.0)
    assert belief.view == View(at=5.0, replicas=Replicas(ready=2, warming=1, desired=3))


def test_what_was_asked_for_is_not_what_is_there() -> None:
    """A teller's count stays beside the number that was asked for."""
    belief = Belief(ManualClock(5.0))
    belief.tell(Replicas(ready=2))
    belief.carried_out(4)
    assert belief.view.replicas == Replicas(ready=2, desired=4)
    belief.tell(Replicas(ready=3, desired=7))
    assert belief.view.replicas == Replicas(ready=3, desired=7)


def test_without_any_teller_what_was_carried_out_stands() -> None:
    """And does not grow old: there is no way to count."""
    clock = ManualClock(5.0)
    belief = Belief(clock)
    belief.carried_out(4)
    clock.advance(600.0)
    assert belief.view == View(at=605.0, replicas=Replicas(ready=4, desired=4))


def test_an_answer_says_how_far_it_has_come() -> None:
    """Whoever carried it out may know that some are still warming."""
    belief = Belief(ManualClock(5.0))
    belief.carried_out(4, Replicas(ready=2, warming=2))
    assert belief.view.replicas == Replicas(ready=2, warming=2, desired=4)
    belief.tell(Replicas(ready=1))
    assert belief.view.replicas == Replicas(ready=2, warming=2, desired=4)
    belief.carried_out(3)
    assert belief.view.replicas == Replicas(ready=1, desired=3)


async def test_publishing_remembers_the_decision_and_nothing_else() -> None:
    """No replica is believed to come because somebody may have read our number."""
    publish = Publish(ManualClock(5.0))
    publish.start()
    publish.tell(Replicas(ready=3))
    await publish.apply(decision(3, 5))
    assert publish.view.replicas == Replicas(ready=3, desired=5)
    await publish.stop()
