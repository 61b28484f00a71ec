"""What the operator may say about how many requests may be in flight."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.admission.settings import Mode


class Limit(Struct, frozen=True, forbid_unknown_fields=True):
    """The limit on requests in flight to an upstream; ``adaptive`` finds it and needs none of the others."""

    kind: Annotated[
        Literal["adaptive", "fixed", "aimd", "vegas", "gradient"], Meta(description="how the limit is found")
    ] = "adaptive"
    per: Annotated[
        Literal["upstream", "endpoint"],
        Meta(description="one limit for all, or one for each endpoint, to which the numbers below then belong"),
    ] = "upstream"
    initial: Annotated[
        int, Meta(ge=1, le=100_000, description="the limit at start; the limit, when fixed; within min and max")
    ] = 100
    min: Annotated[int, Meta(ge=1, le=100_000, description="the limit never falls below this")] = 1
    max: Annotated[int, Meta(ge=1, le=100_000, description="the limit never grows above this")] = 10_000
    streams: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None,
        Meta(
            description="streams that may give their place back before their end; the rest keep it; none = any number",
            examples=[1000],
        ),
    ] = None
    mode: Annotated[
        Mode, Meta(description="shadow finds it and counts whom it would make wait, but lets pass; off = no limit")
    ] = "enforce"
