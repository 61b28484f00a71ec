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
    """A teller's count is what there is, and a wish only where it knows of one."""
    belief = Belief(ManualClock(5.0))
    belief.tell(Replicas(ready=2))
    belief.carried_out(4)
    assert belief.view.replicas == Replicas(ready=2, desired=2)
    belief.tell(Replicas(ready=3, desired=7))
    assert belief.view.replicas == Replicas(ready=3, desired=7)


def test_a_single_endpoint_contradicts_nothing() -> None:
    """It may be one address for many replicas, so what was carried out stands beside it."""
    belief = Belief(ManualClock(5.0))
    belief.tell(Replicas(ready=1))
    belief.carried_out(4)
    assert belief.view.replicas == Replicas(ready=1, desired=4)
    belief.tell(Replicas(ready=2))
    assert belief.view.replicas == Replicas(ready=2, desired=2)


def test_without_any_teller_what_was_carried_out_grows_old() -> None:
    """It is believed as of its moment, and says less and less."""
    clock = ManualClock(5.0)
    belief = Belief(clock)
    belief.carried_out(4)
    clock.advance(600.0)
    assert belief.view == View(at=5.0, replicas=Replicas(ready=4, desired=4))


def test_an_answer_says_how_far_it_has_come_and_grows_old() -> None:
    """Whoever carried it out may know that some are still warming; five minutes later they are not."""
    clock = ManualClock(5.0)
    belief = Belief(clock)
    belief.tell(Replicas(ready=1))
    belief.carried_out(4, Replicas(ready=2, warming=2))
    assert belief.view.replicas == Replicas(ready=2, warming=2, desired=4)
    clock.advance(299.0)
    belief.tell(Replicas(ready=1))
    assert belief.view == View(at=304.0, replicas=Replicas(ready=2, warming=2, desired=4))
    clock.advance(1.0)
    assert belief.view.replicas == Replicas(ready=4, desired=4)


def test_an_answer_is_believed_until_who_tells_has_another_number() -> None:
    """Three were asked when two more were on their way; when five are asked they have come."""
    belief = Belief(ManualClock(5.0))
    belief.tell(Replicas(ready=3))
    belief.carried_out(5, Replicas(ready=3, warming=2))
    assert belief.view.replicas == Replicas(ready=3, warming=2, desired=5)
    belief.tell(Replicas(ready=5))
    assert belief.view.replicas == Replicas(ready=5, desired=5)


async def test_publishing_remembers_the_decision_and_nothing_else() -> None:
    """No replica is believed to come because somebody may have read our number."""
    publish = Publish(ManualClock(5.0))
    publish.start()
    publish.tell(Replicas(ready=3))
    await publish.apply(decision(3, 5))
    assert publish.view.replicas == Replicas(ready=3, desired=3)
    await publish.stop()
