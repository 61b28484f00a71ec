"""Takes secrets out of what is about to be written down.

It would rather hide too much than too little: a hidden sort key is a nuisance, a shown token is an
incident.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_plus

HIDDEN: Final = "***"

_FIELDS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "cookie2", "set-cookie", "set-cookie2"})

# The first group gives a secret away anywhere in a name; the second only as a whole word of it, so
# that "author", "monkey" and "design" stay readable.
_SECRET_NAME: Final = re.compile(
    r"token|passw|pwd|secret|signature|credential|apikey|accesskey|privatekey|sessionid"
    r"|(?:^|[^a-z])(?:key|sig|auth|pass|session|sid|jwt|otp|assertion)(?:$|[^a-z])"
    r"|^code$"
)
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PARAMETER: Final = re.compile(r"(?:^|[?;])([^=;?]*)=")
_USERINFO: Final = re.compile(r"://[^/\s]*@")
_FIELD_LINE: Final = re.compile(
    r"((?:proxy-)?authorization2?|(?:set-)?cookie2?)(?:\\*[\"'])?\s*[:=,]\s*(?:(?!\\r|\\n)[^\r\n])*", re.IGNORECASE
)
_SCHEME: Final = re.compile(r"\b(bearer|basic|digest|negotiate)\s+[A-Za-z0-9+/=._~-]{6,}", re.IGNORECASE)
_ASSIGNMENT: Final = re.compile(r"([\w.%\[\]-]{1,64})=([^\s&\"'<>]+)")


def is_secret(name: str) -> bool:
    """Whether a parameter, a field or a key with this name is likely to hold a secret."""
    lower = name.lower().replace("_", "-")
    if lower in _FIELDS:
        return True
    return _SECRET_NAME.search(_CAMEL.sub("-", name).lower()) is not None


def redact_target(target: str) -> str:
    """A request target with the values of secret parameters and any userinfo hidden.

    Parameters are judged by their decoded names; a value ends at the next ``&``.
    """
    if "@" in target:
        target = _USERINFO.sub(f"://{HIDDEN}@", target)
    if "=" not in target:
        return target
    path, mark, query = target.partition("?")
    if ";" in target or "?" in query:
        return "&".join([_redact_parameter(part) for part in target.split("&")])
    shown = []
    for part in query.split("&"):
        name = part.partition("=")[0]
        shown.append(f"{name}={HIDDEN}" if _is_secret_parameter(name) and name != part else part)
    return path + mark + "&".join(shown)


def redact_text(text: str) -> str:
    """Any text with field values, credentials, userinfo in URLs and secret parameters hidden."""
    if _is_one_word(text):
        return text
    if "@" in text:
        text = _USERINFO.sub(f"://{HIDDEN}@", text)
    text = _FIELD_LINE.sub(rf"\1: {HIDDEN}", text)
    text = _SCHEME.sub(rf"\1 {HIDDEN}", text)
    if "=" in text:
        text = _ASSIGNMENT.sub(_redact_assignment, text)
    return text


def _is_one_word(text: str) -> bool:
    """Whether none of the patterns can match: each needs a space or one of these."""
    return " " not in text and "=" not in text and ":" not in text and "," not in text and text.isprintable()


def _redact_parameter(part: str) -> str:
    for found in _PARAMETER.finditer(part):
        if _is_secret_parameter(found[1]):
            return part[: found.end()] + HIDDEN
    return part


@lru_cache(maxsize=1024)
def is_secret_key(name: str) -> bool:
    """Whether a key of ours, of which there are few, is likely to hold a secret."""
    return is_secret(name)


@lru_cache(maxsize=1024)
def _is_secret_parameter(name: str) -> bool:
    return is_secret(unquote_plus(name))


def _redact_assignment(found: re.Match[str]) -> str:
    if _is_secret_parameter(found[1]):
        return f"{found[1]}={HIDDEN}"
    return found[0]
