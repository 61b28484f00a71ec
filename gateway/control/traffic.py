"""What goes to the endpoints of one upstream, added up over all workers (pure, but for those who wait)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.telemetry.snapshot import ResilienceSnapshot


class EndpointTraffic:
    """Knows when an endpoint that left is idle everywhere, how much is in flight at each and how much each has served.

    Orders about endpoints are numbered, and a worker says in each snapshot the newest that it has obeyed. So a
    snapshot that is older than the order by which an endpoint left says nothing about it, and a worker that has said
    nothing yet may have asked it. Who has no process asks nobody.
    """

    def __init__(self) -> None:
        self._present: frozenset[str] = frozenset()
        self._left: dict[str, int] = {}
        self._said: Mapping[int, ResilienceSnapshot | None] = {}
        self._counted: dict[tuple[int, str], int] = {}
        self._served: dict[str, int] = {}
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        """Say how many endpoints are present and how many are leaving."""
        return f"<EndpointTraffic present={len(self._present)} leaving={len(self._left)}>"

    def ordered(self, order: int, urls: Iterable[str]) -> None:
        """All workers are told now that these are the endpoints, by the order with this number."""
        present = frozenset(urls)
        for url in self._present - present:
            self._left[url] = order
        for url in present:
            self._left.pop(url, None)
        self._present = present
        self._settle()

    def heard(self, workers: Mapping[int, ResilienceSnapshot | None]) -> None:
        """Take what every worker that has a process said last; None when it has said nothing yet."""
        self._said = workers
        counted: dict[tuple[int, str], int] = {}
        for number, said in workers.items():
            for url, endpoint in () if said is None else said.endpoints.items():
                key = number, url
                # A count that fell began anew, with a new worker or because the endpoint had left and came back.
                before = self._counted.get(key, 0)
                counted[key] = now = endpoint.served
                self._served[url] = self._served.get(url, 0) + (now - before if now >= before else now)
        self._counted = counted
        self._settle()

    def in_flight(self, url: str) -> int:
        """How many attempts were under way there when the workers last spoke."""
        found = 0
        for said in self._said.values():
            if said is not None:
                endpoint = said.endpoints.get(url)
                found += said.departing.get(url, 0) + (0 if endpoint is None else endpoint.in_flight)
        return found

    def served(self, url: str) -> int:
        """Complete answers that ever came from this address."""
        return self._served.get(url, 0)

    def is_idle(self, url: str) -> bool:
        """Whether the endpoint has left, and no worker has anything there or can begin anything."""
        return url not in self._present and url not in self._left

    async def until_idle(self, url: str) -> None:
        """Wait until the endpoint has left and is idle in every worker."""
        while not self.is_idle(url):
            await self._news.wait()

    def _settle(self) -> None:
        """Forget endpoints that left and are idle, and wake those who wait."""
        said = self._said.values()
        for url in [
            url
            for url, order in self._left.items()
            if all(one is not None and one.order >= order and not one.departing.get(url) for one in said)
        ]:
            del self._left[url]
        self._news.set()
        self._news = asyncio.Event()
