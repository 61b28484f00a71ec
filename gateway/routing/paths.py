r"""The ways in which a path may be read behind us.

The path is forwarded as it came, and servers differ in what they make of it. A *reading* is the path
after any sequence of these steps: percent-decoding once, ``\`` taken for ``/``, ``;parameters`` cut
from segments, runs of slashes merged, dot segments resolved (RFC 3986 §5.2.4). A path that is still
escaped in a dangerous place after one decoding (``%252e``) is also read decoded twice, because two
servers in a row each decode once.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.core.errors import BadRequest

_HEXADECIMAL: Final = frozenset("0123456789abcdefABCDEF")
_NESTED: Final = ("%2e", "%2f", "%5c")
# Ordinary odd paths have two to eight readings of a few hundred characters; a crafted one must not
# buy more of our time than its own length pays for.
_FREE_CHARACTERS: Final = 16 * 1024


def is_plain(path: str) -> bool:
    """Whether the path has only one reading."""
    return not ("%" in path or "//" in path or "/." in path or ";" in path or "\\" in path)


def readings(path: str) -> list[str]:
    """Every other reading of a path, in a fixed order.

    BadRequest ``bad_target`` for invalid escapes, ``%00`` and readings that climb above the root;
    ``ambiguous_path`` when there are too many readings to judge.
    """
    _check_escapes(path)
    budget = _FREE_CHARACTERS + 4 * len(path)
    seen = {(path, 0)}
    found = [(path, 0)]
    for text, decodings in found:
        budget -= len(text)
        if budget < 0:
            raise BadRequest("ambiguous_path", "too many readings")
        for following in _steps(text, decodings):
            if following not in seen:
                seen.add(following)
                found.append(following)
    return list(dict.fromkeys(text for text, _ in found if text != path))


def _check_escapes(path: str) -> None:
    for part in path.split("%")[1:]:
        digits = part[:2]
        if len(digits) < 2 or not _HEXADECIMAL.issuperset(digits):  # noqa: PLR2004 - two digits make a byte
            raise BadRequest("bad_target", "invalid percent-encoding")
        if digits == "00":
            raise BadRequest("bad_target", "encoded NUL")


def _steps(text: str, decodings: int) -> list[tuple[str, int]]:
    """What one more step makes of a reading."""
    following = []
    if "%" in text and (decodings == 0 or (decodings == 1 and _is_nested(text))):
        following.append((unquote_to_bytes(text).decode("latin-1"), decodings + 1))
    if "\\" in text:
        following.append((text.replace("\\", "/"), decodings))
    if ";" in text:
        following.append(("/".join([part.partition(";")[0] for part in text.split("/")]), decodings))
    if "//" in text:
        following.append((_merge_slashes(text), decodings))
    if "/." in text:
        following.append((_resolve_dots(text, is_certain=decodings < 2), decodings))  # noqa: PLR2004 - see above
    return following


def _is_nested(text: str) -> bool:
    lower = text.lower()
    return any(escape in lower for escape in _NESTED)


def _merge_slashes(text: str) -> str:
    while "//" in text:
        text = text.replace("//", "/")
    return text


def _resolve_dots(text: str, *, is_certain: bool) -> str:
    """Remove ``.`` and ``..`` segments; climbing above the root is not acceptable in a reading that is certain.

    Where it takes two decodings the root holds, as it does in servers.
    """
    kept: list[str] = []
    parts = text.split("/")[1:]
    for part in parts:
        if part == "..":
            if kept:
                kept.pop()
            elif is_certain:
                raise BadRequest("bad_target", "dot segments above the root")
        elif part != ".":
            kept.append(part)
    if parts[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
