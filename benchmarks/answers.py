"""What a client gets: a whole response, or nothing."""

from __future__ import annotations

import re
from typing import NamedTuple

GAVE_UP = 0
BROKEN = -1
"""Beside statuses of HTTP: the client's patience was over; the connection broke."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)
_REASON = re.compile(rb'"reason": ?"([a-z_]+)"')


class Answer(NamedTuple):
    """A whole response: its status, why it refused, whether the connection stays open, and its ``Retry-After``."""

    status: int
    reason: str
    keeps_open: bool
    retry_after: int = 0


def read_answer(received: bytes, *, is_end: bool = False) -> Answer | None:
    """The response, once it is whole; one without a length is whole when the connection ends (``is_end``)."""
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    head = received[: head_end + 2]
    length = _LENGTH.search(head)
    if length is not None:
        if len(received) < head_end + 4 + int(length[1]):
            return None
    elif b"chunked" in head.lower():
        if not received.endswith(b"0\r\n\r\n"):
            return None
    elif not is_end:
        return None
    status = int(received[9:12])
    keeps_open = not is_end and b"connection: close" not in head.lower()
    if status == 200:
        return Answer(status, "", keeps_open)
    reason, told = _REASON.search(received, head_end), _RETRY_AFTER.search(head)
    return Answer(status, reason[1].decode() if reason else "", keeps_open, int(told[1]) if told else 0)
