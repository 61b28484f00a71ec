"""What counts as a failed call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_SERVER_ERROR: Final = 500
_OF_PAGES: Final = frozenset({501, 505, 506, 507, 508, 510, 511})
"""RFC 9110 §15.6, RFC 4918, RFC 5842 and RFC 6585: said of what was asked for, by a service that is well."""
_CONNECT: Final = frozenset({"connect_refused", "connect_failed", "dns_failed", "tls_failed"})
_BROKEN: Final = frozenset({"upstream_closed", "upstream_incomplete", "upstream_malformed", "upstream_head_too_large"})
_LATE: Final = frozenset({"connect_timeout", "upstream_head_timeout", "upstream_idle_timeout", "request_timeout"})
WITHOUT_CONNECTION: Final = _CONNECT | {"connect_timeout"}
"""Reasons with which no page has anything to do."""


class Failures:
    """Decides by the words of ``breaker.failures``."""

    __slots__ = ("_has_5xx", "_reasons", "_statuses")

    def __init__(self, words: Sequence[str]) -> None:
        self._has_5xx = "5xx" in words
        self._statuses = frozenset(int(word) for word in words if word.isdigit())
        reasons: frozenset[str] = frozenset()
        if "connect" in words:
            reasons |= _CONNECT | _BROKEN
        if "timeout" in words:
            reasons |= _LATE
        self._reasons = reasons

    def count(self, status: int, reason: str) -> bool:
        """Whether a call counts that was broken off for this reason, or without one was answered with this status."""
        if reason:
            return reason in self._reasons
        if status in self._statuses:
            return True
        return self._has_5xx and status >= _SERVER_ERROR and status not in _OF_PAGES
