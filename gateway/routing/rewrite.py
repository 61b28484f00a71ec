"""What the upstream sees as the path, compiled from a route's ``strip_prefix`` or ``rewrite``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.routing.paths import is_plain, readings
from gateway.routing.patterns import PathPattern

if TYPE_CHECKING:
    from gateway.routing.settings import Match
    from gateway.routing.table import Hit

_STRIP_RULE: Final = 'expected a path without "*" and parameters, such as "/api"'


class PathRewrite:
    """Changes a path; the query and every byte that is not replaced stay as they came.

    Either ``strip`` (a prefix removed where it ends at a slash or at the end of the path) or a template.
    """

    __slots__ = ("_segments", "_strip", "_takes_rest")

    def __init__(self, strip: str, segments: tuple[tuple[str, bool], ...], *, takes_rest: bool) -> None:
        self._strip = strip
        self._segments = segments  # text, and whether it is a parameter's name
        self._takes_rest = takes_rest

    @classmethod
    def compile(cls, route_match: Match, strip_prefix: str | None, rewrite: str | None) -> PathRewrite | None:
        """None when nothing is to be changed; ValueError with the rule that is broken."""
        if strip_prefix is not None and rewrite is not None:
            message = "expected one of strip_prefix and rewrite, not both"
            raise ValueError(message)
        if strip_prefix is not None:
            return cls._compile_strip(strip_prefix)
        return None if rewrite is None else cls._compile_template(PathPattern.parse(route_match.path), rewrite)

    @classmethod
    def _compile_strip(cls, text: str) -> PathRewrite | None:
        pattern = PathPattern.parse(text)
        if pattern.is_prefix or pattern.parameters:
            raise ValueError(_STRIP_RULE)
        prefix = text.rstrip("/")
        return cls(prefix, (), takes_rest=False) if prefix else None

    @classmethod
    def _compile_template(cls, source: PathPattern, text: str) -> PathRewrite:
        template = PathPattern.parse(text)
        known = {name for name, _ in source.parameters}
        names = {index: name for name, index in template.parameters}
        for name in names.values():
            if name not in known:
                message = f"expected only parameters of the route's path; {{{name}}} is not one"
                raise ValueError(message)
        if template.is_prefix and not source.is_prefix:
            message = 'expected a match path that ends in "/*", because the rewrite does'
            raise ValueError(message)
        segments = tuple(
            (names[index], True) if part is None else (part, False) for index, part in enumerate(template.segments)
        )
        return cls("", segments, takes_rest=template.is_prefix)

    def apply(self, path: str, hit: Hit) -> str:
        """The path for the upstream; BadRequest ``bad_target`` when what is left climbs above the root.

        ``path`` may carry its query. A final ``/*`` keeps a missing slash missing: ``/shop`` rewritten by
        ``/v2/*`` is ``/v2`` and ``/shop/`` is ``/v2/``.
        """
        path, mark, query = path.partition("?")
        changed = self._strip_from(path) if self._strip else self._fill(path, hit)
        if not is_plain(changed):
            readings(changed)  # asked only whether it may be sent at all
        return changed + mark + query

    def stripped(self, path: str) -> str:
        """The prefix that :meth:`apply` takes from this path, which carries no query; empty when it takes none."""
        prefix = self._strip
        return prefix if prefix and (path == prefix or path.startswith(prefix + "/")) else ""

    def _strip_from(self, path: str) -> str:
        prefix = self._strip
        if path == prefix:
            return "/"
        return path[len(prefix) :] if path.startswith(prefix + "/") else path

    def _fill(self, path: str, hit: Hit) -> str:
        parts = [hit.parameters[text] if is_name else text for text, is_name in self._segments]
        if self._takes_rest and (hit.rest or path.endswith("/")):
            parts.append(hit.rest)
        return "/" + "/".join(parts)
