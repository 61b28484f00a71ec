"""The one file that touches aiohttp's parsers: complete heads in, judged messages out.

aiohttp's C parsers (llhttp) get whole heads only, with ``response_with_body=False``, so that they never
see a body and are back in their first state after every call; one parser serves all connections of a
worker. What they let through and we do not is refused here; RFC 9112 is the judge:

- requests: HTTP/0.9 and other major versions than 1, transfer codings other than ``chunked``;
- responses (the response parser is lenient): bare CR or LF, folded lines, control bytes, other major versions
  than 1, transfer codings other than ``chunked``.

Taken from upstreams, as nginx and HAProxy do (RFC 9112 §2.2): a head whose lines all end with LF alone. It goes on with
CRLF, and there is no second reading of it. One that mixes both has two, and is refused; so is either from a client.

A minor version above 1 is read as 1.1 (RFC 9110 §2.5).

A contract test guards the parser's behaviour that this file relies on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aiohttp.http import HttpRequestParser, HttpResponseParser, RawRequestMessage, RawResponseMessage
from aiohttp.http_exceptions import BadHttpMessage, BadHttpMethod, BadStatusLine, HttpProcessingError, InvalidURLError

from gateway.core.errors import BadRequest, UpstreamFailed

if TYPE_CHECKING:
    import asyncio

HEAD_END: Final = b"\r\n\r\n"
_TOLD: Final = 2048
_METHOD: Final = 64
_TEXT: Final = bytes({0x09, *range(0x20, 0x7F), *range(0x80, 0x100)})
_LINE_ENDS: Final = b"\r\n" * 1024
_SPACED_NAME: Final = re.compile(rb"\r\n[^:\r\n]*[ \t]:")
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ([^ ]+) (HTTP/\d\.\d)\Z")
# RFC 9110 §2.5: a higher minor version is treated as the highest one known. The parser knows none above 1.1.
_LATER_MINOR: Final = re.compile(rb"(?:[^\r\n ]+ [^\r\n ]+ )?HTTP/1\.([2-9])(?=\r\n| )")

if HttpRequestParser.__module__ != "aiohttp._http_parser":  # pragma: no cover - depends on the installation
    message = "aiohttp's C parser is missing; the pure-Python one accepts other input, so the gateway does not start"
    raise ImportError(message)


def _as_known_version(head: bytes) -> bytes | None:
    """The head of an HTTP/1.2 to 1.9 message as one of 1.1; None when it is no such head."""
    found = _LATER_MINOR.match(head)
    return None if found is None else head[: found.start(1)] + b"1" + head[found.end(1) :]


def request_line(head: bytes | bytearray) -> tuple[str, str]:
    """Method and target of a head that is no good, as far as they can be read; for logs, where they are made safe."""
    line = bytes(head[:_TOLD]).partition(b"\n")[0].rstrip(b"\r")
    method, _, rest = line.partition(b" ")
    target, _, version = rest.rpartition(b" ")
    if not version.startswith(b"HTTP/"):
        target = rest
    return method[:_METHOD].decode("utf-8", "surrogateescape"), target.decode("utf-8", "surrogateescape")


class _NoStream:
    """Stands where the parser expects a protocol with a payload; with heads only it is never asked."""

    connected = True

    def pause_reading(self) -> None:
        """Nothing is read here."""

    def resume_reading(self, *, resume_parser: bool = True) -> None:
        """Nothing is read here."""


class RequestHeads:
    """Parses request heads; one for all connections of a worker."""

    __slots__ = ("_limit", "_loop", "_max_headers", "_max_target", "_parser")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, limit: int, max_headers: int, max_target: int) -> None:
        self._loop = loop
        self._limit = int(limit)  # a size prints its own unit
        self._max_headers = max_headers
        self._max_target = int(max_target)
        self._parser = self._make()

    def _make(self) -> HttpRequestParser:
        return HttpRequestParser(
            _NoStream(),  # type: ignore[arg-type]
            self._loop,
            2**16,
            max_line_size=self._limit,
            max_field_size=self._limit,
            max_headers=self._max_headers,
            response_with_body=False,
            auto_decompress=False,
        )

    def parse(self, head: bytes) -> RawRequestMessage:
        """Judge one complete head, its empty line included; raises :class:`BadRequest`."""
        if len(head) > self._max_target:
            self._check_sizes(head)
        try:
            messages, is_upgraded, rest = self._parser.feed_data(head)
        except (HttpProcessingError, ValueError) as error:
            self._parser = self._make()
            known = _as_known_version(head)
            if known is not None:
                return self.parse(known)
            raise self._refusal(head, error) from None
        if len(messages) != 1 or rest:
            self._parser = self._make()
            raise BadRequest("malformed_head", "the head does not end where its empty line is")
        found: RawRequestMessage = messages[0][0]
        if is_upgraded or found.should_close or found.upgrade:
            self._parser = self._make()
        version = found.version
        if version[0] != 1 or version[1] > 1:
            raise BadRequest("unsupported_version")
        if not head.startswith(f"{found.method} {found.path} HTTP/1.".encode("utf-8", "surrogateescape")):
            raise BadRequest("malformed_head", "the request line is malformed")  # other white space, other protocols
        return found

    def check_partial(self, data: bytearray) -> None:
        """Judge what has come of a head that is not complete; raises :class:`BadRequest` when it never can be."""
        line_end = data.find(b"\r\n")
        if len(data) > self._limit or (line_end < 0 and len(data) > self._max_target + 100):
            self._check_sizes(bytes(data))
            raise BadRequest("head_too_large", f"more than {self._limit} bytes")
        if data.count(b"\n") != data.count(b"\r\n"):
            raise BadRequest("malformed_head", "a line ends with a bare LF")
        if line_end >= 0 and _REQUEST_LINE.match(data[:line_end]) is None:
            raise BadRequest("malformed_head", "the request line is malformed")

    def _check_sizes(self, head: bytes) -> None:
        line = head.partition(b"\r\n")[0]
        target = line.partition(b" ")[2].rpartition(b" HTTP/")[0] or line.partition(b" ")[2]
        if len(target) > self._max_target:
            raise BadRequest("target_too_long", f"more than {self._max_target} bytes")
        if len(head) > self._limit:
            raise BadRequest("head_too_large", f"more than {self._limit} bytes")

    def _refusal(self, head: bytes, error: Exception) -> BadRequest:
        """Find the reason word for what the parser refused. Off the fast path: clarity before speed."""
        line, _, fields = head.partition(b"\r\n")
        parts = _REQUEST_LINE.match(line)
        if parts is None:
            return BadRequest("malformed_head", "the request line is malformed")
        if parts[3] not in (b"HTTP/1.0", b"HTTP/1.1"):
            return BadRequest("unsupported_version")
        if isinstance(error, BadHttpMethod):
            return BadRequest("unknown_method")
        if isinstance(error, InvalidURLError | ValueError) and not isinstance(error, BadHttpMessage):
            return BadRequest("bad_target", "the request target is malformed")
        if isinstance(error, InvalidURLError):
            return BadRequest("bad_target", "the request target is malformed")
        if isinstance(error, BadStatusLine):
            return BadRequest("malformed_head", "the request line is malformed")
        names = [field.partition(b":")[0].strip().lower() for field in fields.split(b"\r\n")]
        if head.count(b"\r\n") - 2 > self._max_headers:
            return BadRequest("too_many_headers", f"more than {self._max_headers} fields")
        if b"transfer-encoding" in names or b"content-length" in names:
            return BadRequest("ambiguous_framing", "Content-Length or Transfer-Encoding is malformed or not alone")
        if names.count(b"host") != 1:
            return BadRequest("bad_host", "exactly one Host field is needed")
        return BadRequest("malformed_head", "a header field is malformed")


def end_of_bare_head(data: bytes) -> int:
    """Where a head whose lines all end with LF alone ends, its empty line included; 0 when it is no such head."""
    end = data.find(b"\n\n") + 2
    return end if end > 1 and data.find(b"\r", 0, end) < 0 else 0


def with_crlf(data: bytes, end: int) -> bytes:
    """The same with CRLF at the ends of the lines of its head, which goes up to ``end``."""
    return data[:end].replace(b"\n", b"\r\n") + data[end:]


class ResponseHeads:
    """Parses response heads; one for all connections of a worker."""

    __slots__ = ("_limit", "_loop", "_parser")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, limit: int) -> None:
        self._loop = loop
        self._limit = int(limit)
        self._parser = self._make()

    def _make(self) -> HttpResponseParser:
        return HttpResponseParser(
            _NoStream(),  # type: ignore[arg-type]
            self._loop,
            2**16,
            max_line_size=self._limit,
            max_field_size=self._limit,
            max_headers=1000,
            response_with_body=False,
            read_until_eof=True,
            auto_decompress=False,
        )

    def parse(self, head: bytes) -> RawResponseMessage:
        """Judge one complete head, its empty line included; raises :class:`UpstreamFailed`."""
        if len(head) > self._limit:
            raise UpstreamFailed("upstream_head_too_large", f"more than {self._limit} bytes")
        # Deleting all text from a clean head leaves its line ends in order: one pass finds every control
        # byte, bare CR and bare LF.
        line_ends = head.translate(None, _TEXT)
        if not head.startswith(b"HTTP/1."):
            raise UpstreamFailed("upstream_malformed", "not an HTTP/1 status line")
        if not _LINE_ENDS.startswith(line_ends) or b"\n " in head or b"\n\t" in head:
            raise UpstreamFailed("upstream_malformed", "control bytes, bare line ends or folded lines in the head")
        if (b" :" in head or b"\t:" in head) and _SPACED_NAME.search(head):
            raise UpstreamFailed("upstream_malformed", "white space before a colon")
        try:
            messages, is_upgraded, rest = self._parser.feed_data(head)
        except (HttpProcessingError, ValueError):
            self._parser = self._make()
            known = _as_known_version(head)
            if known is not None:
                return self.parse(known)
            raise UpstreamFailed("upstream_malformed", "the response head is malformed") from None
        if len(messages) != 1 or rest:
            self._parser = self._make()
            raise UpstreamFailed("upstream_malformed", "the head does not end where its empty line is")
        found: RawResponseMessage = messages[0][0]
        if is_upgraded or found.should_close or found.upgrade:
            self._parser = self._make()
        version = found.version
        if version[0] != 1 or version[1] > 1 or not 100 <= found.code <= 599:  # noqa: PLR2004 - RFC 9110 §15
            raise UpstreamFailed("upstream_malformed", "not an HTTP/1 status line")
        return found

    def check_partial(self, data: bytearray) -> None:
        """Judge what has come of a head that is not complete; raises :class:`UpstreamFailed`."""
        if len(data) > self._limit:
            raise UpstreamFailed("upstream_head_too_large", f"more than {self._limit} bytes")
        is_mixed = b"\r" in data and data.count(b"\n") != data.count(b"\r\n")
        if not b"HTTP/1.".startswith(data[:7]) or is_mixed:
            raise UpstreamFailed("upstream_malformed", "not the beginning of an HTTP/1 response")
