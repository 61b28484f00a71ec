"""What a pool must know of the traffic to its processes; the control process knows it."""

from __future__ import annotations

from typing import Protocol


class Traffic(Protocol):
    """What goes to the endpoints of one upstream, over all workers; an endpoint is named by its URL."""

    def in_flight(self, url: str) -> int:
        """How many attempts are under way there, as far as is known."""

    def served(self, url: str) -> int:
        """Complete answers that ever came from there; never falls."""

    async def until_idle(self, url: str) -> None:
        """Wait until it is no endpoint any more and no worker has, or may begin, anything there."""
