"""What must hold between the keys by which endpoints are judged and asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.checks.settings import Question
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
    check_question(walk, (*path, "health"), health)
    if upstream.pool is not None:
        ready: Path = (*path, "pool", "ready")
        check_question(walk, ready, upstream.pool.ready)
        if upstream.pool.ready.kind == "tcp" and any("{fd}" in word for word in upstream.pool.command):
            walk.warning((*ready, "kind"), "{fd} takes connections before the process does, so it is ready at once")
    count = len(upstream.endpoints)
    if upstream.hedge.after and count == 1 and upstream.pool is None and walk.is_whole((*path, "endpoints")):
        walk.warning((*path, "hedge"), "a second attempt goes to another endpoint, and there is only one")


def check_question(walk: Walk, path: Path, question: Question | None) -> None:
    """Of a connection nothing is asked, and the Host field has a key of its own."""
    if question is None or not walk.is_whole(path):
        return
    for name in question.headers:
        if name.lower() == "host":
            walk.problem((*path, "headers", name), "expected a field other than Host, which has the key host")
    if question.kind == "http":
        return
    for key in ("path", "host", "headers", "statuses"):
        if getattr(question, key):
            walk.problem(
                (*path, key), 'expected kind = "http" beside it; with "tcp" a connection is all that is asked for'
            )
