"""Requests that go no further: Max-Forwards has run out (RFC 9110 §7.6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.http.heads import RequestHead

# RFC 9110 §9.3.8: fields that may hold secrets are not reflected.
_SECRET: Final = frozenset({b"authorization", b"cookie", b"proxy-authorization"})


def answer_locally(head: RequestHead) -> bytes:
    """The final response to TRACE or OPTIONS with ``Max-Forwards: 0``."""
    connection = b"Connection: close\r\n" if head.wants_close else b""
    if head.method == "OPTIONS":
        return (
            b"HTTP/1.1 200 OK\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE\r\n"
            b"Content-Length: 0\r\n%b\r\n" % connection
        )
    fields = b"".join(b"%b: %b\r\n" % (name, value) for name, value in head.raw_headers if name.lower() not in _SECRET)
    body = b"TRACE %b HTTP/1.1\r\n%b\r\n" % (head.target.encode("ascii"), fields)
    return b"HTTP/1.1 200 OK\r\nContent-Type: message/http\r\nContent-Length: %d\r\n%b\r\n%b" % (
        len(body),
        connection,
        body,
    )
