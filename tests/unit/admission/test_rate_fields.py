"""What clients are told about quotas is well-formed, true, and enough to wait for."""

from __future__ import annotations

import copy
import pickle
import random
from math import ceil, inf

import http_sf
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.rate_fields import policy_field, quota_field, retry_after
from gateway.admission.rate_gate import RateGate
from gateway.admission.rate_limit import Quota
from gateway.admission.rate_settings import RateLimit, broken_rule, burst_of
from gateway.core.ledger import Ledger
from gateway.core.units import Rate

rates = st.builds(Rate, st.integers(1, 10**9).map(float), st.sampled_from([1.0, 60.0, 3600.0, 86400.0])).filter(
    lambda rate: rate <= 1e6
)
names = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=64)


def parse(field: str) -> list[tuple[str, dict[str, int]]]:
    """A structured field that is a list of strings with whole numbers, by another's parser."""
    items = http_sf.parse(field.encode("ascii"), tltype="list")
    for name, parameters in items:
        assert isinstance(name, str)
        assert type(name) is str
        assert all(type(value) is int and value >= 0 for value in parameters.values())
    return items  # type: ignore[no-any-return]


def gate(*limits: RateLimit) -> RateGate:
    return RateGate(limits, Ledger())


def test_the_policy_of_an_ordinary_limit() -> None:
    """Burst and the seconds in which it refills; shadow rules are nobody's business."""
    field = policy_field(
        gate(
            RateLimit(name="per-key", rate=Rate.parse("50/s"), burst=100),
            RateLimit(name="day", rate=Rate.parse("1000/d"), key="route"),
            RateLimit(name="new", rate=Rate.parse("1/s"), mode="shadow"),
        )
    )
    assert field == '"per-key";q=100;w=2, "day";q=1000;w=86400'
    assert policy_field(gate()) == ""


@given(
    st.lists(
        st.builds(RateLimit, name=names, rate=rates, burst=st.none() | st.integers(1, 10**9)), min_size=1, max_size=3
    )
)
def test_every_policy_is_a_structured_field_and_tells_the_rate(limits: list[RateLimit]) -> None:
    """Quota by window is the rate, to a request in a window."""
    items = parse(policy_field(gate(*limits)))
    assert [name for name, _ in items] == [limit.name for limit in limits]
    for (_, policy), limit in zip(items, limits, strict=True):
        assert set(policy) == {"q", "w"}
        assert policy["w"] >= 1
        if policy["q"] > 1:
            assert policy["q"] / policy["w"] == pytest.approx(limit.rate, rel=1e-6, abs=1.01 / policy["w"])


@given(names, st.integers(0, 10**18), st.floats(0, 1e20))
def test_every_quota_is_a_structured_field(name: str, remaining: int, more_in: float) -> None:
    """With whole seconds, at least one, and none when nothing is missing."""
    [(found, quota)] = parse(quota_field([(name, Quota(remaining, more_in))]))
    assert found == name
    assert quota["r"] == min(remaining, 10**15 - 1)
    assert quota.get("t", 0) == min(ceil(more_in), 10**15 - 1)


def test_quotas_go_down_with_use() -> None:
    """A fresh key has its burst; a used one says when there is more."""
    one = gate(RateLimit(name="per-key", rate=Rate.parse("2/s"), burst=3))
    keys = one.keys("c", {}, {})
    assert quota_field(one.quotas(keys, 0.0)) == '"per-key";r=3'
    one.check(keys, 1.0, 0.0)
    assert quota_field(one.quotas(keys, 0.0)) == '"per-key";r=2;t=1'


@given(st.floats(0, 1e5) | st.just(inf), st.integers())
def test_retry_after_is_whole_enough_and_not_too_long(seconds: float, seed: int) -> None:
    """At least the wait (up to a day) and at least 1; at most a quarter and two seconds above it."""
    told = retry_after(seconds, random.Random(seed))
    assert type(told) is int
    assert told >= max(1, min(seconds, 86_400.0) - 1e-5)
    assert told <= min(seconds, 86_400.0) * 1.25 + 2


def test_retry_after_spreads_a_crowd_and_repeats_with_its_seed() -> None:
    """A thousand clients that must wait 20 s come back over several seconds."""
    told = [retry_after(20.0, rng) for rng in [random.Random(1)] for _ in range(1000)]
    again = [retry_after(20.0, rng) for rng in [random.Random(1)] for _ in range(1000)]
    assert told == again
    assert set(told) >= {21, 22, 23, 24, 25}


@pytest.mark.parametrize(
    ("text", "per_second", "shown"),
    [("50/s", 50, "50/s"), ("1000/m", 1000 / 60, "1000/m"), (" 10 / h ", 10 / 3600, "10/h"), ("2.50/s", 2.5, "2.5/s")],
)
def test_rates_are_read_and_shown(text: str, per_second: float, shown: str) -> None:
    """They keep what was written, through copies too."""
    rate = Rate.parse(text)
    for one in (rate, copy.copy(rate), pickle.loads(pickle.dumps(rate))):
        assert one == per_second
        assert str(one) == repr(one) == shown
        assert (one.count, one.period) == (rate.count, rate.period)


@pytest.mark.parametrize(
    "text", ["", "50", "50/", "/s", "0/s", "-1/s", "1e3/s", "50/ms", "50 per s", "1000001/s", "\u0661/s", "inf/s"]
)
def test_other_rates_are_refused(text: str) -> None:
    """A rate is above zero, bounded, and has its unit."""
    with pytest.raises(ValueError, match="expected a rate"):
        Rate.parse(text)


@given(rates)
def test_a_rate_shows_what_it_reads(rate: Rate) -> None:
    """Showing and reading again loses nothing."""
    assert (Rate.parse(str(rate)).count, Rate.parse(str(rate)).period) == (rate.count, rate.period)


def test_a_limit_is_read_from_settings() -> None:
    """With the number in the rate as burst, unless one is written."""
    found = msgspec.convert(
        {"name": "per-key", "key": "header:x-api-key", "rate": "1000/m"},
        RateLimit,
        dec_hook=lambda kind, text: kind.parse(text),
    )
    assert burst_of(found) == 1000
    assert broken_rule(found) == ("", "")
    assert burst_of(msgspec.structs.replace(found, burst=7)) == 7
    key, rule = broken_rule(msgspec.structs.replace(found, burst=7, cost=8.0))
    assert key == "cost"
    assert "at most the burst (7)" in rule


@given(
    st.integers(1, 10**6),
    st.floats(0.1, 10**5).map(lambda cost: round(cost, 3)),
    st.sampled_from(["10/s", "60/m", "2000000/d"]),
    st.lists(st.floats(0.0, 50.0), max_size=20),
)
def test_what_a_refused_client_is_told_does_not_contradict_its_refusal(
    burst: int, cost: float, rate: str, gaps: list[float]
) -> None:
    """With 429 nothing is left, more than is allowed was observed, and there is more once Retry-After is over."""
    limit = RateLimit(name="r", key="route", rate=Rate.parse(rate), burst=burst, cost=cost)
    if broken_rule(limit)[1]:
        return
    rules, now = gate(limit), 0.0
    for gap in gaps:
        now += gap
        keys = rules.keys("", {}, {})
        refusal = rules.check(keys, 1.0, now)
        ((_, quota),) = rules.quotas(keys, now)
        if refusal is None:
            continue
        assert quota.remaining == 0
        assert 0 < quota.more_in <= refusal.retry_after * (1 + 1e-9) + 1e-6
        assert round(refusal.observed, 3) > refusal.allowed
