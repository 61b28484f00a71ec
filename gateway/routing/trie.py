"""A trie of path segments that yields the matching places from the most to the least specific."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.routing.patterns import spellings
from gateway.routing.selection import Leaf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.routing.patterns import PathPattern


class Node:
    """One segment of some patterns: its continuations, and the leaves where patterns end."""

    __slots__ = ("exact", "literals", "parameter", "prefix")

    def __init__(self) -> None:
        self.literals: dict[str, Node] = {}
        self.parameter: Node | None = None
        self.exact: Leaf | None = None
        self.prefix: Leaf | None = None

    def leaf(self, pattern: PathPattern) -> Leaf:
        """The leaf where a pattern ends, made when it is not there yet."""
        node = self
        for segment in pattern.segments:
            node = node._child(segment)
        if pattern.is_prefix:
            node.prefix = node.prefix or Leaf()
            return node.prefix
        node.exact = node.exact or Leaf()
        return node.exact

    def _child(self, segment: str | None) -> Node:
        if segment is None:
            self.parameter = self.parameter or Node()
            return self.parameter
        known = spellings(segment)
        child = next((self.literals[text] for text in known if text in self.literals), None) or Node()
        for text in known:
            self.literals[text] = child
        return child


def matching_leaves(root: Node, segments: list[str]) -> Iterator[Leaf]:
    """Every leaf whose pattern takes these segments, most specific first.

    Depth first with the alternatives kept on a stack: at each node the literal child is followed at
    once, then the parameter, then the node's own prefix. A parameter takes one segment that is not
    empty. The last entry of ``segments`` may be several segments uncut, when it is deeper than the trie.
    """
    last = len(segments)
    node: Node | None = root
    depth = 0
    waiting: list[tuple[Node, int] | Leaf] = []
    while True:
        while node is not None:
            if node.prefix is not None:
                waiting.append(node.prefix)
            if depth == last:
                if node.exact is not None:
                    yield node.exact
                break
            segment = segments[depth]
            depth += 1
            if node.parameter is not None and segment:
                waiting.append((node.parameter, depth))
            node = node.literals.get(segment)
        if not waiting:
            return
        following = waiting.pop()
        if isinstance(following, Leaf):
            yield following
            node = None
        else:
            node, depth = following
