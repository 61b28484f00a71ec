"""A limit that somebody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from gateway.admission.limits.limit import Stage

if TYPE_CHECKING:
    from gateway.admission.sample import Sample


class Fixed:
    """Stays where it was set."""

    __slots__ = ("value",)

    stage: ClassVar[Stage] = Stage.PROVEN
    watch: ClassVar[None] = None
    latency: ClassVar[float] = 0.0

    def __init__(self, limit: int) -> None:
        self.value = limit

    def update(self, sample: Sample) -> None:
        """Learn nothing."""

    def held_back(self, now: float) -> None:
        """Learn nothing."""

    def __repr__(self) -> str:
        return f"<Fixed limit={self.value}>"
