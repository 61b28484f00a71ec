"""Where a key belongs that stands in the wrong table, or that another proxy calls by another name."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from msgspec import inspect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.config.shown import Path

_UPSTREAM: Final = "upstreams.NAME"
_ROUTE: Final = "routes.NAME"

# (table, key as it is written) -> the key that does it; "*" is any table.
_NAMES: Final[Mapping[tuple[str, str], str]] = {
    (_ROUTE, "backend"): "upstream",
    (_ROUTE, "proxy_pass"): "upstream",
    (_ROUTE, "service"): "upstream",
    (_ROUTE, "target"): "upstream",
    (_ROUTE, "url"): "upstream, the name of a table [upstreams.NAME] that has the endpoints",
    (_ROUTE, "endpoints"): "upstream, the name of a table [upstreams.NAME] that has them",
    (_ROUTE, "host"): "match.hosts",
    (_ROUTE, "method"): "match.methods",
    (_ROUTE, "prefix"): 'match.path, such as "/api/*"',
    (_ROUTE, "path_prefix"): 'match.path, such as "/api/*"',
    (_ROUTE, "priority"): "class",
    (_ROUTE, "max_body_size"): "limits.body",
    (_ROUTE, "body_limit"): "limits.body",
    (_ROUTE, "rate_limit"): "rate_limits, an array of tables",
    (_ROUTE, "ratelimit"): "rate_limits, an array of tables",
    (_UPSTREAM, "url"): "endpoints, an array",
    (_UPSTREAM, "urls"): "endpoints",
    (_UPSTREAM, "host"): "endpoints",
    (_UPSTREAM, "hosts"): "endpoints",
    (_UPSTREAM, "server"): "endpoints",
    (_UPSTREAM, "servers"): "endpoints",
    (_UPSTREAM, "targets"): "endpoints",
    (_UPSTREAM, "backends"): "endpoints",
    (_UPSTREAM, "command"): "pool.command",
    (_UPSTREAM, "processes"): "pool.min and pool.max",
    (_UPSTREAM, "workers"): "pool.min and pool.max",
    (_UPSTREAM, "algorithm"): "balance",
    (_UPSTREAM, "lb"): "balance",
    (_UPSTREAM, "load_balancing"): "balance",
    (_UPSTREAM, "circuit_breaker"): "breaker",
    (_UPSTREAM, "concurrency"): "limit.max",
    (_UPSTREAM, "max_concurrency"): "limit.max",
    (_UPSTREAM, "max_in_flight"): "limit.max",
    (_UPSTREAM, "max_connections"): "limit.max",
    (_UPSTREAM, "health_check"): "health",
    (_UPSTREAM, "healthcheck"): "health",
    (_UPSTREAM, "timeout"): 'timeouts.head, or timeout of a route ("routes.NAME.timeout") for the whole request',
    (_UPSTREAM, "rate_limits"): "rate_limits of a route",
    ("*", "retries"): "upstreams.NAME.retry.attempts, which counts the first try too",
    ("*", "max_retries"): "upstreams.NAME.retry.attempts, which counts the first try too",
    ("gateway", "address"): "listen",
    ("gateway", "bind"): "listen",
    ("gateway", "host"): "listen",
    ("gateway", "port"): 'listen, such as ["0.0.0.0:8080"]',
    ("gateway", "max_body_size"): "limits.body",
    ("gateway", "client_max_body_size"): "limits.body",
    ("gateway", "trusted_proxies"): "client_ip.trusted_proxies",
    ("gateway", "ssl"): "tls",
    ("gateway.tls", "cert"): "certificate",
    ("gateway.tls", "cert_file"): "certificate",
    ("gateway.tls", "key_file"): "key",
    ("log", "level"): "access, which says which requests get a line",
    ("", "server"): "gateway",
    ("", "listen"): "gateway.listen",
    ("", "route"): "routes, tables [routes.NAME]",
    ("", "upstream"): "upstreams, tables [upstreams.NAME]",
    ("", "backends"): "upstreams, tables [upstreams.NAME]",
    ("", "services"): "upstreams, tables [upstreams.NAME]",
    ("", "logging"): "log",
    ("", "tls"): "gateway.tls",
}


def other_name(path: Path) -> str:
    """The key that does what other proxies have the name at this path for; empty when there is none."""
    key = str(path[-1]).lower()
    return _NAMES.get((_named(path[:-1]), key)) or _NAMES.get(("*", key), "")


def other_table(path: Path, root: type) -> str:
    """The keys of the name at this path in other tables; empty when there are none.

    ``root`` is the class of the whole settings.
    """
    table = _named(path[:-1])
    key = str(path[-1])
    tables = [each for each in _tables(root).get(key, ()) if each != table]
    # below this table first, then wherever else it is
    own = [each.removeprefix(f"{table}.") for each in tables if each.startswith(f"{table}.") and table]
    return " or ".join(f"{each}.{key}" if each else key for each in (own or tables)[:3])


def _named(path: Path) -> str:
    """The table at a path with NAME for names that the operator gives."""
    parts = [str(part) for part in path if not isinstance(part, int)]
    if len(parts) > 1 and parts[0] in {"upstreams", "routes", "classes"}:
        parts[1] = "NAME"
    return ".".join(parts)


@cache
def _tables(root: type) -> dict[str, list[str]]:
    """The tables that have a key, by the key."""
    found: dict[str, list[str]] = {}
    for table, key in _keys(inspect.type_info(root), ""):
        tables = found.setdefault(key, [])
        if table not in tables:
            tables.append(table)
    return found


def _keys(kind: inspect.Type, path: str) -> Iterator[tuple[str, str]]:
    match kind:
        case inspect.Metadata():
            yield from _keys(kind.type, path)
        case inspect.UnionType():
            for each in kind.types:
                yield from _keys(each, path)
        case inspect.DictType():
            yield from _keys(kind.value_type, f"{path}.NAME")
        case inspect.VarTupleType():
            yield from _keys(kind.item_type, path)
        case inspect.StructType():
            for field in kind.fields:
                yield path, field.encode_name
                yield from _keys(field.type, f"{path}.{field.encode_name}".removeprefix("."))
