"""What the operator may say about a bad upstream."""

from __future__ import annotations

import pytest
from msgspec import ValidationError, convert

from gateway.core.units import Seconds
from gateway.resilience.settings import BreakerSettings, Quantile, RetrySettings, parse_after


@pytest.mark.parametrize(
    ("text", "quantile"), [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), (" p90 ", 0.9)]
)
def test_a_quantile_is_read(text: str, quantile: float) -> None:
    """The way people write percentiles."""
    after = parse_after(text)
    assert isinstance(after, Quantile)
    assert after == pytest.approx(quantile)


@pytest.mark.parametrize(("text", "seconds"), [("50ms", 0.05), ("1.5s", 1.5)])
def test_a_time_is_read(text: str, seconds: float) -> None:
    """A fixed time needs no learning."""
    after = parse_after(text)
    assert isinstance(after, Seconds)
    assert after == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["p49", "p99.99", "p100", "p", "95", "0s", "-1s", "soon", "p95%"])
def test_nonsense_is_refused_with_what_was_expected(text: str) -> None:
    """The message names what may be written."""
    with pytest.raises(ValueError, match=r'"p50" to "p99.9" or a duration above 0 such as "50ms"'):
        parse_after(text)


def test_the_documented_keys_are_read() -> None:
    """As a file says them."""

    def read(kind: type, value: object) -> object:
        assert kind is Seconds
        return Seconds.parse(str(value))

    breaker = convert(
        {
            "window": "10s",
            "min_calls": 20,
            "failure_ratio": 0.5,
            "failures": ("5xx", "connect", "timeout"),
            "slow_threshold": "2s",
            "open_for": "5s",
            "max_open_for": "60s",
            "probes": 3,
        },
        BreakerSettings,
        dec_hook=read,
    )
    assert breaker == BreakerSettings()
    retry = convert(
        {
            "attempts": 3,
            "budget": {"ratio": 0.2, "min_per_second": 3},
            "backoff": {"base": "25ms", "max": "250ms"},
            "statuses": [500, 502, 504],
        },
        RetrySettings,
        dec_hook=read,
    )
    assert retry == RetrySettings()
    for wrong in ({"failure_ratio": 0.0}, {"failure_ratio": 1.1}, {"probes": 0}, {"probe": 1}):
        with pytest.raises(ValidationError):
            convert(wrong, BreakerSettings, dec_hook=read)
