"""What a head means to a proxy: framing, connection options, and the fields that go on (RFC 9110 §7.6.1).

One pass over the raw fields sorts them by kind. Fields that go on keep their raw name, order and
duplicates; hop-by-hop fields and those that ``Connection`` nominates stay behind. Who the client is
(``X-Forwarded-*``, ``Forwarded``) is set aside for :mod:`gateway.http.forwarded` to judge.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.errors import BadRequest, UpstreamFailed
from gateway.http.framing import Body, ChunkedBody, LengthBody, NoBody, UntilCloseBody

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp.http import RawRequestMessage, RawResponseMessage


# Kinds of fields. PLAIN is 0 so that the common case is one truth test.
PLAIN, DROPPED, HOST, LENGTH, CODING, CONNECTION, UPGRADE, EXPECT, IDENTITY, VIA, REQUEST_ID, MAX_FORWARDS, DATE = range(13)

_KINDS: Final = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": CODING,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"via": VIA,
    b"x-request-id": REQUEST_ID,
    b"max-forwards": MAX_FORWARDS,
    b"date": DATE,
    b"keep-alive": DROPPED,
    b"proxy-connection": DROPPED,
    b"te": DROPPED,  # its only end-to-end use is trailers, and those are dropped
    b"trailer": DROPPED,
    b"http2-settings": DROPPED,
    b"forwarded": IDENTITY,
    b"x-forwarded-for": IDENTITY,
    b"x-forwarded-host": IDENTITY,
    b"x-forwarded-proto": IDENTITY,
    b"x-forwarded-port": IDENTITY,
    b"x-forwarded-prefix": IDENTITY,
    b"x-real-ip": IDENTITY,
}
# Names as clients spell them; bounded, because clients choose them.
_SPELLINGS: Final[dict[bytes, int]] = {}
_MAX_SPELLINGS: Final = 4096

_OPTIONS: Final = {b"close", b"keep-alive", b"upgrade"}
# A nomination cannot take away what the message's own framing and routing rest on.
_NEVER_LEFT: Final = {b"host", b"content-length", b"via", b"max-forwards", b"date"}

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::(\d{1,5}))?\Z")
_HOSTS: Final[dict[bytes, str]] = {}
_MAX_HOSTS: Final = 1024
_MAX_LENGTH_DIGITS: Final = 15


def classify(name: bytes) -> int:
    """The kind of a field by its name; remembers spellings."""
    lower = name.lower()
    kind = _KINDS.get(lower, PLAIN)
    if kind == PLAIN and b"_" in lower and lower.replace(b"_", b"-") in _KINDS:
        kind = DROPPED  # CGI-style servers read X_Forwarded_For as X-Forwarded-For
    if len(_SPELLINGS) < _MAX_SPELLINGS:
        _SPELLINGS[name] = kind
    return kind


def check_host(value: bytes) -> str:
    """The Host field as text; raises ``bad_host`` unless it is one authority (RFC 9110 §7.2)."""
    found = _HOSTS.get(value)
    if found is None:
        matched = _HOST.match(value)
        if matched is None or (matched[1] and int(matched[1]) > 65535):  # noqa: PLR2004 - a TCP port
            raise BadRequest("bad_host", "the Host field is not a valid authority")
        found = value.decode("ascii")
        if len(_HOSTS) < _MAX_HOSTS:
            _HOSTS[value] = found
    return found


def _tokens(value: bytes) -> set[bytes]:
    return {part.strip(b" \t").lower() for part in value.split(b",")} - {b""}


def without(fields: list[bytes], names: Collection[bytes]) -> list[bytes]:
    """The field lines whose lower-case name is not in ``names``; a line ends at the piece that ends with CRLF."""
    kept: list[bytes] = []
    line: list[bytes] = []
    for piece in fields:
        line.append(piece)
        if piece.endswith(b"\r\n"):
            if line[0].lower() not in names:
                kept += line
            line = []
    return kept


class RequestHead:
    """One request as its client meant it.

    ``fields`` are pieces of the lines that go on, ready to be joined; ``length`` is the declared body in
    bytes, -1 when chunked; ``upgrade`` is the protocol asked for, or empty.
    """

    __slots__ = (
        "expects_continue",
        "fields",
        "headers",
        "host",
        "identity",
        "is_http_10",
        "length",
        "max_forwards",
        "method",
        "raw_headers",
        "request_id",
        "target",
        "upgrade",
        "wants_close",
    )

    def __init__(self, message: RawRequestMessage, pseudonym: bytes, scheme: str) -> None:
        self.method: str = message.method
        self.target: str = message.path
        self.headers = message.headers
        self.raw_headers = message.raw_headers
        self.is_http_10 = message.version[1] == 0
        self.length = 0
        self.host = ""
        self.wants_close = self.is_http_10
        self.expects_continue = False
        self.upgrade = b""
        self.identity: list[tuple[bytes, bytes]] | None = None
        self.request_id = b""
        self.max_forwards = -1
        fields: list[bytes] = []
        self.fields = fields
        spellings = _SPELLINGS
        connection = b""
        for name, value in message.raw_headers:
            kind = spellings.get(name)
            if kind is None:
                kind = classify(name)
            if not kind:
                fields += (name, b": ", value, b"\r\n")
            elif kind == HOST:
                self.host = check_host(value)
                fields += (name, b": ", value, b"\r\n")
            elif kind == CONNECTION:
                connection = value if not connection else connection + b"," + value
            else:
                self._take(kind, name, value, pseudonym)
        if connection:
            self._connect(connection)
        if self.length < 0 and self.is_http_10:
            raise BadRequest("ambiguous_framing", "Transfer-Encoding is not defined for HTTP/1.0")
        if self.target[0] != "/" or "#" in self.target:
            self._resolve_target(scheme)

    def _take(self, kind: int, name: bytes, value: bytes, pseudonym: bytes) -> None:
        if kind == LENGTH:
            if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
                raise BadRequest("ambiguous_framing", "Content-Length is not a number of bytes")
            self.length = int(value)
            self.fields += (name, b": %d\r\n" % self.length)
        elif kind == CODING:
            if value.lower() != b"chunked" or self.length:
                raise BadRequest("ambiguous_framing", "the only transfer coding understood is chunked")
            self.length = -1
        elif kind == EXPECT:
            if value.lower() != b"100-continue" or self.expects_continue:
                raise BadRequest("bad_expectation")
            self.expects_continue = not self.is_http_10
        elif kind == IDENTITY:
            if self.identity is None:
                self.identity = []
            self.identity.append((name, value))
        elif kind == UPGRADE:
            self.upgrade = value if not self.upgrade else self.upgrade + b"," + value
        elif kind == VIA:
            if pseudonym in value:
                raise BadRequest("loop_detected")
            self.fields += (name, b": ", value, b"\r\n")
        elif kind == REQUEST_ID:
            if not self.request_id and _REQUEST_ID.match(value):
                self.request_id = value
        elif kind == MAX_FORWARDS:
            if not value.isdigit() or len(value) > 10:  # noqa: PLR2004 - more would overflow other recipients
                raise BadRequest("malformed_head", "Max-Forwards is not a number")
            if self.method in ("TRACE", "OPTIONS"):
                self.max_forwards = int(value)
                self.fields += (name, b": %d\r\n" % max(self.max_forwards - 1, 0))
            else:
                self.fields += (name, b": ", value, b"\r\n")
        elif kind == DATE:
            self.fields += (name, b": ", value, b"\r\n")

    def _connect(self, value: bytes) -> None:
        """Apply the Connection field: its options, then the fields that it nominates stay behind."""
        options = _tokens(value)
        self.wants_close = b"close" in options or (self.is_http_10 and b"keep-alive" not in options)
        if b"upgrade" not in options:
            self.upgrade = b""
        nominated = options - _OPTIONS
        if nominated:
            self.fields = without(self.fields, nominated - _NEVER_LEFT)
            if self.identity is not None:
                self.identity = [(name, value) for name, value in self.identity if name.lower() not in nominated]
            if b"x-request-id" in nominated:
                self.request_id = b""

    def _resolve_target(self, scheme: str) -> None:
        """Bring an absolute-form target to origin-form (RFC 9112 §3.2.2); its authority must be the Host."""
        target = self.target
        if "#" in target:
            raise BadRequest("bad_target", "a request target has no fragment")
        if target == "*":
            if self.method != "OPTIONS":
                raise BadRequest("bad_target", "only OPTIONS takes *")
            return
        found, _, rest = target.partition("://")
        if found.lower() != scheme or not rest:
            raise BadRequest("bad_target", f"an absolute target must begin with {scheme}://")
        cut = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        authority, path = rest[:cut], rest[cut:]
        if authority.lower() != self.host.lower():
            raise BadRequest("bad_target", "the target's authority is not the Host field")
        self.target = path if path.startswith("/") else "/" + path

    def body(self) -> Body:
        """The framing of this request's body, ready to be fed."""
        if self.length == 0:
            return NoBody()
        return LengthBody(self.length) if self.length > 0 else ChunkedBody()


class ResponseHead:
    """One response as its upstream meant it.

    ``fields`` are pieces of the lines that go on; ``length`` is the body in bytes, -1 when chunked, -2
    when it ends with the connection, None when the response has no body whatever its fields say.
    """

    __slots__ = ("fields", "has_date", "keep_alive_timeout", "length", "reason", "status", "upgrade", "wants_close")

    def __init__(self, message: RawResponseMessage, request_method: str) -> None:
        status: int = message.code
        self.status = status
        self.reason: str = message.reason
        self.wants_close = message.version[1] == 0
        self.has_date = False
        self.upgrade = b""
        self.keep_alive_timeout = -1
        length: int | None = -2
        length_line: tuple[bytes, bytes] = (b"", b"")
        fields: list[bytes] = []
        spellings = _SPELLINGS
        connection = b""
        for name, value in message.raw_headers:
            kind = spellings.get(name)
            if kind is None:
                kind = classify(name)
            if not kind:
                fields += (name, b": ", value, b"\r\n")
            elif kind == LENGTH:
                if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS or length != -2:  # noqa: PLR2004
                    raise UpstreamFailed("upstream_malformed", "Content-Length is not one number of bytes")
                length = int(value)
                length_line = (name, b": %d\r\n" % length)
                fields += length_line
            elif kind == DATE:
                self.has_date = True
                fields += (name, b": ", value, b"\r\n")
            elif kind == CODING:
                if value.lower() != b"chunked" or length != -2 or self.wants_close:  # noqa: PLR2004
                    raise UpstreamFailed("upstream_malformed", "the only transfer coding understood is chunked, alone")
                length = -1
            elif kind == CONNECTION:
                connection = value if not connection else connection + b"," + value
            elif kind == UPGRADE:
                self.upgrade = value
            elif kind == DROPPED:
                if name.lower() == b"keep-alive":
                    self._read_keep_alive(value)
            else:  # fields that mean something in requests only
                fields += (name, b": ", value, b"\r\n")
        self.fields = fields
        if connection:
            self._connect(connection)
        if request_method == "HEAD" or status == 304:  # noqa: PLR2004 - RFC 9112 §6.3
            length = None
        elif status == 204 or status < 200:  # noqa: PLR2004
            length = None
            if length_line[0]:
                at = fields.index(length_line[0])
                del fields[at : at + 2]
        if length == -2:  # noqa: PLR2004
            self.wants_close = True
        self.length = length

    def _read_keep_alive(self, value: bytes) -> None:
        for token in _tokens(value):
            name, _, seconds = token.partition(b"=")
            if name == b"timeout" and seconds.isdigit() and len(seconds) < 7:  # noqa: PLR2004
                self.keep_alive_timeout = int(seconds)

    def _connect(self, value: bytes) -> None:
        options = _tokens(value)
        self.wants_close = b"close" in options or (self.wants_close and b"keep-alive" not in options)
        nominated = options - _OPTIONS - _NEVER_LEFT
        if nominated:
            self.fields = without(self.fields, nominated)

    def body(self) -> Body:
        """The framing of this response's body, ready to be fed."""
        if self.length is None or self.length == 0:
            return NoBody()
        if self.length > 0:
            return LengthBody(self.length)
        return ChunkedBody() if self.length == -1 else UntilCloseBody()

