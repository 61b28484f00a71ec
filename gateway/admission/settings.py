"""What the operator may say about who waits, and for how long."""

from __future__ import annotations

from math import inf
from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.core.units import AutoSeconds, Size

Mode = Literal["enforce", "shadow", "off"]


class QueueSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Requests that wait for the upstream: how many, how many bytes of them, how long, and who shares fairly."""

    max_length: Annotated[int, Meta(ge=0, le=1_000_000, description="requests that may wait; 0 = none")] = 10_000
    max_bytes: Annotated[Size, Meta(description="bytes of bodies held while waiting")] = Size(64 * 1024 * 1024)
    max_wait: Annotated[
        AutoSeconds,
        Meta(description="the longest wait of any request; auto = in proportion to what the upstream takes"),
    ] = AutoSeconds(inf)
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

    @property
    def longest_wait(self) -> float | None:
        """``max_wait`` in seconds; None when it follows the upstream."""
        return None if self.max_wait.is_auto else float(self.max_wait)
