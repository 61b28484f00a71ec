"""The head of a response as the client gets it: status line, fields, framing (RFC 9112 §6, §9.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.admission.rate_fields import quota_field
from gateway.http.heads import without

if TYPE_CHECKING:
    from gateway.http.heads import RequestHead, ResponseHead
    from gateway.proxy.plane import DataPlane
    from gateway.proxy.rule import RouteRule

_STATUS_LINES: Final[dict[tuple[int, str], bytes]] = {}
_MAX_STATUS_LINES: Final = 512


class Framing(NamedTuple):
    """How the body is delimited, whether the connection goes on after it, and the field lines that say so."""

    lines: bytes
    is_chunked: bool
    is_kept: bool


def status_line(status: int, reason: str) -> bytes:
    """The first line of a response; the usual ones are made once."""
    found = _STATUS_LINES.get((status, reason))
    if found is None:
        found = f"HTTP/1.1 {status} {reason}\r\n".encode("utf-8", "surrogateescape")
        if len(_STATUS_LINES) < _MAX_STATUS_LINES:
            _STATUS_LINES[(status, reason)] = found
    return found


def frame(request: RequestHead, response: ResponseHead, *, may_keep: bool) -> Framing:
    """Frame the response's body for the client that asked; ``may_keep`` is what the connection's state allows."""
    is_kept = may_keep and not request.wants_close
    is_chunked = False
    lines = b""
    if response.length is not None and response.length < 0:
        if request.is_http_10:
            is_kept = False
        else:
            is_chunked = True
            lines = b"Transfer-Encoding: chunked\r\n"
    if not is_kept:
        lines += b"Connection: close\r\n"
    elif request.is_http_10:
        lines += b"Connection: keep-alive\r\n"
    return Framing(lines, is_chunked, is_kept)


def compose(  # noqa: PLR0913, PLR0917 - what a head is made of
    plane: DataPlane, rule: RouteRule, head: ResponseHead, fields: bytes, framing: Framing, quotas: bytes
) -> bytes:
    """The whole head for the client: the upstream's ``fields``, then ours."""
    if rule.response.removed:
        fields = without(fields, rule.response.removed)
    parts = [status_line(head.status, head.reason), fields, rule.via_back]
    if not head.has_date and b"date" not in rule.response.removed:
        parts += (b"Date: ", plane.door.date(), b"\r\n")
    parts.append(framing.lines)
    if rule.response.added:
        parts.append(rule.response.added)
    parts += (without(quotas, rule.response.removed) if quotas and rule.response.removed else quotas, b"\r\n")
    return b"".join(parts)


def quota_lines(rule: RouteRule, keys: list[str] | None, now: float) -> bytes:
    """What the client has left of its quotas; nothing where there are none."""
    if not rule.policy or keys is None or rule.rates is None:
        return b""
    left = quota_field(rule.rates.quotas(keys, now))
    return f"RateLimit-Policy: {rule.policy}\r\nRateLimit: {left}\r\n".encode("ascii")
