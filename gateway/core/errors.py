"""What can go wrong, sorted by who must act, each with one fixed reason word.

The reason word is the same in the response body, in ``Proxy-Status``, in the metric label and in
the log. The table below is the whole vocabulary: a word that is not in it cannot be raised.
``proxy_error`` is the error type of RFC 9209 §2.3.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Reason(NamedTuple):
    """One reason word: the status it answers, its RFC 9209 error type and a sentence for people."""

    status: int
    proxy_error: str
    title: str


REASONS: Final[dict[str, Reason]] = {
    # the client must change its request
    "malformed_head": Reason(400, "http_request_error", "The request head is not valid HTTP/1.1."),
    "ambiguous_framing": Reason(400, "http_request_error", "The length of the request body is not certain."),
    "bad_chunk": Reason(400, "http_request_error", "The chunked request body is malformed."),
    "bad_host": Reason(400, "http_request_error", "The Host field is missing or not a valid authority."),
    "bad_target": Reason(400, "http_request_error", "The request target is not acceptable."),
    "ambiguous_path": Reason(
        400, "http_request_error", "The path selects one route as written and another when normalised."
    ),
    "bad_expectation": Reason(417, "http_request_error", "The only expectation understood is 100-continue."),
    "no_route": Reason(404, "destination_not_found", "No route matches this request."),
    "method_not_allowed": Reason(405, "http_request_denied", "No route for this path takes this method."),
    "head_timeout": Reason(408, "http_request_error", "The request head did not arrive in time."),
    "body_timeout": Reason(408, "http_request_error", "The request body stopped arriving."),
    "body_too_large": Reason(413, "http_request_denied", "The request body is larger than this gateway takes."),
    "target_too_long": Reason(414, "http_request_denied", "The request target is longer than this gateway takes."),
    "head_too_large": Reason(431, "http_request_denied", "The request head is larger than this gateway takes."),
    "too_many_headers": Reason(
        431, "http_request_denied", "The request has more header fields than this gateway takes."
    ),
    "tls_handshake_failed": Reason(400, "tls_protocol_error", "The client did not complete its TLS handshake."),
    "tls_handshake_timeout": Reason(408, "tls_protocol_error", "The TLS handshake did not end in time."),
    "unknown_coding": Reason(501, "http_request_denied", "The only transfer coding understood is chunked."),
    "unknown_method": Reason(501, "http_request_denied", "This gateway does not know the request method."),
    "unsupported_version": Reason(505, "http_request_error", "Only HTTP/1.1 and HTTP/1.0 are spoken here."),
    "loop_detected": Reason(
        508, "proxy_loop_detected", "This request has come through this gateway too often, or on this route before."
    ),
    # the client may try again, later or less often
    "client_connection_limit": Reason(429, "connection_limit_reached", "This client has too many connections open."),
    "connection_limit": Reason(503, "connection_limit_reached", "The gateway has too many connections open."),
    "rate_limited": Reason(429, "http_request_denied", "This client has used up its quota for now."),
    "self_protection": Reason(
        503, "destination_unavailable", "The gateway protects itself and lets only the first class wait."
    ),
    "limit_reached": Reason(
        503, "destination_unavailable", "The upstream is busy with as many requests as its limit allows."
    ),
    "queue_full": Reason(503, "destination_unavailable", "The upstream is busy and its queue is full."),
    "queue_bytes_full": Reason(
        503, "destination_unavailable", "The upstream is busy and its queue holds too many bytes."
    ),
    "queue_share_full": Reason(
        503, "destination_unavailable", "The upstream is busy and this class has filled its part of the queue."
    ),
    "evicted": Reason(
        503, "destination_unavailable", "The upstream is busy and this place in the queue went to somebody else."
    ),
    "queue_delay": Reason(
        503,
        "destination_unavailable",
        "The upstream is overloaded and this request waited too long in a standing queue.",
    ),
    "queue_timeout": Reason(
        503, "destination_unavailable", "The upstream is busy and this request waited as long as the queue allows."
    ),
    "deadline_unreachable": Reason(
        503, "destination_unavailable", "The upstream is too busy to answer before the request's deadline."
    ),
    "no_endpoint": Reason(503, "destination_unavailable", "No endpoint of the upstream is available."),
    "breaker_open": Reason(503, "destination_unavailable", "The upstream fails, and is not asked for a while."),
    # the upstream must be looked at
    "connect_refused": Reason(502, "connection_refused", "The upstream refused the connection."),
    "connect_failed": Reason(502, "destination_ip_unroutable", "The upstream could not be reached."),
    "connect_timeout": Reason(504, "connection_timeout", "The upstream did not accept a connection in time."),
    "dns_failed": Reason(502, "dns_error", "The upstream's name could not be resolved."),
    "tls_failed": Reason(502, "tls_protocol_error", "The TLS handshake with the upstream failed."),
    "upstream_closed": Reason(502, "connection_terminated", "The upstream closed the connection before answering."),
    "upstream_malformed": Reason(502, "http_protocol_error", "The upstream's response is not valid HTTP/1.1."),
    "upstream_head_too_large": Reason(
        502, "http_response_header_section_size", "The upstream's response head is too large."
    ),
    "upstream_status": Reason(502, "http_response_incomplete", "The upstream answered that it cannot."),
    "upstream_incomplete": Reason(502, "http_response_incomplete", "The upstream's response body broke off."),
    "upstream_head_timeout": Reason(504, "http_response_timeout", "The upstream did not begin its response in time."),
    "upstream_idle_timeout": Reason(504, "connection_read_timeout", "The upstream's response body stopped arriving."),
    "request_timeout": Reason(504, "http_response_timeout", "The whole time for this request is used up."),
    # nobody is left to answer
    "client_gone": Reason(499, "connection_terminated", "The client left before the response was complete."),
    # our own fault
    "internal_error": Reason(500, "proxy_internal_error", "The gateway failed; its log says why."),
}


class GatewayError(Exception):
    """A request cannot go on: ``reason`` says why, ``detail`` what was seen (never raw input).

    ``fields`` are response header fields that belong to the refusal, such as ``Allow``; ``facts`` are the
    numbers behind the decision, for the response body.
    """

    def __init__(
        self,
        reason: str,
        detail: str = "",
        fields: dict[str, str] | None = None,
        facts: dict[str, str | float] | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
        self.fields = fields or {}
        self.facts = facts or {}
        self.status, self.proxy_error, self.title = REASONS[reason]


class BadRequest(GatewayError):
    """The client must change its request (400 … 508)."""


class Shed(GatewayError):
    """We turn the request away: 429 for the client's quota, 503 for our capacity."""


class UpstreamFailed(GatewayError):
    """The upstream broke the attempt (502, 504); ``is_unsent`` when it provably never got the request."""

    def __init__(self, reason: str, detail: str = "", *, is_unsent: bool = False) -> None:
        super().__init__(reason, detail)
        self.is_unsent = is_unsent


class DeadlineExceeded(GatewayError):
    """The time for the whole request is used up (504)."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("request_timeout", detail)
