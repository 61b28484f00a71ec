"""Host and path patterns as people write them, parsed and checked."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final, NamedTuple, NoReturn
from urllib.parse import unquote_to_bytes

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}\Z")
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
# pchar of RFC 3986 §3.3 without ";", which some servers cut off, and without "*", which is ours
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()+,=:@")
_LONGEST_NAME: Final = 253  # RFC 1035 §2.3.4, without the root's dot


def _refuse(rule: str) -> NoReturn:
    raise ValueError(rule)


def canonical_host(field: str) -> str:
    """The name or address in a Host field: no port, no trailing dot, lower case, IPv6 in its shortest form."""
    if field.startswith("["):
        literal = field[1:].partition("]")[0]
        try:
            return f"[{IPv6Address(literal).compressed}]"
        except ValueError:
            return field.lower()
    return field.partition(":")[0].lower().removesuffix(".")


class HostPattern(NamedTuple):
    """One host: ``name`` is in canonical form; a wildcard's ``name`` is its suffix without ``*.``."""

    name: str
    is_wildcard: bool

    @classmethod
    def parse(cls, text: str) -> HostPattern:
        """Read ``shop.example.com``, ``*.example.com``, ``192.0.2.1`` or ``[2001:db8::1]``; ValueError otherwise."""
        if text == "*":
            _refuse('expected a host name; to match every host, leave "hosts" out')
        if text.startswith("["):
            if not text.endswith("]"):
                _refuse("expected an IPv6 address in brackets, without a port")
            try:
                return cls(f"[{IPv6Address(text[1:-1]).compressed}]", is_wildcard=False)
            except ValueError:
                _refuse("expected an IPv6 address in the brackets")
        if not text.isascii():
            _refuse("expected the name in its ASCII form (xn--…)")
        if ":" in text or "/" in text:
            _refuse("expected a host name only, without scheme, port or path")
        name = text.lower().removesuffix(".")
        is_wildcard = name.startswith("*.")
        name = name.removeprefix("*.")
        if "*" in name:
            _refuse('expected "*." only at the beginning, standing for one or more labels')
        if not name or len(name) > _LONGEST_NAME or not all(_LABEL.match(label) for label in name.split(".")):
            _refuse('expected a host name such as "shop.example.com" or a wildcard such as "*.example.com"')
        return cls(name, is_wildcard)

    def matches(self, host: str) -> bool:
        """Whether a canonical host is this name, or below it by at least one label for a wildcard."""
        return host.endswith(f".{self.name}") if self.is_wildcard else host == self.name

    def __str__(self) -> str:
        """The pattern as written in a file."""
        return f"*.{self.name}" if self.is_wildcard else self.name


class PathPattern(NamedTuple):
    """A path cut at its slashes; ``None`` in ``segments`` is a parameter, ``is_prefix`` means a final ``/*``.

    ``parameters`` are names with the index of their segment.
    """

    segments: tuple[str | None, ...]
    parameters: tuple[tuple[str, int], ...]
    is_prefix: bool

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """Read ``/exact``, ``/prefix/*`` or ``/users/{id}/orders``; ValueError with the rule otherwise."""
        if not text.startswith("/"):
            _refuse('expected a path that starts with "/"')
        parts = text[1:].split("/")
        is_prefix = parts[-1] == "*"
        if is_prefix:
            parts.pop()
        segments: list[str | None] = []
        parameters: list[tuple[str, int]] = []
        for index, part in enumerate(parts):
            is_last = index == len(parts) - 1
            found = _PARAMETER.match(part)
            if found is not None:
                if any(name == found[1] for name, _ in parameters):
                    _refuse(f"expected every parameter once; {{{found[1]}}} is there twice")
                parameters.append((found[1], index))
                segments.append(None)
            elif not part and (is_prefix or not is_last):
                _refuse('expected no empty segment ("//") in a path pattern')
            else:
                _check_literal(part)
                segments.append(part)
        return cls(tuple(segments), tuple(parameters), is_prefix)

    def matches(self, segments: list[str]) -> bool:
        """Whether a path, cut at its slashes, is one of this pattern's."""
        wanted = self.segments
        if len(segments) < len(wanted) or (len(segments) > len(wanted) and not self.is_prefix):
            return False
        return all(
            bool(segment) if pattern is None else segment in spellings(pattern)
            for pattern, segment in zip(wanted, segments, strict=False)
        )

    @property
    def shape(self) -> str:
        """The pattern with nameless parameters: equal shapes match the same paths."""
        parts = ["{}" if part is None else part for part in self.segments]
        return "/" + "/".join([*parts, "*"] if self.is_prefix else parts)


def spellings(literal: str) -> tuple[str, ...]:
    """The ways a literal segment may be met: as written, with either case of escapes, and decoded once."""
    if "%" not in literal:
        return (literal,)
    return (
        literal,
        _ESCAPE.sub(lambda found: found[0].upper(), literal),
        _ESCAPE.sub(lambda found: found[0].lower(), literal),
        unquote_to_bytes(literal).decode("latin-1"),
    )


def _check_literal(part: str) -> None:
    """Refuse what can never be met in exactly one reading of a path."""
    if "*" in part:
        _refuse('expected "*" only as the whole last segment')
    if "{" in part or "}" in part:
        _refuse('expected a parameter as a whole segment, such as "/users/{id}"')
    if part in {".", ".."}:
        _refuse("expected no dot segments in a path pattern")
    for escape in _ESCAPE.findall(part):
        char = chr(int(escape, 16))
        if char in _PLAIN:
            _refuse(f'expected "{char}" instead of "%{escape}"')
        if char in "/\\;\0":
            _refuse(f'expected no "%{escape}" in a path pattern; requests with it are ambiguous')
    rest = _ESCAPE.sub("", part)
    for char in rest:
        if char not in _PLAIN:
            _refuse(f"expected characters allowed in a path; write {char!r} percent-encoded")
    if _ESCAPE.search(unquote_to_bytes(part).decode("latin-1")):
        _refuse("expected a path that is percent-encoded once")
