"""What the operator may say about an upstream that is bad."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from gateway.core.units import Seconds

Mode = Literal["enforce", "shadow", "off"]
Share = Annotated[float, Meta(gt=0, le=1)]

_QUANTILE: Final = re.compile(r"p([0-9]{2}(?:\.[0-9]{1,2})?)\Z")
_LOWEST: Final = 50.0
_HIGHEST: Final = 99.9


class BreakerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """When an upstream is left alone, for how long, and how it is asked again."""

    mode: Annotated[Mode, Meta(description="enforce, shadow (decide and count, refuse nothing) or off")] = "enforce"
    window: Annotated[Seconds, Meta(description="calls of the last so long are judged")] = Seconds(10)
    min_calls: Annotated[int, Meta(ge=1, le=1_000_000, description="fewer calls in the window never trip it")] = 20
    failure_ratio: Annotated[Share, Meta(description="trips from this share of failed calls")] = 0.5
    failures: Annotated[
        tuple[Annotated[str, Meta(extra={"format": "failure"})], ...],
        Meta(
            description='what counts as a failed call: "5xx" but for 501, 505 to 508, 510, 511, a page\'s own; '
            'single statuses such as "507"; "connect": no connection, or one that breaks off; "timeout"',
            examples=[["connect", "timeout"]],
        ),
    ] = ("5xx", "connect", "timeout")
    slow_ratio: Annotated[
        Share | None, Meta(description="trips from this share of slow calls; none = slow is not sick", examples=[0.8])
    ] = None
    slow_threshold: Annotated[
        Seconds,
        Meta(description="a call is slow from here, and from five times its page's usual; unanswered it hangs"),
    ] = Seconds(2)
    open_for: Annotated[
        Seconds, Meta(description="how long it stays open at first; doubles each time it opens again")
    ] = Seconds(5)
    max_open_for: Annotated[Seconds, Meta(description="it never stays open longer, whatever the upstream asks for")] = (
        Seconds(60)
    )
    probes: Annotated[int, Meta(ge=1, le=1000, description="calls in flight at once while half-open")] = 3
    successes: Annotated[int, Meta(ge=1, le=1000, description="calls that must succeed before it closes")] = 3


class RetryBudget(Struct, frozen=True, forbid_unknown_fields=True):
    """How many retries and hedges an upstream gets, beside its requests."""

    ratio: Annotated[float, Meta(ge=0, le=1, description="per request; 0.2 = at most 1.2 attempts for each")] = 0.2
    min_per_second: Annotated[float, Meta(ge=0, le=1000, description="allowed even when there are few requests")] = 3.0


class Backoff(Struct, frozen=True, forbid_unknown_fields=True):
    """The longest wait before the first retry, doubled for each further one up to ``max``; the wait is drawn below."""

    base: Annotated[Seconds, Meta(description="the longest wait before the first retry")] = Seconds(0.025)
    max: Annotated[Seconds, Meta(description="the longest wait before any retry")] = Seconds(0.25)


class RetrySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is tried again: idempotent requests, and any that provably never reached the upstream."""

    attempts: Annotated[int, Meta(ge=1, le=10, description="tries for one request, the first included; 1 = once")] = 3
    budget: Annotated[RetryBudget, Meta(description="retries and hedges together")] = RetryBudget()
    backoff: Annotated[Backoff, Meta(description="the wait before a retry")] = Backoff()
    attempt_timeout: Annotated[
        Seconds | None,
        Meta(description="for one attempt to begin its answer; none = the upstream's head timeout", examples=["2s"]),
    ] = None
    statuses: Annotated[
        tuple[Annotated[int, Meta(ge=400, le=599)], ...], Meta(description="answers that are tried again")
    ] = (500, 502, 504)


class HedgeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A second attempt at another endpoint while the first has not answered; the first answer counts."""

    after: Annotated[
        str,
        Meta(
            description='when the second begins: a quantile of response times ("p95") or a time ("50ms"); "" = never',
            extra={"format": "hedge_after"},
            examples=["p95", "50ms"],
        ),
    ] = ""


class OutlierSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Endpoints that do far worse than their peers are left out for a while."""

    mode: Annotated[Mode, Meta(description="enforce, shadow (decide and count, leave nobody out) or off")] = "enforce"
    ejected_for: Annotated[
        Seconds, Meta(description="how long at first; twice as long the second time in a row, and so on")
    ] = Seconds(5)
    max_ejected_for: Annotated[Seconds, Meta(description="never longer at once")] = Seconds(60)
    max_ejected: Annotated[
        float, Meta(ge=0, lt=1, description="the share of endpoints that may be left out; one always stays")
    ] = 0.5


class Quantile(float):
    """A quantile of response times, in [0.5, 0.999]."""

    __slots__ = ()


def parse_after(text: str) -> Quantile | Seconds:
    """Read ``"p50"`` … ``"p99.9"`` or a duration; ValueError says what was expected."""
    found = _QUANTILE.match(text.strip())
    if found is not None:
        percent = float(found[1])
        if _LOWEST <= percent <= _HIGHEST:
            return Quantile(percent / 100)
    else:
        try:
            seconds = Seconds.parse(text)
        except ValueError:
            seconds = Seconds(0)
        if seconds > 0:
            return seconds
    message = 'expected a quantile from "p50" to "p99.9" or a duration above 0 such as "50ms"'
    raise ValueError(message)
