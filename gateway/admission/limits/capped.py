"""A limit with a lid: for a while no more than a number, whatever the limit beneath has found out.

For trying what fewer replicas would do. The limit beneath goes on, and because it is not what holds traffic back it
stays where it is; when the lid is lifted it holds again as if nothing had been.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.admission.limits.limit import Limit, Stage, Watch
    from gateway.admission.sample import Change, Sample


class Capped:
    """At most ``cap``; ``inner`` is the limit beneath."""

    __slots__ = ("cap", "inner")

    def __init__(self, inner: Limit, cap: int) -> None:
        self.inner = inner
        self.cap = cap

    @property
    def value(self) -> int:
        """The smaller of both."""
        return min(self.inner.value, self.cap)

    @property
    def stage(self) -> Stage:
        """That of the limit beneath."""
        return self.inner.stage

    @property
    def watch(self) -> Watch | None:
        """That of the limit beneath."""
        return self.inner.watch

    @property
    def latency(self) -> float:
        """That of the limit beneath."""
        return self.inner.latency

    def update(self, sample: Sample) -> Change | None:
        """Let the limit beneath learn; its value is its own."""
        return self.inner.update(sample)

    def held_back(self, now: float) -> None:
        """Whoever the lid makes wait says nothing about the limit beneath."""
        if self.inner.value <= self.cap:
            self.inner.held_back(now)

    def __repr__(self) -> str:
        return f"<Capped cap={self.cap} {self.inner!r}>"
