"""What the end of a request says about its upstream."""

from __future__ import annotations

from typing import Final

from gateway.core.outcome import Outcome

_SERVER_ERROR: Final = 500
# Whatever is not here was the client's doing or ours, and says nothing.
_BROKEN_OFF: Final = {
    "connect_refused": Outcome.FAILURE,
    "connect_failed": Outcome.FAILURE,
    "dns_failed": Outcome.FAILURE,
    "connect_timeout": Outcome.TIMEOUT,
    "tls_failed": Outcome.FAILURE,
    "upstream_closed": Outcome.FAILURE,
    "upstream_status": Outcome.FAILURE,
    "upstream_malformed": Outcome.FAILURE,
    "upstream_head_too_large": Outcome.FAILURE,
    "upstream_incomplete": Outcome.FAILURE,
    "upstream_head_timeout": Outcome.TIMEOUT,
    "upstream_idle_timeout": Outcome.TIMEOUT,
    "request_timeout": Outcome.TIMEOUT,
}


def outcome_of(status: int, reason: str) -> Outcome:
    """The outcome of a request that ended with this status, or was broken off for this reason."""
    if reason:
        return _BROKEN_OFF.get(reason, Outcome.NEUTRAL)
    return Outcome.SUCCESS if status < _SERVER_ERROR else Outcome.FAILURE


_UNAVAILABLE: Final = 503
# It took no connection, or not soon enough: more of it would have helped. A hang or a fault may have any cause.
_STARVED: Final = frozenset({"connect_timeout", "request_timeout"})


def is_for_want_of_capacity(status: int, reason: str) -> bool:
    """Whether a request that failed would have been served by more replicas, as far as its end tells."""
    return reason in _STARVED or (not reason and status == _UNAVAILABLE)
