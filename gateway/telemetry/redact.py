"""Takes secrets out of what is about to be written down.

It would rather hide too much than too little: a hidden sort key is a nuisance, a shown token is an
incident.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_plus

from gateway.core.secrets import HIDDEN, is_secret, is_surely_secret

_PARAMETER: Final = re.compile(r"(?:^|[?;])([^=;?]*)=")
_USERINFO: Final = re.compile(r"://[^/\s]*@")
_FIELD_LINE: Final = re.compile(
    r"((?:proxy-)?authorization2?|(?:set-)?cookie2?)(?:\\*[\"'])?\s*[:=,]\s*(?:(?!\\r|\\n)[^\r\n])*", re.IGNORECASE
)
_SCHEME: Final = re.compile(r"\b(bearer|basic|digest|negotiate)\s+[A-Za-z0-9+/=._~-]{6,}", re.IGNORECASE)
_MARKS: Final = frozenset(" =:,<")
_NAME: Final = r"[\w.%\[\]-]{1,64}"
# A text in quotes with what is escaped in it, the same in quotes that are escaped themselves, or one word. What was cut
# off has no end.
_VALUE: Final = r"(?:b?([\"'])(?:\\.|[^\\])*?(?:\{0}|\Z)|b?(\\+[\"'])(?:.*?)(?:\{1}|\Z)|[^\s,;&}})\]\"'<>]+)"
_ASSIGNMENT: Final = re.compile(rf"({_NAME})(\s?=\s?)" + _VALUE.format(3, 4), re.DOTALL)
_QUOTED: Final = re.compile(rf"(\\*[\"'])({_NAME})\1(\s*[:=,]\s*)" + _VALUE.format(4, 5), re.DOTALL)
_SAID: Final = re.compile(rf"(?<![\w.-])({_NAME})(\s?:\s*)(?!//)[^\s,;&}}\"'<>][^\r\n,;&}}\"'<>]*")
_ELEMENT: Final = re.compile(rf"<((?:\w+:)?{_NAME})((?:\s[^<>]*)?>)[^<]+")


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
    if '"' in text or "'" in text:
        text = _QUOTED.sub(_redact_quoted, text)
    if ":" in text:
        text = _SAID.sub(_redact_said, text)
    if "<" in text:
        text = _ELEMENT.sub(_redact_element, text)
    if "=" in text:
        text = _ASSIGNMENT.sub(_redact_assignment, text)
    return text


def _is_one_word(text: str) -> bool:
    """Whether none of the patterns can match: each needs a space or one of these."""
    return not _MARKS.intersection(text) and text.isprintable()


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
    return f"{found[1]}{found[2]}{HIDDEN}" if _is_secret_parameter(found[1]) else found[0]


def _redact_quoted(found: re.Match[str]) -> str:
    quote, name, mark = found[1], found[2], found[3]
    return f"{quote}{name}{quote}{mark}{quote}{HIDDEN}{quote}" if _is_secret_parameter(name) else found[0]


def _redact_said(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{HIDDEN}" if is_surely_secret(found[1]) else found[0]


def _redact_element(found: re.Match[str]) -> str:
    return f"<{found[1]}{found[2]}{HIDDEN}" if _is_secret_parameter(found[1]) else found[0]
