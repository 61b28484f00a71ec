"""What a refusal looks like on the wire: problem+json (RFC 9457) and Proxy-Status (RFC 9209)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from gateway.core.errors import GatewayError

_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    417: "Expectation Failed",
}
_encode = msgspec.json.Encoder().encode


def render(  # noqa: PLR0913 - each is one part of the message
    error: GatewayError, *, request_id: bytes, pseudonym: str, date: bytes, connection: bytes, has_body: bool = True
) -> bytes:
    """The whole response to a refusal; ``connection`` is a complete field line or empty.

    Nothing that the client sent is echoed, so the body is as safe as our own words.
    """
    body = _encode(
        {
            "title": error.title,
            "status": error.status,
            "reason": error.reason,
            "detail": error.detail,
            **error.facts,
            "request_id": request_id.decode("ascii"),
        }
    )
    extra = "".join(f"{name}: {value}\r\n" for name, value in error.fields.items())
    head = (
        f"HTTP/1.1 {error.status} {_PHRASES.get(error.status, 'Error')}\r\n"
        f"Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Cache-Control: no-store\r\n"
        f'Proxy-Status: {pseudonym}; error={error.proxy_error}; details="{error.reason}"\r\n'
        f"{extra}"
    ).encode("ascii")
    return b"".join(
        (
            head,
            b"X-Request-Id: ",
            request_id,
            b"\r\nDate: ",
            date,
            b"\r\n",
            connection,
            b"\r\n",
            body if has_body else b"",
        )
    )
