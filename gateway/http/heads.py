"""What a head means to a proxy: framing, connection options, and the fields that go on (RFC 9110 §7.6.1).

One pass over the raw fields sorts them by kind. Fields that go on keep their raw name, order and
duplicates; hop-by-hop fields and those that ``Connection`` nominates stay behind. Who the client is
(``X-Forwarded-*``, ``Forwarded``) is set aside for :mod:`gateway.http.forwarded` to judge.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import BadRequest, UpstreamFailed
from gateway.http.framing import Body, ChunkedBody, LengthBody, NoBody, UntilCloseBody

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp.http import RawRequestMessage, RawResponseMessage


# Kinds of fields. PLAIN is 0 so that the common case is one truth test.
(
    PLAIN,
    DROPPED,
    HOST,
    LENGTH,
    CODING,
    CONNECTION,
    UPGRADE,
    EXPECT,
    IDENTITY,
    VIA,
    REQUEST_ID,
    MAX_FORWARDS,
    DATE,
    LOAD,
) = range(14)

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
    b"endpoint-load-metrics": LOAD,  # what an endpoint says of itself is for us, not for its client
    b"endpoint-load-metrics-bin": LOAD,
}
# Names as clients spell them; bounded, because clients choose them.
_SPELLINGS: Final[dict[bytes, int]] = {}
_MAX_SPELLINGS: Final = 4096

_OPTIONS: Final = {b"close", b"keep-alive", b"upgrade"}
# A nomination cannot take away what the message's own framing and routing rest on.
_NEVER_LEFT: Final = {b"host", b"content-length", b"via", b"max-forwards", b"date"}

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::(\d{1,5}))?\Z")
_CODINGS: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*\Z")
_HOSTS: Final[dict[bytes, str]] = {}
_MAX_HOSTS: Final = 1024
_MAX_LENGTH_DIGITS: Final = 15
_MAX_FORWARDS_DIGITS: Final = 9
CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2


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


def _is_one_protocol(upgrade: bytes) -> bool:
    """Whether it names a single protocol that is not HTTP itself; HTTP/2 in the clear is not spoken here."""
    lower = upgrade.lower()
    return b"," not in lower and not lower.startswith((b"h2", b"http"))


def _rounds(via: bytes, pseudonym: bytes) -> tuple[bytes, ...]:
    """The comments, mostly names of routes, of those hops of a Via field that are the pseudonym's (RFC 9110 §7.6.3)."""
    if pseudonym not in via:
        return ()
    hops = (hop.split(None, 2) for hop in via.split(b","))
    return tuple(hop[2].strip(b"() \t") if len(hop) > 2 else b"" for hop in hops if hop[1:2] == [pseudonym])  # noqa: PLR2004


def without(lines: bytes, names: Collection[bytes]) -> bytes:
    """The field lines whose lower-case name is not in ``names``; every line ends with CRLF."""
    return b"".join(line for line in lines.splitlines(keepends=True) if line.partition(b":")[0].lower() not in names)


class RequestHead:
    """One request as its client meant it.

    ``fields`` are the field lines that go on; ``length`` is the declared body in bytes, -1 when chunked;
    ``upgrade`` is the protocol asked for, or empty; ``is_ordinary`` says that nothing about the request changes
    how the response is sent; ``rounds`` has the route of each time that the request came through this gateway.
    A head is never changed after it was made, because equal heads share one
    object; ``plan`` is a note that the path keeps with it.
    """

    __slots__ = (
        "expects_continue",
        "fields",
        "headers",
        "host",
        "identity",
        "is_http_10",
        "is_ordinary",
        "length",
        "max_forwards",
        "method",
        "plan",
        "raw_headers",
        "request_id",
        "rounds",
        "target",
        "upgrade",
        "wants_close",
    )

    def __init__(self, message: RawRequestMessage, raw: bytes, pseudonym: bytes, scheme: str) -> None:
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
        self.rounds: tuple[bytes, ...] = ()
        self.plan: Any = None  # the path's own, which this floor does not know
        spellings = _SPELLINGS
        special: list[tuple[int, bytes, bytes]] | None = None
        for name, value in self.raw_headers:
            kind = spellings.get(name)
            if kind is None:
                kind = classify(name)
            if kind:
                if kind == HOST:
                    self.host = _HOSTS.get(value) or check_host(value)
                elif special is None:
                    special = [(kind, name, value)]
                else:
                    special.append((kind, name, value))
        self.fields = raw[raw.index(b"\r\n") + 2 : -2]
        if special is not None:
            self._take(special, pseudonym)
        if self.method == "CONNECT" or (self.method == "TRACE" and self.length):
            raise BadRequest("unknown_method", "CONNECT, and TRACE with a body, are not served")
        if self.target[0] != "/" or "#" in self.target:
            self._resolve_target(scheme)
        self.is_ordinary = not (self.is_http_10 or self.wants_close or self.upgrade or self.method == "HEAD")

    def _take(self, special: list[tuple[int, bytes, bytes]], pseudonym: bytes) -> None:
        """Judge the fields that mean something to a proxy, and leave behind those that go no further."""
        dropped: set[bytes] = set()
        changed = b""
        connection: list[bytes] = []
        for kind, name, value in special:
            if kind == LENGTH:
                self._take_length(value)
            elif kind == CONNECTION:
                connection.append(value)
                dropped.add(name.lower())
            elif kind == VIA:
                self.rounds += _rounds(value, pseudonym)
            elif kind == MAX_FORWARDS:
                if self.method in ("TRACE", "OPTIONS"):  # RFC 9110 §7.6.2: of no meaning to others
                    if not value.isdigit() or len(value) > _MAX_FORWARDS_DIGITS:
                        raise BadRequest("malformed_head", "Max-Forwards is not a number")
                    self.max_forwards = int(value)
                    dropped.add(name.lower())
                    changed += b"%b: %d\r\n" % (name, max(self.max_forwards - 1, 0))
            elif kind not in {DATE, LOAD}:
                dropped.add(name.lower())
                if kind != DROPPED:
                    self._take_aside(kind, name, value)
        options = _tokens(b",".join(connection))
        self.wants_close = b"close" in options or (self.is_http_10 and b"keep-alive" not in options)
        if self.upgrade and (
            b"upgrade" not in options or self.length or self.is_http_10 or not _is_one_protocol(self.upgrade)
        ):
            self.upgrade = b""  # RFC 9110 §7.8: whoever does not like it may ignore it
        nominated = options - _OPTIONS
        if nominated:
            dropped |= nominated - _NEVER_LEFT
            if self.identity is not None:
                self.identity = [(name, value) for name, value in self.identity if name.lower() not in nominated]
            if b"x-request-id" in nominated:
                self.request_id = b""
        if dropped:
            self.fields = without(self.fields, dropped) + changed

    def _take_length(self, value: bytes) -> None:
        if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS or (value[:1] == b"0" and len(value) > 1):
            raise BadRequest("ambiguous_framing", "Content-Length is not a number of bytes")
        self.length = int(value)

    def _take_aside(self, kind: int, name: bytes, value: bytes) -> None:
        if kind == IDENTITY:
            if self.identity is None:
                self.identity = []
            self.identity.append((name, value))
        elif kind == CODING:
            if self.is_http_10:
                raise BadRequest("ambiguous_framing", "Transfer-Encoding is not defined for HTTP/1.0")
            if self.length:
                raise BadRequest("ambiguous_framing", "Transfer-Encoding is not alone")
            if value.lower() != b"chunked":
                if _CODINGS.match(value):  # RFC 9112 §6.1
                    raise BadRequest("unknown_coding")
                raise BadRequest("ambiguous_framing", "Transfer-Encoding is malformed")
            self.length = -1
        elif kind == EXPECT:
            if value.lower() != b"100-continue" or self.expects_continue:
                raise BadRequest("bad_expectation")
            self.expects_continue = not self.is_http_10
        elif kind == UPGRADE:
            self.upgrade = value if not self.upgrade else self.upgrade + b"," + value
        elif kind == REQUEST_ID and not self.request_id and _REQUEST_ID.match(value):
            self.request_id = value

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

    ``fields`` are the field lines that go on; ``length`` is the body in bytes, -1 when chunked, -2 when it
    ends with the connection, None when the response has no body whatever its fields say; ``load`` is what the
    endpoint says of its own load, empty mostly. A head is
    never changed after it was made, because equal heads share one object; ``composed`` is a note that the
    path keeps with it.
    """

    __slots__ = (
        "composed",
        "fields",
        "has_date",
        "keep_alive_timeout",
        "length",
        "load",
        "reason",
        "status",
        "upgrade",
        "wants_close",
    )

    def __init__(self, message: RawResponseMessage, raw: bytes, request_method: str) -> None:
        status: int = message.code
        self.status = status
        self.composed: tuple[object, bytes] | None = None
        self.reason: str = message.reason
        self.wants_close = message.version[1] == 0
        self.has_date = False
        self.upgrade = b""
        self.load = b""
        self.keep_alive_timeout = -1
        self.length: int | None = UNTIL_CLOSE
        spellings = _SPELLINGS
        special: list[tuple[int, bytes, bytes]] | None = None
        for name, value in message.raw_headers:
            kind = spellings.get(name)
            if kind is None:
                kind = classify(name)
            if kind:
                if (
                    kind == LENGTH
                    and value.isdigit()
                    and self.length == UNTIL_CLOSE
                    and len(value) < _MAX_LENGTH_DIGITS
                ):
                    self.length = int(value)
                elif kind == DATE:
                    self.has_date = True
                elif special is None:
                    special = [(kind, name, value)]
                else:
                    special.append((kind, name, value))
        self.fields = raw[raw.index(b"\r\n") + 2 : -2]
        if special is not None:
            self._take(special)
        if request_method == "HEAD" or status == 304:  # noqa: PLR2004 - RFC 9112 §6.3
            self.length = None
        elif status == 204 or status < 200:  # noqa: PLR2004
            if self.length != UNTIL_CLOSE:
                self.fields = without(self.fields, {b"content-length"})
            self.length = None
        if self.length == UNTIL_CLOSE:
            self.wants_close = True

    def _take(self, special: list[tuple[int, bytes, bytes]]) -> None:
        dropped: set[bytes] = set()
        connection: list[bytes] = []
        for kind, name, value in special:
            if kind == CONNECTION:
                connection.append(value)
                dropped.add(name.lower())
            elif kind == LENGTH:
                raise UpstreamFailed("upstream_malformed", "Content-Length is not one number of bytes")
            elif kind == CODING:
                if value.lower() != b"chunked" or self.length != UNTIL_CLOSE or self.wants_close:
                    raise UpstreamFailed("upstream_malformed", "the only transfer coding understood is chunked, alone")
                self.length = CHUNKED
                dropped.add(name.lower())
            elif kind == UPGRADE:
                self.upgrade = value
                dropped.add(name.lower())
            elif kind == LOAD:
                dropped.add(name.lower())
                self.load = self.load or (b"" if name.lower().endswith(b"-bin") else value)
            elif kind == DROPPED:
                dropped.add(name.lower())
                if name.lower() == b"keep-alive":
                    self._read_keep_alive(value)
        if connection:
            options = _tokens(b",".join(connection))
            self.wants_close = b"close" in options or (self.wants_close and b"keep-alive" not in options)
            dropped |= options - _OPTIONS - _NEVER_LEFT
        if dropped:
            self.fields = without(self.fields, dropped)

    def _read_keep_alive(self, value: bytes) -> None:
        for token in _tokens(value):
            name, _, seconds = token.partition(b"=")
            if name == b"timeout" and seconds.isdigit() and len(seconds) < _MAX_FORWARDS_DIGITS:
                self.keep_alive_timeout = int(seconds)

    def body(self) -> Body:
        """The framing of this response's body, ready to be fed."""
        length = self.length
        if length is None or length == 0:
            return NoBody()
        if length > 0:
            return LengthBody(length)
        return ChunkedBody(may_pad=True) if length == CHUNKED else UntilCloseBody()
