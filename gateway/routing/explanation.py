"""Why a request goes where it goes.

It asks every rule by itself, without the tries, so it is also a second opinion on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.core.errors import BadRequest
    from gateway.routing.rules import Rule


class Explanation(NamedTuple):
    """``winner`` is a route's name, or None with a ``refusal``; ``losers`` are names with the reason in words."""

    winner: str | None
    refusal: BadRequest | None
    losers: tuple[tuple[str, str], ...]


def explain(  # noqa: PLR0913, PLR0917 - the request is four things
    rules: Sequence[Rule],
    winner: str | None,
    refusal: BadRequest | None,
    host: str,
    segments: list[str],
    method: str,
    headers: Mapping[str, str],
) -> Explanation:
    """Say for every rule but the winner why it lost, for a canonical host and a path cut at its slashes."""
    best = next((rule for rule in rules if rule.name == winner), None)
    losers = tuple(
        (rule.name, _mismatch(rule, host, segments, method, headers) or _outranked(rule, best, host, method))
        for rule in rules
        if rule is not best
    )
    return Explanation(winner, refusal, losers)


def _mismatch(rule: Rule, host: str, segments: list[str], method: str, headers: Mapping[str, str]) -> str:
    """Why a rule does not match at all; empty when it does."""
    if rule.host_rank(host) is None:
        return "host differs"
    if not rule.path.matches(segments):
        return "path differs"
    if rule.method_rank(method) is None:
        return f"method {method} not in {', '.join(sorted(rule.methods))}"
    differing = rule.differing_header(headers)
    return "" if differing is None else f"header {differing[0]} is not {differing[1]!r}"


def _outranked(rule: Rule, best: Rule | None, host: str, method: str) -> str:
    """Why a rule that matches is not the winner."""
    if best is None:
        return "matches as written, but the request is refused"
    if rule.host_rank(host) != best.host_rank(host):
        return f"less specific host than {best.name}"
    if rule.path_rank != best.path_rank:
        return f"less specific path than {best.name}"
    if rule.method_rank(method) != best.method_rank(method):
        return f"less specific method than {best.name}"
    return f"fewer headers than {best.name}"
