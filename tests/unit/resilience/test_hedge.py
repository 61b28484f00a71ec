"""When a hedge begins."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from gateway.resilience.hedge import HedgeDelay
from gateway.resilience.settings import HedgeSettings


def test_no_hedging_unless_asked_for() -> None:
    """The default never begins a second attempt."""
    delay = HedgeDelay(HedgeSettings())
    for _ in range(1000):
        delay.observe(0.01)
    assert delay.delay() == inf


def test_a_fixed_time_is_known_at_once() -> None:
    """It needs no samples and does not move."""
    delay = HedgeDelay(HedgeSettings(after="50ms"))
    assert delay.delay() == pytest.approx(0.05)
    delay.observe(10.0)
    assert delay.delay() == pytest.approx(0.05)


@pytest.mark.parametrize(("after", "samples"), [("p50", 20), ("p95", 200), ("p99", 1000)])
def test_too_little_is_not_believed(after: str, samples: int) -> None:
    """Ten samples must lie beyond the quantile."""
    delay = HedgeDelay(HedgeSettings(after=after))
    for _ in range(samples - 1):
        delay.observe(0.01)
    assert delay.delay() == inf
    for _ in range(32):
        delay.observe(0.01)
    assert delay.delay() == pytest.approx(0.01, rel=0.06)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.95, 0.99])
def test_the_part_that_is_hedged_is_the_part_asked_for(seed: int, quantile: float) -> None:
    """Of log-normal response times about 1 - quantile lie beyond the delay, hardly more."""
    rng = Random(seed)
    delay = HedgeDelay(HedgeSettings(after=f"p{quantile * 100:g}"))
    hedged = asked = 0
    for count in range(20_000):
        seconds = rng.lognormvariate(-4, 0.8)
        if count >= 4000:
            asked += 1
            hedged += seconds > delay.delay()
        delay.observe(seconds)
    assert 0.6 * (1 - quantile) <= hedged / asked <= 1.15 * (1 - quantile)


def test_it_follows_a_service_that_changes() -> None:
    """Up and down again: old latencies fade."""
    rng = Random(5)
    delay = HedgeDelay(HedgeSettings(after="p95"))
    for _ in range(5000):
        delay.observe(0.010 * (1 + rng.random() / 10))
    assert delay.delay() == pytest.approx(0.011, rel=0.06)
    for _ in range(5000):
        delay.observe(0.040 * (1 + rng.random() / 10))
    assert delay.delay() == pytest.approx(0.044, rel=0.06)
    for _ in range(5000):
        delay.observe(0.010 * (1 + rng.random() / 10))
    assert delay.delay() == pytest.approx(0.011, rel=0.06)


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e-4, 200.0, 1e6])
def test_any_time_has_a_bucket(seconds: float) -> None:
    """From nothing to days."""
    delay = HedgeDelay(HedgeSettings(after="p50"))
    for _ in range(100):
        delay.observe(seconds)
    assert 0 < delay.delay() < 300
