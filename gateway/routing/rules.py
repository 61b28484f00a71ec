"""A route's match, compiled; and the rank by which two matching rules are told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.routing.patterns import HostPattern, PathPattern

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.routing.settings import Match


class Rule(NamedTuple):
    """What a route matches. ``hosts`` empty: any host; ``methods`` empty: every method; header names in lower case."""

    name: str
    hosts: tuple[HostPattern, ...]
    path: PathPattern
    methods: frozenset[str]
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def compile(cls, name: str, match: Match) -> Rule:
        """Parse the patterns of a match; ValueError with the rule that is broken."""
        headers = {key.lower(): value for key, value in match.headers.items()}
        if len(headers) != len(match.headers):
            message = "expected every header field once; names differ only in case"
            raise ValueError(message)
        return cls(
            name,
            tuple(dict.fromkeys(HostPattern.parse(host) for host in match.hosts)),
            PathPattern.parse(match.path),
            frozenset(match.methods),
            tuple(sorted(headers.items())),
        )

    def host_rank(self, host: str) -> tuple[int, int] | None:
        """How specific this rule's best host pattern is for a canonical host; None when none matches."""
        if not self.hosts:
            return (0, 0)
        ranks = [
            (1, pattern.name.count(".")) if pattern.is_wildcard else (2, 0)
            for pattern in self.hosts
            if pattern.matches(host)
        ]
        return max(ranks, default=None)

    @property
    def path_rank(self) -> tuple[int, ...]:
        """Segment by segment: literal 3, parameter 2; then the end: exact 1, prefix 0."""
        return (*(2 if part is None else 3 for part in self.path.segments), 0 if self.path.is_prefix else 1)

    def method_rank(self, method: str) -> int | None:
        """Named 2, GET standing in for HEAD 1, every method 0; None when the method is not taken."""
        if not self.methods:
            return 0
        if method in self.methods:
            return 2
        return 1 if method == "HEAD" and "GET" in self.methods else None

    def differing_header(self, headers: Mapping[str, str]) -> tuple[str, str] | None:
        """The first header condition that does not hold, or None."""
        return next(((name, value) for name, value in self.headers if headers.get(name) != value), None)
