"""Ties between routes, said so that somebody can repair the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.routing.selection import Tie


class Conflict(NamedTuple):
    """Two routes by name and a request, in words, that both match with the same rank."""

    first: str
    second: str
    request: str


class RouteConflict(ValueError):
    """Some routes tie; ``conflicts`` has one entry for each pair."""

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        pairs = {(tie.first, tie.second): tie for tie in reversed(conflicts)}
        self.conflicts = tuple(sorted(pairs.values()))
        super().__init__("; ".join(f"{tie.first} and {tie.second} both match {tie.request}" for tie in self.conflicts))


def describe(host: str, shape: str, tie: Tie) -> Conflict:
    """A tie on one host and path as text; the names in the order of the alphabet."""
    words = [tie.method or "any method", f"{host}{shape}" if host != "any host" else f"{shape} on any host"]
    if tie.headers:
        words.append("with " + ", ".join(f"{name}: {value}" for name, value in sorted(tie.headers.items())))
    first, second = sorted((tie.first.name, tie.second.name))
    return Conflict(first, second, " ".join(words))
