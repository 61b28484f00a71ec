"""Defaults that move to the bounds beside them, so that no bound breaks a rule with a key that was not written.

In a chain such as ``min <= initial <= max`` the written keys stand. Each other key keeps its default if that lies
between the written ones, and becomes the nearer of them if it does not. Written keys that contradict each other stay
as they are, for the check to report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.settings import Settings, Upstream

# Tables of an upstream, and keys in ascending order of their values.
_CHAINS: Final = (
    (("limit",), ("min", "initial", "max")),
    (("breaker",), ("open_for", "max_open_for")),
    (("outlier",), ("ejected_for", "max_ejected_for")),
    (("retry", "backoff"), ("base", "max")),
    (("health",), ("fast_interval", "interval")),
    (("dns",), ("min_ttl", "max_ttl")),
    (("scaling",), ("min", "pin", "max")),
    (("scaling",), ("min", "fallback", "max")),
    (("scaling",), ("hold", "max_hold")),
)


def with_moved_defaults(settings: Settings, written: Mapping[str, Any]) -> Settings:
    """The settings with every default between the bounds of ``written``, the document as data."""
    upstreams = dict(settings.upstreams)
    for name, upstream in settings.upstreams.items():
        document = _table(_table(written, "upstreams"), name)
        found = _with_common_bounds(upstream, document)
        for path, keys in _CHAINS:
            found = _moved(found, document, path, keys)
        upstreams[name] = found
    return replace(settings, upstreams=upstreams)


def _with_common_bounds(upstream: Upstream, written: Mapping[str, Any]) -> Upstream:
    """A pool and its scaling table have one pair of bounds, where only one of them has it written."""
    pool, scaling = upstream.pool, upstream.scaling
    if pool is None or scaling is None:
        return upstream
    in_pool, in_scaling = _table(written, "pool"), _table(written, "scaling")
    if "max" in in_scaling and "max" not in in_pool:
        pool = replace(pool, max=max(scaling.max, pool.min))
    if "min" in in_scaling and "min" not in in_pool:
        pool = replace(pool, min=scaling.min)
    if "max" not in in_scaling:
        scaling = replace(scaling, max=max(pool.most, pool.min, 1))
    if "min" not in in_scaling:
        scaling = replace(scaling, min=pool.min)
    return replace(upstream, pool=pool, scaling=scaling)


def _moved(table: Any, written: Mapping[str, Any], path: tuple[str, ...], keys: tuple[str, ...]) -> Any:  # noqa: ANN401 - settings of any room
    """The same table with the keys at ``path`` below it in order."""
    if table is None:
        return None
    if path:
        below = _moved(getattr(table, path[0]), _table(written, path[0]), path[1:], keys)
        return replace(table, **{path[0]: below})
    values = {key: getattr(table, key) for key in keys if getattr(table, key) is not None}
    changed = {}
    for key, value in values.items():
        if key in written:
            continue
        at = keys.index(key)
        low = max((values[other] for other in keys[:at] if other in values and other in written), default=value)
        high = min((values[other] for other in keys[at + 1 :] if other in values and other in written), default=value)
        changed[key] = high if value > high else max(value, low)
    return replace(table, **changed) if changed else table


def _table(written: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = written.get(key)
    return found if isinstance(found, dict) else {}
