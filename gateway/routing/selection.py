"""Where path patterns end: which of the rules there takes a method and header fields."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.routing.rules import Rule


class Group(NamedTuple):
    """Rules with conditions on the same header names, found by the values asked for."""

    names: tuple[str, ...]
    rules: dict[tuple[str | None, ...], Rule]


class Tie(NamedTuple):
    """Two rules of which neither is more specific, and one method with the header values that both take."""

    first: Rule
    second: Rule
    method: str | None
    headers: dict[str, str]


class Leaf:
    """The rules whose pattern ends at one place of one trie, ready to select from."""

    __slots__ = ("_by_method", "_every_method", "_rules", "sole")

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._by_method: dict[str, tuple[Group, ...]] = {}
        self._every_method: tuple[Group, ...] = ()
        self.sole: Rule | None = None

    def add(self, rule: Rule) -> None:
        """Put one more rule here; :meth:`seal` must follow."""
        self._rules.append(rule)

    def seal(self) -> Iterator[Tie]:
        """Build the dictionaries and report every tie."""
        methods = sorted({method for rule in self._rules for method in rule.methods})
        self._every_method, ties = _group([rule for rule in self._rules if not rule.methods], None)
        yield from ties
        named: dict[str, tuple[Group, ...]] = {}
        for method in methods:
            named[method], ties = _group([rule for rule in self._rules if method in rule.methods], method)
            yield from ties
        if "GET" in named:
            named["HEAD"] = (*named.get("HEAD", ()), *named["GET"])
        self._by_method = {method: (*groups, *self._every_method) for method, groups in named.items()}
        if len(self._rules) == 1 and not self._rules[0].methods and not self._rules[0].headers:
            self.sole = self._rules[0]

    def select(self, method: str, headers: Mapping[str, str]) -> Rule | None:
        """The most specific rule here that takes this request."""
        for names, rules in self._by_method.get(method, self._every_method):
            rule = rules.get(tuple([headers.get(name) for name in names]) if names else ())
            if rule is not None:
                return rule
        return None

    def methods(self, headers: Mapping[str, str]) -> set[str]:
        """The methods that some rule here would take with these header fields."""
        return {method for method in self._by_method if self.select(method, headers) is not None}


def _group(rules: list[Rule], method: str | None) -> tuple[tuple[Group, ...], list[Tie]]:
    """Rules by their header names, most names first; with the ties among them."""
    groups: dict[tuple[str, ...], Group] = {}
    ties = []
    for rule in rules:
        names = tuple(name for name, _ in rule.headers)
        values = tuple(value for _, value in rule.headers)
        found = groups.setdefault(names, Group(names, {})).rules
        if values in found:
            ties.append(Tie(found[values], rule, method, dict(rule.headers)))
        else:
            found[values] = rule
    ordered = sorted(groups.values(), key=lambda group: (-len(group.names), group.names))
    for first, second in combinations(ordered, 2):
        if len(first.names) == len(second.names):
            ties.extend(_compatible(first, second, method))
    return tuple(ordered), ties


def _compatible(first: Group, second: Group, method: str | None) -> Iterator[Tie]:
    """Pairs with as many conditions on other names that one request can fulfil together."""
    shared = sorted(set(first.names) & set(second.names))
    by_shared: dict[tuple[str, ...], list[Rule]] = {}
    for rule in first.rules.values():
        wanted = dict(rule.headers)
        by_shared.setdefault(tuple(wanted[name] for name in shared), []).append(rule)
    for rule in second.rules.values():
        wanted = dict(rule.headers)
        for other in by_shared.get(tuple(wanted[name] for name in shared), ()):
            yield Tie(other, rule, method, dict(other.headers) | wanted)
