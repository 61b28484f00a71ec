"""Several rate limits are one decision: all are charged, or none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.rate_gate import RATE_LIMITED, RateGate, tables_of
from gateway.admission.rate_limit import MAX_KEYS, KeyedRateLimit
from gateway.admission.rate_settings import RateLimit
from gateway.core.errors import REASONS
from gateway.core.ledger import Ledger
from gateway.core.units import Rate


def gate(*limits: RateLimit) -> RateGate:
    return RateGate(limits, Ledger())


def rule(name: str, rate: str = "1/s", **more: Any) -> RateLimit:
    return RateLimit(name=name, rate=Rate.parse(rate), **more)


def ask(to: RateGate, client: str = "c", now: float = 0.0, cost: float = 1.0) -> str:
    """The name of the rule that refuses; empty when the request passes."""
    refusal = to.check(to.keys(client, {}, {}), cost, now)
    return refusal.rule if refusal else ""


def test_a_request_that_one_rule_refuses_costs_nothing_at_the_others() -> None:
    """The generous rule has all of its quota left for others."""
    both = gate(rule("each", burst=2), rule("all", key="route", burst=6))
    assert [ask(both, "a") for _ in range(50)] == ["", ""] + ["each"] * 48
    assert [ask(both, client) for client in "bbccd"] == ["", "", "", "", "all"]


def test_the_rule_with_the_longest_wait_refuses() -> None:
    """So that the seconds it tells are enough for all of them."""
    both = gate(rule("second", "1/s", burst=1), rule("hour", "1/h", burst=1))
    assert ask(both) == ""
    refusal = both.check(both.keys("c", {}, {}), 1.0, 0.5)
    assert refusal is not None
    assert refusal.rule == "hour"
    assert refusal.retry_after == pytest.approx(3599.5, abs=4)
    assert ask(both, now=0.5 + refusal.retry_after) == ""


def test_a_refusal_carries_its_numbers() -> None:
    """What was observed is above what is allowed, and the word is in the vocabulary, with 429."""
    one = gate(rule("per-key", "2/s", burst=4, cost=2.0))
    assert ask(one) == ask(one) == ""
    refusal = one.check(one.keys("c", {}, {}), 1.0, 0.5)
    assert refusal is not None
    assert refusal == (RATE_LIMITED, pytest.approx(5.0), 4.0, pytest.approx(0.5, abs=0.001), "per-key")
    assert REASONS[refusal.reason].status == 429
    assert repr(one.rules[0]) == "<RateRule per-key passed=2 refused=1>"
    assert repr(one) == "<RateGate per-key>"


def test_shadow_lets_pass_and_counts_what_it_would_refuse() -> None:
    """It counts as if it were enforced: what it would refuse is not charged."""
    one = gate(rule("new", "1/s", burst=2, mode="shadow"))
    assert [ask(one) for _ in range(10)] == [""] * 10
    assert (one.rules[0].passed, one.rules[0].refused) == (2, 8)
    assert ask(one, now=1.01) == ""
    assert (one.rules[0].passed, one.rules[0].refused) == (3, 8)
    assert one.quotas(one.keys("c", {}, {}), 0.0) == []


def test_shadow_is_asked_only_about_what_the_enforced_let_pass() -> None:
    """Its count is how many more would be refused."""
    both = gate(rule("old", burst=3), rule("new", burst=1, mode="shadow"))
    assert [ask(both) for _ in range(5)] == ["", "", "", "old", "old"]
    assert (both.rules[1].passed, both.rules[1].refused) == (1, 2)


def test_a_rule_that_is_off_is_not_there() -> None:
    """It has no table, no counts and no say."""
    none = gate(rule("old", burst=1, mode="off"))
    assert none.rules == ()
    assert [ask(none) for _ in range(3)] == ["", "", ""]


def test_what_was_shed_later_is_given_back_to_every_rule_that_was_charged() -> None:
    """And to no shadow rule that was not."""
    three = gate(rule("each", burst=5), rule("all", "10/s", key="route", burst=10), rule("new", burst=1, mode="shadow"))
    ask(three)
    keys = three.keys("c", {}, {})
    assert three.check(keys, 1.0, 0.0) is None
    three.refund(keys, 1.0, 0.0)
    assert [quota.remaining for _, quota in three.quotas(three.keys("c", {}, {}), 0.0)] == [4, 9]
    assert three.rules[2].limit.debt("c", 0.0) == pytest.approx(1.0)


@given(
    st.lists(
        st.tuples(st.floats(0, 0.5), st.sampled_from("abc"), st.sampled_from([1.0, 2.0]), st.booleans()), max_size=80
    )
)
def test_all_or_none_is_charged(story: list[tuple[float, str, float, bool]]) -> None:
    """A request passes exactly when each rule alone would let it pass, and only then costs."""
    limits = [rule("a", "3/s", burst=4), rule("b", "5/s", key="route", burst=6), rule("c", "2/s", burst=5, cost=0.5)]
    three = gate(*limits)
    alone = [KeyedRateLimit(float(one.rate), float(one.burst or 0)) for one in limits]
    now = 0.0
    for step, client, cost, is_shed in story:
        now += step
        keys = three.keys(client, {}, {})
        costs = [one.cost * cost for one in limits]
        waits = [one.wait(key, price, now) for one, key, price in zip(alone, keys, costs, strict=True)]
        refusal = three.check(keys, cost, now)
        assert (refusal is None) is (max(waits) == 0)
        if refusal is None:
            for one, key, price in zip(alone, keys, costs, strict=True):
                one.take(key, price, now)
            if is_shed:
                three.refund(keys, cost, now)
                for one, key, price in zip(alone, keys, costs, strict=True):
                    one.refund(key, price, now)
        else:
            assert refusal.retry_after == max(waits)
        for mine, one, key in zip(three.rules, alone, keys, strict=True):
            assert mine.limit.debt(key, now) == one.debt(key, now)


def test_a_rule_for_a_whole_route_takes_room_for_one_key() -> None:
    """What a gateway's ledger takes is what its rules need, and nothing for those that are off."""
    limits = [rule("each"), rule("all", key="route"), rule("old", mode="off"), rule("new", mode="shadow")]
    assert tables_of(limits) == [MAX_KEYS, 1, MAX_KEYS]
