"""All routes compiled; finds the most specific one for a request."""

from __future__ import annotations

from collections.abc import Mapping
from sys import maxsize
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from gateway.core.errors import BadRequest
from gateway.routing.conflicts import RouteConflict, describe
from gateway.routing.explanation import Explanation, explain
from gateway.routing.paths import readings
from gateway.routing.patterns import canonical_host
from gateway.routing.rules import Rule
from gateway.routing.trie import Node, matching_leaves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.routing.patterns import HostPattern
    from gateway.routing.selection import Leaf
    from gateway.routing.settings import Match

_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})


class Hit(Struct, frozen=True, gc=False):
    """The route that takes a request, by ``name``, and what its pattern caught of the path."""

    name: str
    parameters: Mapping[str, str]
    path: str
    start: int

    @property
    def rest(self) -> str:
        """What ``/*`` matched, without the leading slash; empty for an exact path."""
        return self.path[self.start :]


class RoutingTable:
    """Routes in the order of their specificity; see the package's docstring.

    Compiled once and never changed: a new configuration is a new table.
    """

    __slots__ = ("_any_host", "_depth", "_exact_hosts", "_rules", "_sole", "_suffix_labels", "_suffixes")

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = rules
        self._any_host = Node()
        self._exact_hosts: dict[str, Node] = {}
        self._suffixes: dict[str, Node] = {}
        self._suffix_labels = 0
        # A path is cut no further than the deepest pattern looks.
        self._depth = max((len(rule.path.segments) for rule in rules), default=0)
        self._sole = _sole_catch_all(rules)
        self._grow()

    @classmethod
    def compile(cls, routes: Mapping[str, Match]) -> RoutingTable:
        """Build the table; ValueError for a bad pattern, RouteConflict with every tie between two routes."""
        return cls([Rule.compile(name, match) for name, match in routes.items()])

    def __repr__(self) -> str:
        return f"<RoutingTable routes={len(self._rules)}>"

    def match(self, host: str, path: str, method: str, headers: Mapping[str, str]) -> Hit:
        """The route for a request, or BadRequest.

        ``host`` is the Host field as received, ``path`` the target's path without its query, ASCII and
        with its percent-encoding untouched, ``headers`` a mapping that ignores the case of names.
        """
        # gateway.routing.paths.is_plain, written out: the call would cost as much as the search.
        if "%" in path or "//" in path or "/." in path or ";" in path or "\\" in path:
            return self._match_every_reading(host, path, method, headers)
        if self._sole is not None and path.startswith("/"):
            return Hit(self._sole, _NO_PARAMETERS, path, 1)
        return self._match_as_written(host, path, method, headers)

    def explain(self, host: str, path: str, method: str, headers: Mapping[str, str]) -> Explanation:
        """Who wins, and why every other route does not."""
        try:
            winner, refusal = self.match(host, path, method, headers).name, None
        except BadRequest as error:
            winner, refusal = None, error
        request = (canonical_host(host), _cut(path), method, headers)
        return explain(self._rules, winner, refusal, *request)

    def _match_as_written(self, host: str, path: str, method: str, headers: Mapping[str, str]) -> Hit:
        rule = self._find(host, path, method, headers)
        if rule is None:
            raise self._refusal(host, path, headers)
        pattern = rule.path
        if not pattern.parameters:
            if not pattern.is_prefix:
                return Hit(rule.name, _NO_PARAMETERS, path, maxsize)
            # every spelling of a literal that can be met as written is as long as the pattern's own
            return Hit(rule.name, _NO_PARAMETERS, path, _start(pattern.segments))
        segments = _cut(path, self._depth)
        parameters = {name: segments[index] for name, index in pattern.parameters}
        start = _start(segments[: len(pattern.segments)]) if pattern.is_prefix else maxsize
        return Hit(rule.name, parameters, path, start)

    def _match_every_reading(self, host: str, path: str, method: str, headers: Mapping[str, str]) -> Hit:
        others = readings(path)
        hit = self._match_as_written(host, path, method, headers)
        if self._sole is None:
            for other in others:
                rule = self._find(host, other, method, headers)
                if rule is None or rule.name != hit.name:
                    raise BadRequest("ambiguous_path")
        return hit

    def _find(self, host: str, path: str, method: str, headers: Mapping[str, str]) -> Rule | None:
        if self._exact_hosts or self._suffixes:
            leaves = self._leaves(host, path)
        else:
            leaves = matching_leaves(self._any_host, _cut(path, self._depth))
        for leaf in leaves:
            rule = leaf.sole or leaf.select(method, headers)
            if rule is not None:
                return rule
        return None

    def _leaves(self, host: str, path: str) -> Iterator[Leaf]:
        """The places whose host and path patterns match, most specific first."""
        segments = _cut(path, self._depth)
        if self._exact_hosts or self._suffixes:
            for node in self._nodes(canonical_host(host)):
                yield from matching_leaves(node, segments)
        yield from matching_leaves(self._any_host, segments)

    def _nodes(self, host: str) -> Iterator[Node]:
        """The tries for a canonical host, most specific first, without the one for any host."""
        if (node := self._exact_hosts.get(host)) is not None:
            yield node
        if self._suffixes:
            # Cut no more labels than the longest suffix has: a host of a thousand dots costs no more.
            labels = host.rsplit(".", self._suffix_labels)
            for index in range(1, len(labels)):
                if (node := self._suffixes.get(".".join(labels[index:]))) is not None:
                    yield node

    def _refusal(self, host: str, path: str, headers: Mapping[str, str]) -> BadRequest:
        methods: set[str] = set()
        for leaf in self._leaves(host, path):
            methods |= leaf.methods(headers)
        if not methods:
            return BadRequest("no_route")
        return BadRequest("method_not_allowed", fields={"Allow": ", ".join(sorted(methods))})

    def _grow(self) -> None:
        grown: dict[tuple[str, str], Leaf] = {}
        for rule in self._rules:
            for host in rule.hosts or (None,):
                leaf = self._trie(host).leaf(rule.path)
                leaf.add(rule)
                grown[(str(host or "any host"), rule.path.shape)] = leaf
        ties = [describe(host, shape, tie) for (host, shape), leaf in grown.items() for tie in leaf.seal()]
        if ties:
            raise RouteConflict(ties)

    def _trie(self, host: HostPattern | None) -> Node:
        if host is None:
            return self._any_host
        if not host.is_wildcard:
            return self._exact_hosts.setdefault(host.name, Node())
        self._suffix_labels = max(self._suffix_labels, host.name.count(".") + 1)
        return self._suffixes.setdefault(host.name, Node())


def _cut(path: str, depth: int = -1) -> list[str]:
    """The segments of a path; ``*`` (RFC 9112 §3.2.4) has none, so that only ``/*`` takes it."""
    if path.startswith("/"):
        return path[1:].split("/", depth)
    if path == "*":
        return []
    raise BadRequest("bad_target", "not an absolute path")


def _start(segments: tuple[str | None, ...] | list[str]) -> int:
    """Where the rest begins after these leading segments and their slashes."""
    return 1 + sum(len(segment or "") + 1 for segment in segments)


def _sole_catch_all(rules: list[Rule]) -> str | None:
    """The route's name when the table is one route that takes everything."""
    if len(rules) != 1:
        return None
    rule = rules[0]
    is_everything = not rule.hosts and not rule.methods and not rule.headers and rule.path.shape == "/*"
    return rule.name if is_everything else None
