"""Whether those who wait may wait on: the length of the queue as it would be if nobody had been turned away (pure)."""

from __future__ import annotations

from typing import Final

from gateway.admission.limits.limit import Stage

ENDURED: Final = 100
"""Requests that may wait before a proven limit without the queue losing patience: a crowd, no overload."""
_CALM: Final = ENDURED // 4
_MOST: Final = 3 * ENDURED


class Patience:
    """A virtual backlog: one more for each request that comes to wait, one less for each that ends.

    A request that is shed counts on, so a queue that has lost patience does not find it again by shedding. Clients that
    wait for their answers before they ask again are a backlog no longer than they are many.
    """

    __slots__ = ("_is_lost", "backlog")

    def __init__(self) -> None:
        self.backlog = 0
        self._is_lost = False

    def wait(self) -> None:
        """A request comes to wait."""
        if self.backlog < _MOST:
            self.backlog += 1
            if self.backlog > ENDURED:
                self._is_lost = True

    def end(self) -> None:
        """A request has ended; to be called while there is a backlog."""
        self.backlog -= 1
        if self.backlog < _CALM:
            self._is_lost = False

    def is_kept(self, stage: Stage) -> bool:
        """Whether it holds; always while nothing is proven."""
        return not self._is_lost or stage is not Stage.PROVEN

    def __repr__(self) -> str:
        return f"<Patience backlog={self.backlog} lost={self._is_lost}>"


def longest_wait(stage: Stage, latency: float) -> float:
    """How long anybody may wait, in seconds, at this usual latency: nobody is shed while nothing is known."""
    if stage is Stage.OPEN:
        return float("inf")
    return max(1.0, (4.0 if stage is Stage.CLOSING else 2.0) * latency)
