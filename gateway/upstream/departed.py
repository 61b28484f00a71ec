"""Endpoints that left an upstream: they are asked no more, and finish what they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.upstream.endpoint import Endpoint


class Departed:
    """Those that may have something under way still, in ``endpoints``; the others are forgotten."""

    __slots__ = ("endpoints",)

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []

    def add(self, endpoint: Endpoint) -> None:
        """Ask this one no more."""
        endpoint.close()
        self.endpoints.append(endpoint)

    def look(self) -> None:
        """Forget who has finished."""
        if self.endpoints:
            self.endpoints = [one for one in self.endpoints if one.load]

    def under_way(self) -> dict[str, int]:
        """What is under way at each, by its URL; who is not here has nothing."""
        found: dict[str, int] = {}
        for one in self.endpoints:
            if one.load:
                found[one.url] = found.get(one.url, 0) + one.load
        return found
