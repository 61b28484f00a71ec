"""Keys and values as they may be shown to people: one line, escaped, without secrets."""

from __future__ import annotations

import re
from typing import Final

from gateway.core import secrets

Path = tuple[str | int, ...]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+\Z")
_USERINFO: Final = re.compile(r"(://|^)[^/@\s]*@")
_OURS: Final = frozenset({"key", "hash_key", "fairness_key"})
"""Keys of the settings that name a file or a field, and hold no secret."""
_LONGEST: Final = 80


def is_secret(name: str) -> bool:
    """Whether the value under this name is likely one that must not be shown."""
    return name.strip() not in _OURS and secrets.is_secret(name.strip())


def key(path: Path) -> str:
    """A key path as one writes it: ``routes.shop.match.hosts[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE.match(part) else f'"{_escape(part)}"')
    return text


def value(found: object, path: Path = ()) -> str:
    """What is written there: texts in quotes, passwords replaced, long ones cut, tables only named."""
    if isinstance(found, dict):
        return "a table"
    if isinstance(found, list):
        return "an array"
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, str):
        if any(is_secret(part) for part in path if isinstance(part, str)):
            return '"***"'
        text = _escape(_USERINFO.sub(r"\1***@", found))
        return f'"{text[:_LONGEST]}…"' if len(text) > _LONGEST else f'"{text}"'
    return _escape(str(found))[:_LONGEST]


def line(text: str) -> str:
    """A line of the file: passwords in URLs replaced, escaped, and cut."""
    text = _escape(_USERINFO.sub(r"\1***@", text))
    return f"{text[:_LONGEST]}…" if len(text) > _LONGEST else text


def _escape(text: str) -> str:
    """No line breaks, terminal controls or direction marks reach a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
