"""What is said of an upstream's capacity holds at its gate for a time, and then no more."""

from __future__ import annotations

from math import inf

import pytest

from gateway.admission.classes import TrafficClass
from gateway.admission.gate import Gate
from gateway.admission.hope import Hope
from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.limits.capped import Capped
from gateway.admission.limits.fixed import Fixed
from gateway.admission.queue import Queue
from gateway.admission.ticket import Ticket
from gateway.core.clock import ManualClock
from gateway.proxy.capacity import Capacity, beneath


class Request(Ticket):
    """Remembers whether it was admitted."""

    is_admitted = False

    def on_admitted(self, now: float) -> None:
        del now
        self.is_admitted = True


def _before(limit: int) -> tuple[Capacity, Gate, ManualClock]:
    gate = Gate(Fixed(limit), Queue(max_length=10, max_size=10, max_wait=60.0))
    clock = ManualClock()
    return Capacity({"app": gate}, clock), gate, clock


def _wait(gate: Gate) -> Request:
    request = Request(TrafficClass("usual"), arrived_at=0.0, kind="all", key="", deadline=inf, cost=0.0, size=0)
    assert gate.enqueue(request, 0.0) is None
    return request


def test_a_lid_lies_on_the_limit_until_its_time_is_over() -> None:
    """Then the limit beneath holds again, and whoever waited for it goes at once."""
    capacity, gate, clock = _before(2)
    capacity.set_cap("app", 1, 5.0)
    assert (gate.limit.value, beneath(gate.limit).value) == (1, 2)
    assert gate.try_admit(0.0)
    assert not gate.try_admit(0.0)
    request = _wait(gate)
    capacity.tick(4.9)
    assert (gate.limit.value, request.is_admitted) == (1, False)
    clock.advance(5.0)
    capacity.tick(5.0)
    assert (gate.limit.value, request.is_admitted) == (2, True)
    assert not isinstance(gate.limit, Capped)


def test_a_new_lid_takes_the_place_of_the_old_one() -> None:
    """Neither lies on the other, and the later end counts."""
    capacity, gate, clock = _before(9)
    capacity.set_cap("app", 1, 5.0)
    clock.advance(4.0)
    capacity.set_cap("app", 3, 5.0)
    capacity.tick(6.0)
    assert gate.limit.value == 3
    capacity.set_cap("app", None, 0.0)
    assert (gate.limit.value, isinstance(gate.limit, Capped)) == (9, False)


def test_what_is_coming_is_believed_for_a_time() -> None:
    """The instant is counted from the order, less growth than none is none, and 0 seconds end it."""
    capacity, gate, clock = _before(1)
    clock.advance(100.0)
    capacity.expect("app", 20.0, 0.5, 30.0)
    assert gate.hope == Hope(120.0, 1.0)
    capacity.tick(129.0)
    assert gate.hope is not None
    clock.advance(30.0)
    capacity.tick(130.0)
    assert gate.hope is None
    capacity.expect("app", 20.0, 2.0, 30.0)
    assert gate.hope == Hope(150.0, 2.0)
    capacity.expect("app", 0.0, 1.0, 0.0)
    assert gate.hope is None


def test_only_a_limit_that_learns_follows_the_replicas() -> None:
    """A fixed one is a number that somebody meant; the lid on one that learns stays where it is."""
    capacity, gate, _ = _before(4)
    capacity.rescale("app", 2.0)
    assert (gate.limit.value, gate.changes) == (4, {})
    limit = Adaptive(initial=8, max=100)
    gate.limit = limit
    limit.recall({"stage": "proven", "limit": 8, "latency": 0.1}, 0.0)
    limit._steering._has_bound = True
    capacity.set_cap("app", 5, 60.0)
    capacity.rescale("app", 2.0)
    assert (limit.value, gate.limit.value, gate.changes) == (16, 5, {"replicas": 1})
    capacity.rescale("app", 0.0)
    assert limit.value == 16


@pytest.mark.parametrize("limit", [1, None])
def test_orders_about_an_upstream_that_is_not_there_change_nothing(limit: int | None) -> None:
    """A worker may hear of an upstream before it has a gate for it."""
    capacity, gate, _ = _before(4)
    capacity.set_cap("other", limit, 5.0)
    capacity.expect("other", 1.0, 2.0, 5.0)
    capacity.rescale("other", 2.0)
    capacity.tick(10.0)
    assert (gate.limit.value, gate.hope, gate.changes) == (4, None, {})
