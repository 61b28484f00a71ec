"""What is configured for the whole gateway is dealt out to its workers, and adds up."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.shares import FixedLimit, Presence, fractions, split
from gateway.telemetry.snapshot import Snapshot

DEMANDS = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=16)


@given(demand=DEMANDS, total=st.integers(min_value=1, max_value=10_000))
def test_the_parts_are_the_whole(demand: list[float], total: int) -> None:
    """Fractions sum to one and nobody gets nothing; whole numbers sum to the total unless there are too few."""
    parts = fractions(demand)
    assert abs(sum(parts) - 1) < 1e-9
    assert min(parts) > 0
    dealt = split(total, parts)
    assert min(dealt) >= 1
    if total >= 20 * len(demand):
        assert sum(dealt) == total
    assert sum(dealt) <= total + len(demand)


def test_whoever_is_asked_more_gets_more() -> None:
    """Nine tenths follow the demand."""
    assert fractions([300.0, 100.0]) == [0.05 + 0.9 * 0.75, 0.05 + 0.9 * 0.25]
    assert split(8, [0.5, 0.5]) == [4, 4]
    assert split(10, fractions([0.0, 0.0, 0.0])) in ([4, 3, 3], [3, 4, 3], [3, 3, 4])


def test_parts_shrink_at_once_and_grow_when_that_has_arrived() -> None:
    """Places go to another worker only when the one that had them says that it has them no more."""
    limit = FixedLimit(8, 2)
    assert limit.deal([0.5, 0.5]) == [4, 4]
    assert limit.deal([0.25, 0.75]) == [2, 4]
    assert limit.deal([0.25, 0.75]) == [2, 4], "it has not been heard of"
    limit.hear(0, 4, 1)
    assert limit.deal([0.25, 0.75]) == [2, 4], "it may take four until it hears"
    limit.hear(0, 2, 4)
    assert limit.deal([0.25, 0.75]) == [2, 4], "it still holds four"
    limit.hear(0, 2, 3)
    assert limit.deal([0.25, 0.75]) == [2, 5]
    limit.hear(0, 2, 0)
    assert limit.deal([0.25, 0.75]) == [2, 5], "one order at a time"
    limit.hear(1, 5, 5)
    assert limit.deal([0.25, 0.75]) == [2, 6]


def test_places_do_not_move_for_noise() -> None:
    """A place that moves serves nobody for a while; what is right within a place and a twentieth stays."""
    small, large = FixedLimit(8, 2), FixedLimit(400, 2)
    assert small.deal([0.4, 0.6]) == [4, 4]
    assert large.deal([0.46, 0.54]) == [200, 200]
    assert large.deal([0.44, 0.56]) == [176, 200]
    large.hear(0, 176, 0)
    assert large.deal([0.48, 0.52]) == [192, 208], "all places are given out in the end"
    three = FixedLimit(3, 2)
    assert three.deal([0.05, 0.95]) == [1, 1]
    three.hear(0, 1, 0)
    assert three.deal([0.05, 0.95]) == [1, 2]


def test_a_worker_that_starts_gets_what_nobody_holds() -> None:
    """Its even part, or less when others have more; never nothing."""
    limit = FixedLimit(8, 2)
    limit.deal([0.9, 0.1])
    limit.hear(1, 1, 0)
    assert limit.deal([0.9, 0.1]) == [7, 1]
    assert limit.start(1) == 1
    assert limit.start(0) == 4
    assert [FixedLimit(9, 2).start(worker) for worker in (0, 1)] == [5, 4]
    assert [FixedLimit(1, 3).start(worker) for worker in (0, 1, 2)] == [1, 1, 1]


class Post:
    """Carries things one way in order, each some time late."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._things: deque[tuple[float, Any]] = deque()

    def send(self, thing: Any, now: float) -> None:
        last = self._things[-1][0] if self._things else 0.0
        self._things.append((max(last, now + self._rng.choice((0.001, 0.05, 0.5, 3.0)) * self._rng.random()), thing))

    def arrived(self, now: float) -> list[Any]:
        found = []
        while self._things and self._things[0][0] <= now:
            found.append(self._things.popleft()[1])
        return found


class Hand:
    """A worker as the control process knows it: it fills its part, finishes, reports, dies and is born again."""

    def __init__(self, number: int, limit: FixedLimit, rng: random.Random) -> None:
        self.number = number
        self._limit = limit
        self._rng = rng
        self.be_born()

    def be_born(self) -> None:
        self.part = self._limit.start(self.number)
        self.in_flight = 0
        self.said: tuple[int, int] | None = None
        self.orders, self.reports = Post(self._rng), Post(self._rng)

    def live(self, now: float, wants: int) -> None:
        for part in self.orders.arrived(now):
            self.part = part
        for report in self.reports.arrived(now):
            self.said = report
        self.in_flight -= sum(self._rng.random() < 0.05 for _ in range(self.in_flight))
        self.in_flight = max(self.in_flight, min(self.part, wants))


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_never_are_more_in_flight_than_the_limit(seed: int, workers: int) -> None:
    """However late orders and reports are, wherever the work goes, whoever dies; and the places follow the work."""
    rng = random.Random(seed)
    total = rng.choice((workers, 8, 40))
    limit = FixedLimit(total, workers)
    hands = [Hand(number, limit, rng) for number in range(workers)]
    busy = best = 0
    for step in range(20_000):
        now = step * 0.01
        for hand in hands:
            hand.live(now, wants=rng.choice((0, 0, 1, 2, total)))
            if step % 25 == hand.number:
                hand.reports.send((hand.part, hand.in_flight), now)
            if rng.random() < 0.0001:
                hand.be_born()
        assert sum(hand.in_flight for hand in hands) <= total
        best = max(best, hands[busy].part)
        if step % 50 == 0 and all(hand.said for hand in hands):
            if now < 150 and rng.random() < 0.4:
                busy = rng.randrange(workers)
            for hand in hands:
                limit.hear(hand.number, *hand.said)  # type: ignore[misc]  # just asked
            dealt = limit.deal(fractions([float(total * (hand.number == busy)) for hand in hands]))
            for hand, part in zip(hands, dealt, strict=True):
                hand.orders.send(part, now)
    assert best >= max(split(total, fractions([1.0] + [0.0] * (workers - 1))))


def test_what_nobody_asks_is_not_dealt_out() -> None:
    """An upstream is looked at while there is something, until that is forgotten, and once more."""
    presence = Presence()
    idle = Snapshot(in_flight={"a": 0, "b": 0})
    busy = Snapshot(in_flight={"a": 4, "b": 0})
    assert presence.present({0: idle, 1: idle}) == []
    assert presence.present({0: busy, 1: idle}) == ["a"]
    assert presence.look({0: busy, 1: idle}, "a") == {0: 3.0, 1: 1.0}
    looks = 0
    while presence.present({0: idle, 1: idle}):
        parts = presence.look({0: idle, 1: idle}, "a")
        looks += 1
    assert parts == {0: 1.0, 1: 1.0}
    assert looks <= 12


def test_a_fixed_limit_is_settled_when_all_have_what_they_were_given() -> None:
    """Not while a worker has not said that it has its part, nor while places are free."""
    limit = FixedLimit(8, 2)
    assert limit.is_settled
    limit.hear(0, 3, 0)
    assert not limit.is_settled
    limit.hear(0, 4, 0)
    assert limit.is_settled
