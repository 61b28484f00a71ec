"""The work of one choice does not grow with the endpoints."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from gateway.upstream.balance import make_balancer


class One:
    """An endpoint, as far as a balancer is concerned."""

    def __init__(self, number: int) -> None:
        self.url = f"http://10.0.{number >> 8}.{number & 255}:80"
        self.in_flight = number % 3
        self.part = self.share = self.cost = 1.0


class Counted(list[One]):
    """A list that counts how often it is asked for a member."""

    looks = 0

    def __getitem__(self, index: Any) -> Any:
        self.looks += 1
        return super().__getitem__(index)

    def __iter__(self) -> Any:
        self.looks += len(self)
        return super().__iter__()


@pytest.mark.parametrize("balance", ["p2c", "least_in_flight", "round_robin", "ring_hash"])
@pytest.mark.parametrize("has_tried", [False, True])
def test_a_choice_among_a_thousand_looks_at_few(balance: Any, has_tried: bool) -> None:  # noqa: FBT001 - pytest passes by name
    """Whatever the balancer, at most 64 of a thousand endpoints are looked at for each choice on the average."""
    endpoints = Counted(One(number) for number in range(1000))
    balancer = make_balancer(balance, Random(1))
    tried = endpoints[0] if has_tried else None
    is_unfit = None if tried is None else lambda one: one is tried
    balancer.pick(endpoints, "key", is_unfit)
    endpoints.looks = 0
    for number in range(320):
        assert 0 <= balancer.pick(endpoints, f"key-{number}", is_unfit) < 1000
    assert endpoints.looks <= 64 * 320


@pytest.mark.parametrize("balance", ["p2c", "least_in_flight", "round_robin", "ring_hash"])
@pytest.mark.parametrize("count", [2, 5, 40])
def test_who_is_unfit_is_passed_over(balance: Any, count: int) -> None:
    """The only fit one is found among any number; with none the answer is -1."""
    endpoints = [One(number) for number in range(count)]
    balancer = make_balancer(balance, Random(1))
    for only in endpoints:
        for key in "abc":
            assert endpoints[balancer.pick(endpoints, key, lambda one, only=only: one is not only)] is only
    assert balancer.pick(endpoints, "key", lambda _: True) == -1


def test_the_next_sixteen_are_looked_at_in_turn() -> None:
    """Among many, one that has nothing to do is found within a round."""
    endpoints = [One(number) for number in range(100)]
    for one in endpoints:
        one.in_flight = 5
    endpoints[77].in_flight = 0
    balancer = make_balancer("least_in_flight", Random(1))
    assert 77 in {balancer.pick(endpoints, "") for _ in range(-(-100 // 16) + 1)}
