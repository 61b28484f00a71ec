"""An upstream: the group of endpoints behind a route, and the choice among them.

The choice is the better of two drawn at random (Mitzenmacher 2001): better is fewer in flight for its
weight. With one endpoint there is no choice, with two both are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.upstream.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from random import Random

    from gateway.http.upstream import Line
    from gateway.upstream.settings import Connections, EndpointSettings


class UpstreamGroup:
    """The endpoints that serve one upstream now."""

    __slots__ = ("_connect_timeout", "_rng", "_settings", "endpoints", "line", "name", "opened_before")

    def __init__(self, name: str, *, line: Line, settings: Connections, connect_timeout: float, rng: Random) -> None:
        self.name = name
        self.line = line
        self.endpoints: list[Endpoint] = []
        self.opened_before = 0
        self._settings = settings
        self._connect_timeout = connect_timeout
        self._rng = rng

    def set_endpoints(self, settings: Iterable[str | EndpointSettings]) -> None:
        """Serve from these endpoints from now on; those that stay keep their connections."""
        present = {endpoint.url: endpoint for endpoint in self.endpoints}
        chosen: dict[str, Endpoint] = {}
        for entry in settings:
            url, weight = (entry, 1.0) if isinstance(entry, str) else (entry.url, entry.weight)
            endpoint = present.pop(url, None) or Endpoint(
                url, weight, line=self.line, settings=self._settings, connect_timeout=self._connect_timeout
            )
            endpoint.weight = weight
            chosen[url] = endpoint
        self.endpoints = list(chosen.values())
        for endpoint in present.values():
            self.opened_before += endpoint.opened
            endpoint.close()

    def pick(self, tried: Collection[Endpoint] = ()) -> Endpoint | None:
        """The endpoint for the next attempt, not one of ``tried``; None when there is none left."""
        candidates = self.endpoints if not tried else [one for one in self.endpoints if one not in tried]
        count = len(candidates)
        if count <= 1:
            return candidates[0] if candidates else None
        if count == 2:  # noqa: PLR2004 - both are drawn
            first, second = candidates
            if self._rng.random() < 0.5:  # noqa: PLR2004 - a tie must not always fall the same way
                first, second = second, first
        else:
            first, second = self._rng.sample(candidates, 2)
        return second if (second.in_flight + 1) / second.weight < (first.in_flight + 1) / first.weight else first

    @property
    def opened(self) -> int:
        """Connections ever made, those of endpoints that left included."""
        return self.opened_before + sum(endpoint.opened for endpoint in self.endpoints)
