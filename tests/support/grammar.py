"""RFC 9112 read by hand, as narrowly as it can be read.

Judges both sides: what reaches an origin (requests) and what reaches a client (responses). A message that
another reader might take differently is :class:`Dirty`, also where the RFC lets a recipient be lenient:
chunk extensions, trailers, absolute-form, bare LF and obs-fold have no place in what a gateway writes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from tests.support.wire import Wire

Fields = list[tuple[bytes, bytes]]

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE: Final = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.1\Z")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) ([\t \x21-\x7e\x80-\xff]*)\Z")
_FIELD: Final = re.compile(
    rb"(" + _TOKEN + rb"):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*\Z"
)
_LENGTH: Final = re.compile(rb"(?:0|[1-9][0-9]{0,17})\Z")
_CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,16}\Z")
_AUTHORITY: Final = re.compile(rb"(?:[A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2


class Dirty(Exception):
    """Bytes that the grammar forbids, or that two readers could read differently."""


class Ended(Exception):
    """The connection ended in the middle of a message."""


class RequestHead(NamedTuple):
    """A request line and its fields."""

    method: bytes
    target: bytes
    fields: Fields


class ResponseHead(NamedTuple):
    """A status line and its fields."""

    status: int
    reason: bytes
    fields: Fields


def values(fields: Fields, name: bytes) -> list[bytes]:
    """All values of the field lines with this name, in order."""
    return [value for found, value in fields if found.lower() == name.lower()]


def parse_request_line(line: bytes) -> tuple[bytes, bytes]:
    """Method and target of an HTTP/1.1 request line in origin-form, or ``OPTIONS *``."""
    found = _REQUEST_LINE.match(line)
    if found is None:
        raise Dirty(f"request line {line[:80]!r}")
    method, target = found[1], found[2]
    if not (target.startswith(b"/") or (target == b"*" and method == b"OPTIONS")):
        raise Dirty(f"target {target[:80]!r} is not in origin-form")
    if b"#" in target:
        raise Dirty(f"target {target[:80]!r} has a fragment")
    return method, target


def parse_field(line: bytes) -> tuple[bytes, bytes]:
    """Name and value of one field line, without its CRLF."""
    found = _FIELD.match(line)
    if found is None:
        raise Dirty(f"field line {line[:80]!r}")
    return found[1], found[2]


def request_length(head: RequestHead) -> int:
    """The length of a request's body, or CHUNKED (RFC 9112 §6.3)."""
    hosts = values(head.fields, b"Host")
    if len(hosts) != 1 or not _AUTHORITY.match(hosts[0]):
        raise Dirty(f"Host {hosts!r}")
    length = _declared_length(head.fields)
    return 0 if length is None else length


def response_length(head: ResponseHead, method: bytes) -> int:
    """The length of a response's body, CHUNKED or UNTIL_CLOSE (RFC 9112 §6.3)."""
    length = _declared_length(head.fields)
    if head.status < 200 or head.status == 204:
        if length is not None:
            raise Dirty(f"{head.status} with a declared body")
        return 0
    if method == b"HEAD" or head.status == 304:
        return 0
    return UNTIL_CLOSE if length is None else length


def _declared_length(fields: Fields) -> int | None:
    lengths, codings = values(fields, b"Content-Length"), values(fields, b"Transfer-Encoding")
    if codings:
        if [coding.lower() for coding in codings] != [b"chunked"]:
            raise Dirty(f"Transfer-Encoding {codings!r}")
        if lengths:
            raise Dirty("Content-Length beside Transfer-Encoding")
        return CHUNKED
    if not lengths:
        return None
    if len(lengths) != 1 or not _LENGTH.match(lengths[0]):
        raise Dirty(f"Content-Length {lengths!r}")
    return int(lengths[0])


async def read_request_head(wire: Wire) -> RequestHead | None:
    """The next request head; None when the connection ended before its first byte."""
    if not await wire.has_more():
        return None
    method, target = parse_request_line(await read_line(wire))
    return RequestHead(method, target, await _read_fields(wire))


async def read_response_head(wire: Wire) -> ResponseHead:
    """The next response head, interim or final."""
    line = await read_line(wire)
    found = _STATUS_LINE.match(line)
    if found is None:
        raise Dirty(f"status line {line[:80]!r}")
    return ResponseHead(int(found[1]), found[2], await _read_fields(wire))


async def read_body(wire: Wire, length: int, into: bytearray) -> None:
    """Read a body of ``length`` (or CHUNKED, UNTIL_CLOSE) into ``into``; Ended when it breaks off."""
    if length == UNTIL_CLOSE:
        while await wire.has_more():
            into += wire.take_available()
        if wire.ending != "eof":
            raise Ended("reset in a body that ends with the connection")
    elif length == CHUNKED:
        while size := await _read_chunk_size(wire):
            await _read_exactly(wire, size, into)
            if await wire.exactly(2) != b"\r\n":
                raise Dirty("chunk data longer than its size")
        if trailer := await read_line(wire):
            raise Dirty(f"trailer {trailer[:80]!r}")
    else:
        await _read_exactly(wire, length, into)


async def _read_chunk_size(wire: Wire) -> int:
    line = await read_line(wire)
    if not _CHUNK_SIZE.match(line):
        raise Dirty(f"chunk size {line[:80]!r}")
    return int(line, 16)


async def _read_exactly(wire: Wire, size: int, into: bytearray) -> None:
    while size > 0:
        piece = await wire.some(size)
        into += piece
        size -= len(piece)


async def read_line(wire: Wire) -> bytes:
    """One line without its CRLF; Dirty when it ends with a bare LF or holds a bare CR."""
    line = await wire.until(b"\n")
    if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
        raise Dirty(f"line end of {line[-80:]!r}")
    return line[:-2]


async def _read_fields(wire: Wire) -> Fields:
    fields: Fields = []
    while line := await read_line(wire):
        fields.append(parse_field(line))
    return fields
