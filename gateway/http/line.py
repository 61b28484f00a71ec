"""What all connections to one upstream share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.http.codec import ResponseHeads
from gateway.http.recent import Recent

if TYPE_CHECKING:
    import asyncio

    from gateway.core.clock import Clock
    from gateway.core.deadlines import DeadlineWheel
    from gateway.http.heads import ResponseHead


class ByteCounts(Protocol):
    """Where a connection counts what passes it."""

    upstream_in: int
    upstream_out: int
    upstream_opened: int


class Times(Protocol):
    """How long an endpoint may take, in seconds: to begin its answer, between two pieces of it, and in a tunnel."""

    @property
    def head_timeout(self) -> float:
        """To begin its answer once it has the whole request."""

    @property
    def idle_timeout(self) -> float:
        """Between two pieces of its answer."""

    @property
    def tunnel_timeout(self) -> float:
        """Between two pieces in a tunnel."""


class Line:
    """What all connections to one upstream share: timeouts, the head parser, the wheel."""

    __slots__ = (
        "clock",
        "counts",
        "head_timeout",
        "heads",
        "idle_timeout",
        "loop",
        "recent",
        "tunnel_timeout",
        "wheel",
    )

    def __init__(  # noqa: PLR0913 - one place where they meet
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        wheel: DeadlineWheel,
        counts: ByteCounts,
        head_limit: int,
        head_timeout: float,
        idle_timeout: float,
        tunnel_timeout: float,
    ) -> None:
        self.loop = loop
        self.clock = clock
        self.wheel = wheel
        self.counts = counts
        self.heads = ResponseHeads(loop, limit=head_limit)
        self.recent: Recent[ResponseHead] = Recent()
        self.head_timeout = head_timeout
        self.idle_timeout = idle_timeout
        self.tunnel_timeout = tunnel_timeout
