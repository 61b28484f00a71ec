"""Limit and queue in shadow decide as if they were enforced and hold to what is; off they are not there."""

from __future__ import annotations

import random
from math import inf
from typing import TYPE_CHECKING

import pytest

from gateway.admission.classes import TrafficClass
from gateway.admission.limits.fixed import Fixed
from gateway.admission.modes import make_gate
from gateway.admission.queue import Queue
from gateway.admission.sample import Sample
from gateway.admission.ticket import Ticket
from gateway.core.outcome import Outcome

if TYPE_CHECKING:
    from gateway.admission.gate import Gate
    from gateway.admission.settings import Mode

USUAL = TrafficClass("usual")


class Request(Ticket):
    """Goes the way that an exchange goes; ``told`` are the words that it heard, those in shadow too."""

    __slots__ = ("admitted_at", "gate", "is_instant", "is_refused", "told")

    def __init__(
        self, gate: Gate, now: float, *, is_instant: bool = False, traffic_class: TrafficClass = USUAL
    ) -> None:
        super().__init__(traffic_class, arrived_at=now, size=10)
        self.gate = gate
        self.is_instant = is_instant
        self.admitted_at = inf
        self.told: list[str] = []
        self.is_refused = False

    def arrive(self, now: float) -> Request:
        if self.gate.try_admit(now):
            self.on_admitted(now)
        elif (shadow := self.gate.let_pass()) is not None:
            self.told.append(shadow.reason)
            self.on_admitted(now)
        elif (refusal := self.gate.enqueue(self, now)) is not None:
            self.told.append(refusal.reason)
            self.is_refused = not self.gate.keep_aside(self, refusal.reason)
        return self

    def on_admitted(self, now: float) -> None:
        assert self.admitted_at == inf
        assert not self.is_refused
        self.admitted_at = now
        if self.is_instant:
            end(self.gate, now)

    def on_shed(self, reason: str, now: float) -> None:
        del now
        self.told.append(reason)
        self.is_refused = not self.gate.keep_aside(self, reason)


def end(gate: Gate, now: float) -> None:
    gate.finish(Sample(now - 0.1, now, 1, "", Outcome.SUCCESS), now)


def make(limit: Mode = "enforce", queue: Mode = "enforce", *, places: int = 1, length: int = 3) -> Gate:
    waiting = Queue(max_length=length, max_size=10**9, max_wait=1.0)
    return make_gate(Fixed(places), waiting, limit_mode=limit, queue_mode=queue)


def test_whom_a_queue_in_shadow_would_shed_goes_when_nobody_else_waits() -> None:
    """First those who wait as in an enforced queue, then those aside in the order in which they were put there."""
    gate = make(queue="shadow")
    requests = [Request(gate, 0.0).arrive(0.0) for _ in range(7)]
    assert [request.told for request in requests] == [[]] * 4 + [["queue_full"]] * 3
    assert repr(gate) == "<Gate in_flight=1/1 queued=3 aside=3>"
    assert (gate.waiting(), gate.waiting_size) == ({"usual": 6}, 60)
    gate.leave(requests[5], 0.0)
    late = None
    for step in range(1, 7):
        if step == 4:  # somebody new goes before those aside
            late = Request(gate, 0.01 * step).arrive(0.01 * step)
        end(gate, 0.01 * step)
    assert late is not None
    admitted = sorted((request.admitted_at, number) for number, request in enumerate([*requests, late]))
    assert [number for instant, number in admitted if instant != inf] == [0, 1, 2, 3, 7, 4, 6]
    end(gate, 1.0)
    assert (gate.in_flight, gate.waiting()["usual"], gate.waiting_size) == (0, 0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_a_queue_in_shadow_decides_as_an_enforced_one(seed: int) -> None:
    """Under a lasting rush both say the same of nearly all requests; in shadow none is refused, and the limit holds."""
    words = []
    for mode in ("enforce", "shadow"):
        rng = random.Random(seed)
        gate = make(queue=mode, places=4, length=12)  # type: ignore[arg-type]  # both are modes
        requests: list[Request] = []
        for step in range(3000):
            now = step * 0.01
            requests += [Request(gate, now).arrive(now) for _ in range(rng.randrange(4))]
            if gate.in_flight and rng.random() < 0.5:
                end(gate, now)
            gate.tick(now)
            assert gate.in_flight <= 4
        words.append([request.told for request in requests])
        assert sum(request.is_refused for request in requests) == (
            sum(map(bool, words[-1])) if mode == "enforce" else 0
        )
    # Only a place that nobody else wants goes to somebody aside, and may be missing a moment later.
    different = sum(enforced != shadow for enforced, shadow in zip(*words, strict=True))
    assert different < 0.01 * len(words[0])
    assert {"evicted", "queue_delay"} <= {word for told in words[0] for word in told}


def test_who_stands_aside_is_admitted_without_a_deeper_stack() -> None:
    """Thousands that end as soon as they are admitted are admitted one after the other."""
    gate = make(queue="shadow", length=0)
    Request(gate, 0.0).arrive(0.0)
    requests = [Request(gate, 0.0, is_instant=True).arrive(0.0) for _ in range(5000)]
    end(gate, 1.0)
    assert all(request.admitted_at == 1.0 for request in requests)
    assert gate.in_flight == 0


def test_a_room_that_opens_by_itself_is_found_by_the_tick() -> None:
    """When the limit has grown, those aside need not wait until somebody ends."""
    gate = make(queue="shadow", length=0)
    requests = [Request(gate, 0.0).arrive(0.0) for _ in range(3)]
    assert isinstance(gate.limit, Fixed)
    gate.limit.value = 2
    gate.tick(1.0)
    assert [request.admitted_at for request in requests] == [0.0, 1.0, inf]


def test_what_protects_the_gateway_is_refused_in_shadow_too() -> None:
    """It is not the queue's rule."""
    gate = make(queue="shadow")
    gate.last_band = 0
    requests = [Request(gate, 0.0).arrive(0.0) for _ in range(2)]
    assert (requests[1].told, requests[1].is_refused) == (["self_protection"], True)


def test_a_limit_in_shadow_admits_all_and_says_who_was_over_it() -> None:
    """With the numbers of the moment; the queue, whatever its mode, has nothing to do."""
    for mode in ("enforce", "shadow", "off"):
        gate = make("shadow", mode, places=2)  # type: ignore[arg-type]  # all are modes
        requests = [Request(gate, 0.0).arrive(0.0) for _ in range(5)]
        assert [request.told for request in requests] == [
            [],
            [],
            ["limit_reached"],
            ["limit_reached"],
            ["limit_reached"],
        ]
        assert (gate.in_flight, gate.queue.count) == (5, 0)
        refusal = gate.let_pass()
        assert refusal is not None
        assert (refusal.observed, refusal.allowed) == (5, 2)
        for _ in range(6):
            end(gate, 1.0)
        assert gate.in_flight == 0


def test_without_a_limit_all_are_admitted_and_without_a_queue_none_waits() -> None:
    """Off is as if it were not there."""
    gate = make("off")
    assert all(Request(gate, 0.0).arrive(0.0).admitted_at == 0.0 for _ in range(1000))
    gate = make(queue="off", places=2)
    requests = [Request(gate, 0.0).arrive(0.0) for _ in range(3)]
    assert (requests[2].told, requests[2].is_refused) == (["limit_reached"], True)
    assert (gate.in_flight, gate.queue.count) == (2, 0)
