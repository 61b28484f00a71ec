"""A route compiled: everything that the path needs to know about it, looked up once."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from gateway.routing.rewrite import PathRewrite

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.settings import Route
    from gateway.telemetry.counters import RouteCounters, UpstreamCounters
    from gateway.upstream.group import UpstreamGroup


class FieldEdit:
    """Fields to take away and to put in; ``added`` is ready to be sent. What is put in replaces its namesakes."""

    __slots__ = ("added", "removed")

    def __init__(self, put: Mapping[str, str], remove: tuple[str, ...]) -> None:
        self.removed = frozenset(name.lower().encode("ascii") for name in (*remove, *put))
        self.added = "".join(f"{name}: {value}\r\n" for name, value in put.items()).encode("utf-8")


class RouteRule:
    """One route, ready for use; ``timeout`` is ``inf`` when the whole request has no bound of its own."""

    __slots__ = ("counters", "group", "name", "request", "response", "rewrite", "timeout", "upstream_counters")

    def __init__(
        self,
        name: str,
        route: Route,
        group: UpstreamGroup,
        counters: RouteCounters,
        upstream_counters: UpstreamCounters,
    ) -> None:
        self.name = name
        self.group = group
        self.counters = counters
        self.upstream_counters = upstream_counters
        self.timeout = inf if route.timeout is None else float(route.timeout)
        self.rewrite = PathRewrite.compile(route.match, route.strip_prefix, route.rewrite)
        self.request = FieldEdit(route.set_headers, route.remove_headers)
        self.response = FieldEdit(route.set_response_headers, route.remove_response_headers)
