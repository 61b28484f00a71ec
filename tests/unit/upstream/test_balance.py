"""Who is asked, by numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest

from gateway.upstream.balance import LeastInFlight, PowerOfTwo, RingHash, RoundRobin, make_balancer


@dataclass
class One:
    url: str
    in_flight: int = 0
    weight: float = 1.0
    part: float = 1.0
    cost: float = 1.0

    @property
    def share(self) -> float:
        return self.weight * self.part


def _some(count: int) -> list[One]:
    return [One(f"http://{n}") for n in range(count)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("p2c", PowerOfTwo), ("least_in_flight", LeastInFlight), ("round_robin", RoundRobin), ("ring_hash", RingHash)],
)
def test_every_name_has_its_balancer(name: str, kind: type) -> None:
    assert type(make_balancer(name, Random(1))) is kind  # type: ignore[arg-type]


def test_two_are_drawn_and_the_cheaper_is_asked() -> None:
    """With equal costs everybody gets about as much; the most expensive of all is never asked."""
    some = _some(4)
    picker = PowerOfTwo(Random(1))
    counts = Counter(picker.pick(some, "") for _ in range(4000))
    assert min(counts.values()) > 800
    some[2].cost = 100
    counts = Counter(picker.pick(some, "") for _ in range(1000))
    assert counts[2] == 0


def test_what_is_in_flight_counts_with_the_cost() -> None:
    """Twice as slow and half as busy is a tie; less busy than that wins."""
    slow, fast = One("slow", in_flight=0, cost=2.0), One("fast", in_flight=2, cost=1.0)
    assert {PowerOfTwo(Random(seed)).pick([slow, fast], "") for seed in range(20)} == {0}
    fast.in_flight = 0
    assert {PowerOfTwo(Random(seed)).pick([slow, fast], "") for seed in range(20)} == {1}


def test_a_slow_start_is_asked_now_and_then_without_any_load() -> None:
    """One with a tenth of its weight gets about a tenth of what it would win, not nothing."""
    some = [One("new", part=0.1), One("old", in_flight=3)]
    picker = PowerOfTwo(Random(1))
    counts = Counter(picker.pick(some, "") for _ in range(4000))
    assert 250 < counts[0] < 550


def test_least_in_flight_takes_turns_among_equals() -> None:
    some = _some(3)
    picker = LeastInFlight()
    assert sorted(picker.pick(some, "") for _ in range(3)) == [0, 1, 2]
    some[1].in_flight = some[2].in_flight = 1
    assert [picker.pick(some, "") for _ in range(3)] == [0, 0, 0]
    some[0].in_flight = 2
    some[1].weight = 10
    assert picker.pick(some, "") == 1


def test_round_robin_is_smooth() -> None:
    """With weights 5, 1, 1 each has its part of every round, and the heavy one is never asked four times in a row."""
    some = [One("a", weight=5), One("b"), One("c")]
    picker = RoundRobin()
    order = "".join("abc"[picker.pick(some, "")] for _ in range(35))
    assert {order.count(name) for name in "bc"} == {5}
    assert {order[begin : begin + 7].count("a") for begin in range(29)} <= {4, 5, 6}
    assert "aaaa" not in order


def test_round_robin_goes_on_when_somebody_leaves() -> None:
    some = _some(3)
    picker = RoundRobin()
    for _ in range(4):
        picker.pick(some, "")
    counts = Counter(picker.pick(some[:2], "") for _ in range(40))
    assert abs(counts[0] - counts[1]) <= 2


def test_a_key_stays_where_it_is() -> None:
    """The same key goes to the same endpoint; when one leaves only its own keys move."""
    some = _some(5)
    picker = RingHash()
    keys = [f"tenant-{n}" for n in range(500)]
    before = {key: some[picker.pick(some, key)].url for key in keys}
    assert before == {key: some[picker.pick(some, key)].url for key in keys}
    gone = some.pop(2).url
    after = {key: some[picker.pick(some, key)].url for key in keys}
    assert {key for key in keys if before[key] != after[key]} == {key for key in keys if before[key] == gone}
    assert min(Counter(before.values()).values()) > 50


def test_a_hot_key_overflows() -> None:
    """One endpoint takes no more than 1.25 times its part of what is in flight, whatever the keys are."""
    some = _some(4)
    picker = RingHash()
    for _ in range(400):
        some[picker.pick(some, "the same")].in_flight += 1
    assert max(one.in_flight for one in some) <= 126
