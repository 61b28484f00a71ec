"""What connections tell the request that they carry: the client's of an exchange, the upstream's of an attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway.core.errors import GatewayError, UpstreamFailed
    from gateway.http.heads import ResponseHead


class Exchange(Protocol):
    """What a client connection tells the request that is under way on it."""

    def on_request_body(self, payload: bytes) -> None:
        """Some payload of the body came."""

    def on_request_end(self) -> None:
        """The body is complete."""

    def on_request_failed(self, error: GatewayError) -> None:
        """The rest of the request cannot be taken."""

    def on_client_gone(self) -> None:
        """The client left; nobody is there to answer."""

    def on_client_paused(self) -> None:
        """The client does not read as fast as we write."""

    def on_client_resumed(self) -> None:
        """The client has caught up."""

    def on_client_bytes(self, data: bytes) -> None:
        """Bytes in a tunnel."""

    def on_client_eof(self) -> None:
        """The client ended its half of a tunnel."""

    def on_out_of_time(self) -> None:
        """The deadline of the whole request has come."""


class Attempt(Protocol):
    """What an upstream connection tells the request that it carries."""

    def on_interim(self, head: ResponseHead) -> None:
        """A 1xx response other than 101."""

    def on_response(self, head: ResponseHead, payload: bytes, now: float, *, is_complete: bool) -> None:
        """The final head, with the payload that came along."""

    def on_response_body(self, payload: bytes, now: float, *, is_complete: bool) -> None:
        """More payload, or the end."""

    def on_switched(self, head: ResponseHead, ahead: bytes) -> None:
        """101: from here on bytes belong to the tunnel; ``ahead`` came with the head."""

    def on_upstream_failed(self, error: UpstreamFailed, *, is_first_byte_missing: bool) -> None:
        """The response will never be complete."""

    def on_endpoint_lost(self) -> None:
        """Nobody expects an answer from the endpoint any more."""

    def stuck_for(self, now: float) -> float:
        """Seconds that the answer is under way, when that is longer than such answers ever take; else 0."""

    def on_upstream_paused(self) -> None:
        """The upstream does not read as fast as we write."""

    def on_upstream_resumed(self) -> None:
        """The upstream has caught up."""

    def on_upstream_bytes(self, data: bytes) -> None:
        """Bytes in a tunnel."""

    def on_upstream_eof(self) -> None:
        """The upstream ended its half of a tunnel."""
