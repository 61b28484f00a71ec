"""Where a message body ends (RFC 9112 §6 and §7).

Heads are aiohttp's parsers' work; bodies are framed here, because a proxy must know the exact byte
at which a message ends: whatever follows is the next request, or an upstream that must not be trusted
with another one. Every body takes bytes as they come and gives the payload in them; afterwards ``done``
says whether the body is complete and ``rest`` holds what came behind it.

The chunked grammar is the strict one: no white space, no bare CR or LF, at most 15 hexadecimal
digits, extensions and trailers checked, bounded, and not forwarded. From upstreams alone, blanks may stand behind a
size, as old servers pad it and nginx and HAProxy take it: bodies go on in chunks of our own, so nobody reads it again.
"""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_SIZE_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,15})((?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*)\Z"
)
_TRAILER_LINE: Final = re.compile(_TOKEN + rb":[\t \x21-\x7e\x80-\xff]*\Z")

MAX_SIZE_LINE: Final = 1024
MAX_TRAILERS: Final = 8 * 1024
# Extensions carry nothing that we pass on. Their sum may not outgrow the payload by more than this
# (the class of CVE-2023-39326: one-byte chunks with long extensions).
MAX_EXTENSIONS: Final = 16 * 1024


# Sizes of small chunks as they are mostly written, without the last chunk's.
_SMALL: Final = {b"%x" % size: size for size in range(1, 256)} | {b"%X" % size: size for size in range(1, 256)}


class FramingError(Exception):
    """The body breaks the chunked grammar; the text says which rule, never the bytes."""


class NoBody:
    """A message without a body: complete at once."""

    __slots__ = ("done", "rest")

    def __init__(self) -> None:
        self.done = True
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Everything is behind the end."""
        self.rest = data
        return b""


class LengthBody:
    """A body of a known number of bytes."""

    __slots__ = ("done", "left", "rest")

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The payload in ``data``."""
        left = self.left - len(data)
        if left > 0:
            self.left = left
            return data
        self.done = True
        if left == 0:
            self.left = 0
            return data
        self.rest = data[left:]
        payload = data[: self.left]
        self.left = 0
        return payload


class UntilCloseBody:
    """A response body that ends with the connection; ``done`` is set by whoever sees the end."""

    __slots__ = ("done", "rest")

    def __init__(self) -> None:
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """All of it."""
        return data


class ChunkedBody:
    """A chunked body; raises :class:`FramingError` at the first byte that breaks the grammar.

    ``may_pad`` lets blanks stand behind the size of a chunk.
    """

    __slots__ = ("_carry", "_extensions", "_left", "_may_pad", "_payload", "_state", "_trailers", "done", "rest")

    _SIZE, _DATA, _DATA_END, _TRAILER = range(4)

    def __init__(self, *, may_pad: bool = False) -> None:
        self._may_pad = may_pad
        self._state = self._SIZE
        self._carry = b""
        self._left = 0
        self._extensions = 0
        self._payload = 0
        self._trailers = 0
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The payload in ``data``, without chunk heads, extensions and trailers."""
        if self._carry:
            data = self._carry + data
            self._carry = b""
        pieces: list[bytes] = []
        position = 0
        end = len(data)
        state = self._state
        while position < end or state == self._DATA:
            if state == self._SIZE:
                position = self._take_small(data, position, pieces)
            if state == self._DATA:
                stop = position + self._left
                if stop > end:
                    pieces.append(data[position:] if position else data)
                    self._left = stop - end
                    position = end
                    break
                pieces.append(data[position:stop])
                position = stop
                state = self._DATA_END
            if state == self._DATA_END:
                if not data.startswith(b"\r\n", position):
                    if data[position:] in (b"", b"\r"):
                        break
                    raise FramingError("chunk data is not followed by CRLF")
                position += 2
                state = self._SIZE
            line_end = data.find(b"\r\n", position)
            if line_end < 0:
                self._check_partial(data, position, state)
                break
            line = data[position:line_end]
            position = line_end + 2
            if state == self._SIZE:
                state = self._start_chunk(line)
            elif self._take_trailer(line):
                self.done = True
                self.rest = data[position:]
                position = end
                break
        self._state = state
        if position < end:
            self._carry = data[position:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take_small(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        """Take whole small chunks without extensions, as many as follow each other; gives where the next begins.

        Bodies of one-byte chunks are legal, and have six bytes and one turn of this loop for each byte of payload.
        """
        total = 0
        while True:
            line_end = data.find(b"\r\n", position, position + 4)
            size = _SMALL.get(data[position:line_end], 0) if line_end > 0 else 0
            if not size:
                break
            stop = line_end + 2 + size
            if data[stop : stop + 2] != b"\r\n":
                break
            pieces.append(data[line_end + 2 : stop])
            total += size
            position = stop + 2
        self._payload += total
        return position

    def _start_chunk(self, line: bytes) -> int:
        if self._may_pad:
            size, mark, extension = line.partition(b";")
            line = size.rstrip(b" \t") + mark + extension
        found = _SIZE_LINE.match(line) if len(line) <= MAX_SIZE_LINE else None
        if found is None:
            raise FramingError("chunk size line is malformed")
        self._left = int(found[1], 16)
        self._payload += self._left
        self._extensions += len(found[2])
        if self._extensions > MAX_EXTENSIONS + self._payload:
            raise FramingError("chunk extensions outgrow the body")
        return self._DATA if self._left else self._TRAILER

    def _take_trailer(self, line: bytes) -> bool:
        if not line:
            return True
        self._trailers += len(line)
        if self._trailers > MAX_TRAILERS:
            raise FramingError("trailer section is too large")
        if _TRAILER_LINE.match(line) is None:
            raise FramingError("trailer field is malformed")
        return False

    def _check_partial(self, data: bytes, position: int, state: int) -> None:
        size = len(data) - position
        limit = MAX_SIZE_LINE if state == self._SIZE else MAX_TRAILERS
        if size > limit:
            raise FramingError("chunk size line is too long" if state == self._SIZE else "trailer section is too large")
        if data.find(b"\n", position) >= 0 or 0 <= data.find(b"\r", position) < len(data) - 1:
            raise FramingError("bare CR or LF between chunks")


Body = NoBody | LengthBody | UntilCloseBody | ChunkedBody


def encode_chunk(payload: bytes) -> bytes:
    """One chunk with this payload, which must not be empty."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


LAST_CHUNK: Final = b"0\r\n\r\n"
