"""What must hold between the keys by which endpoints are judged and asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config.settings import Upstream
    from gateway.config.shown import Path
    from gateway.config.walk import Walk


def check_judged(walk: Walk, path: Path, upstream: Upstream) -> None:
    """Add what cannot hold in breaker, outlier, retry, hedge, health and dns of one upstream."""
    breaker, outlier, backoff = upstream.breaker, upstream.outlier, upstream.retry.backoff
    for table, keys, low, high in (
        ("breaker", "open_for <= max_open_for", breaker.open_for, breaker.max_open_for),
        ("outlier", "ejected_for <= max_ejected_for", outlier.ejected_for, outlier.max_ejected_for),
        ("retry", "backoff.base <= backoff.max", backoff.base, backoff.max),
        ("dns", "min_ttl <= max_ttl", upstream.dns.min_ttl, upstream.dns.max_ttl),
    ):
        if walk.is_whole((*path, table)) and low > high:
            walk.problem((*path, table), f"expected {keys}; got {low}, {high}")
    health = upstream.health
    if health is not None and walk.is_whole((*path, "health")) and health.fast_interval > health.interval:
        rule = f"expected fast_interval <= interval; got {health.fast_interval}, {health.interval}"
        walk.problem((*path, "health"), rule)
    count = len(upstream.endpoints)
    if upstream.hedge.after and count == 1 and upstream.pool is None and walk.is_whole((*path, "endpoints")):
        walk.warning((*path, "hedge"), "a second attempt goes to another endpoint, and there is only one")
