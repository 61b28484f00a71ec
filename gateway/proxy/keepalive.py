"""Comments in an event stream that is silent, so that what lies between does not take it for dead.

A line that begins with a colon is a comment, and an empty line that follows no field dispatches nothing (HTML Living
Standard §9.2.6). A comment is sent only between two events, and only where the gateway frames the body and its coding
is plain: in a body of a known length, or a compressed one, it would be damage.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.deadlines import Timed
from gateway.http.framing import encode_chunk

if TYPE_CHECKING:
    from gateway.core.deadlines import DeadlineWheel
    from gateway.http.downstream import ClientConnection
    from gateway.http.heads import ResponseHead

_COMMENT: Final = b":\n\n"
_OK: Final = 200
# An event ends with an empty line, and lines end with CRLF, LF or CR.
_ENDS: Final = (b"\n\n", b"\n\r\n", b"\r\r")
_MARK: Final = b"\xef\xbb\xbf"
_IS_STREAM: Final = re.compile(rb"(?:^|\n)content-type:[ \t]*text/event-stream[ \t]*(?:;|\r|\n|$)", re.IGNORECASE)
_IS_CODED: Final = re.compile(rb"(?:^|\n)content-encoding:", re.IGNORECASE)


def may_have_comments(head: ResponseHead) -> bool:
    """Whether the body of this response is an event stream to which bytes may be added."""
    is_framed_here = head.length is not None and head.length < 0
    return (
        head.status == _OK
        and is_framed_here
        and _IS_STREAM.search(head.fields) is not None
        and _IS_CODED.search(head.fields) is None
    )


class KeepAlive(Timed):
    """Sends a comment whenever ``every`` seconds have brought nothing, while the stream is between two events."""

    __slots__ = ("_client", "_every", "_has_begun", "_is_chunked", "_tail", "_wheel")

    def __init__(self, wheel: DeadlineWheel, client: ClientConnection, every: float, *, is_chunked: bool) -> None:
        super().__init__()
        self._wheel = wheel
        self._client = client
        self._every = every
        self._is_chunked = is_chunked
        self._tail = b""
        self._has_begun = False

    def note(self, payload: bytes, now: float) -> bytes:
        """Some of the stream comes; what of it is to go on.

        A byte order mark is one only at the very beginning, so behind a comment it is left out.
        """
        if payload:
            if not self._tail and self._has_begun and payload.startswith(_MARK):
                payload = payload[len(_MARK) :]
            self._tail = (self._tail + payload[-4:])[-4:]
        self._wheel.set(self, now + self._every)
        return payload

    def on_deadline(self, now: float) -> None:
        """It was silent for long enough."""
        if (not self._tail or self._tail.endswith(_ENDS)) and not self._client.is_write_paused:
            self._has_begun = True
            self._client.write(encode_chunk(_COMMENT) if self._is_chunked else _COMMENT)
        self._wheel.set(self, now + self._every)
