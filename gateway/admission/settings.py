"""What the operator may say about who waits, and for how long."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.core.units import Seconds, Size

Mode = Literal["enforce", "shadow", "off"]


class QueueSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Requests that wait for the upstream: how many, how many bytes of them, how long, and who shares fairly."""

    max_length: Annotated[int, Meta(ge=0, le=1_000_000, description="requests that may wait; 0 = none")] = 500
    max_bytes: Annotated[Size, Meta(description="bytes of bodies held while waiting")] = Size(64 * 1024 * 1024)
    max_wait: Annotated[Seconds, Meta(description="the longest wait of any request")] = Seconds(1)
    fairness_key: Annotated[
        str | None,
        Meta(
            description="who shares fairly: client_ip, header:NAME, cookie:NAME, path:NAME or route; none = all alike",
            extra={"format": "rate_key"},
            examples=["header:x-tenant"],
        ),
    ] = None
    mode: Annotated[
        Mode,
        Meta(
            description="shadow counts whom it would refuse and lets them wait on, behind all others; off = no waiting"
        ),
    ] = "enforce"
