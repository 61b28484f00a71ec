"""Whose quota is it? The key of a request, read as the operator wrote it.

``client_ip`` (an IPv6 client is its prefix), ``header:NAME``, ``cookie:NAME``, ``path:NAME`` (a parameter of the
route's path pattern) or ``route`` (everybody together).

*Leaving it out gives no freedom.* Requests without the field, with an empty one, or with several that differ all
share the one key ``ABSENT``: of two values the upstream may believe the other.

*Long values* are hashed, so that what a client sends does not decide how much is remembered.
"""

from __future__ import annotations

from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LONGEST: Final = 64
# No field value can hold a NUL, so nobody can ask to be taken for these.
ABSENT: Final = "\0absent"
EVERYBODY: Final = "\0route"
_HASHED: Final = "\0hash:"


class Source(Enum):
    """Where a key is read from."""

    CLIENT = "client_ip"
    HEADER = "header"
    COOKIE = "cookie"
    PARAMETER = "path"
    ROUTE = "route"


class KeyReader:
    """Reads one kind of key; made by :meth:`parse`.

    ``is_of_client``: from the connection, not the head; ``is_of_route``: the same for every request of a route.
    """

    __slots__ = ("_name", "_source", "is_of_client", "is_of_route")

    def __init__(self, source: Source, name: str = "") -> None:
        self._source = source
        self._name = name
        self.is_of_client = source is Source.CLIENT
        self.is_of_route = source is Source.ROUTE

    @classmethod
    def parse(cls, text: str) -> KeyReader:
        """Read ``client_ip``, ``header:NAME``, ``cookie:NAME``, ``path:NAME`` or ``route``; ValueError otherwise."""
        word, colon, name = text.partition(":")
        is_named = word in {"header", "cookie", "path"}
        is_known = is_named or word in {"client_ip", "route"}
        if not is_known or bool(colon) is not is_named or (is_named and not _is_name(word, name)):
            message = "expected client_ip, header:NAME, cookie:NAME, path:NAME or route"
            raise ValueError(message)
        return cls(Source(word), name.lower() if word == "header" else name)

    @property
    def parameter(self) -> str:
        """The path parameter that the route must have; empty when none is read."""
        return self._name if self._source is Source.PARAMETER else ""

    def read(self, client: str, headers: Mapping[str, str], parameters: Mapping[str, str]) -> str:
        """The key of a request; ``headers`` are found by lower-case names."""
        source = self._source
        if source is Source.CLIENT:
            return client or ABSENT
        if source is Source.HEADER:
            return _bounded(_only(_all(headers, self._name)))
        if source is Source.COOKIE:
            return _bounded(_only(_cookies(_all(headers, "cookie"), self._name)))
        if source is Source.PARAMETER:
            return _bounded(parameters.get(self._name, ""))
        return EVERYBODY

    def __str__(self) -> str:
        return f"{self._source.value}:{self._name}" if self._name else self._source.value

    def __repr__(self) -> str:
        return f"<KeyReader {self}>"


def _is_name(word: str, name: str) -> bool:
    """A parameter is an identifier; a field or cookie is a token (RFC 9110 §5.6.2, RFC 6265 §4.1.1)."""
    if word == "path":
        return name.isidentifier()
    return name != "" and all(char.isascii() and (char.isalnum() or char in "!#$%&'*+-.^_`|~") for char in name)


def _all(headers: Mapping[str, str], name: str) -> Sequence[str]:
    """Every line of a field; a mapping that knows only one has only one."""
    every = getattr(headers, "getall", None)
    if every is not None:
        return every(name, ())  # type: ignore[no-any-return]
    value = headers.get(name)
    return () if value is None else (value,)


def _only(values: Sequence[str]) -> str:
    """The value, if there is one and no other."""
    first = values[0].strip(" \t") if values else ""
    if len(values) > 1 and any(value.strip(" \t") != first for value in values):
        return ""
    return first


def _cookies(lines: Sequence[str], name: str) -> list[str]:
    found = []
    for line in lines:
        for pair in line.split(";"):
            key, equals, value = pair.partition("=")
            if equals and key.strip(" \t") == name:
                found.append(value.strip(' \t"'))
    return found


def _bounded(value: str) -> str:
    if not value:
        return ABSENT
    if len(value) <= LONGEST:
        return value if value[0] != "\0" else _hashed(value)
    return _hashed(value)


def _hashed(value: str) -> str:
    return _HASHED + blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
