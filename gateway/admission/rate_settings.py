"""What the operator may say about how often one client may ask."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from gateway.admission.settings import Mode
from gateway.core.units import Rate


class RateLimit(Struct, frozen=True, forbid_unknown_fields=True):
    """So many requests per second for each key; all the rate limits of a route must let a request pass.

    A key that a client chooses freely (a header, a cookie) limits honest clients only: put one on
    ``client_ip`` or ``route`` beside it.
    """

    name: Annotated[
        str,
        Meta(description="names the rule in refusals, metrics and logs", extra={"format": "name"}, examples=["per-ip"]),
    ]
    rate: Annotated[
        Rate, Meta(description="how many requests in a second, minute, hour or day", examples=["50/s", "1000/m"])
    ]
    key: Annotated[
        str,
        Meta(
            description="who has a quota: client_ip, header:NAME, cookie:NAME, path:NAME or route",
            extra={"format": "rate_key"},
            examples=["header:x-api-key"],
        ),
    ] = "client_ip"
    burst: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000_000)] | None,
        Meta(description="how many at once; none = the number in rate", examples=[100]),
    ] = None
    cost: Annotated[
        float, Meta(gt=0, le=1_000_000_000, description="how many requests one request counts for; at most the burst")
    ] = 1.0
    mode: Annotated[Mode, Meta(description="shadow decides and counts, but lets pass")] = "enforce"


def burst_of(limit: RateLimit) -> float:
    """How many may pass at once: what is written, else the number in ``rate``, at least one request's cost."""
    return float(limit.burst) if limit.burst is not None else max(limit.rate.count, limit.cost, 1.0)


def broken_rule(limit: RateLimit) -> tuple[str, str]:
    """The key of a rate limit that does not fit the others, and the rule that it breaks; empty when all fit."""
    if limit.cost > burst_of(limit):
        return "cost", f"expected at most the burst ({burst_of(limit):g}), or no request would ever pass"
    return "", ""
