"""What a text must look like, by the format named at its key in the settings."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gateway.admission.rate_key import KeyReader
from gateway.config.addresses import parse_endpoint, parse_listen
from gateway.resilience.settings import parse_after
from gateway.routing.patterns import HostPattern, PathPattern

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")  # RFC 9110 §5.6.2
_METHOD: Final = re.compile(r"[A-Z][A-Z0-9_-]*\Z")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_VALUE: Final = re.compile(r"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?\Z")
_PATH: Final = re.compile(r"/[\x21\x22\x24-\x7e]*\Z")
_OBJECT: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z")  # RFC 1123, as Kubernetes reads it
_STATUS: Final = re.compile(r"[1-5](?:[0-9][0-9]|xx)\Z")
_FAILURE: Final = re.compile(r"5xx\Z|5[0-9][0-9]\Z|connect\Z|timeout\Z")
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z")
_SHARE: Final = re.compile(r"p?(0?\.[0-9]+)\Z")
_EXPRESSION: Final = re.compile(r"[\^$()\[\]\\|]|\.[*+]|\A~")
_COLON: Final = re.compile(r"/:[A-Za-z_]")
_ANGLED: Final = re.compile(r"<[^/]*>")
# Fields by which a message is delimited or a connection is run (RFC 9110 §7.6.1, RFC 9112 §6): the
# gateway writes them itself, and a second opinion on them is how requests are smuggled.
_OWNED: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def _token(text: str) -> None:
    if not _TOKEN.match(text):
        message = "expected the name of a header field, such as x-request-id"
        raise ValueError(message)


def _field_to_change(text: str) -> None:
    _token(text)
    if text.lower() in _OWNED:
        message = "expected a field that is not the gateway's own (framing and connection fields are)"
        raise ValueError(message)


def _field_to_remove(text: str) -> None:
    _field_to_change(text)
    if text.lower() == "host":
        message = "expected a field other than Host, which every request must have"
        raise ValueError(message)


def _header_value(text: str) -> None:
    if not _VALUE.match(text):
        message = "expected visible ASCII characters without control characters or spaces around them"
        raise ValueError(message)


def _method(text: str) -> None:
    if not _METHOD.match(text):
        message = "expected a method in capitals"
        raise ValueError(message)


def _name(text: str) -> None:
    if not _NAME.match(text):
        message = "expected a name of 1 to 64 letters, digits, _, . or -"
        raise ValueError(message)


def _network(text: str) -> None:
    if text == "unix":
        return
    try:
        ip_network(text)
    except ValueError as error:
        message = f'expected "unix" or a network such as "10.0.0.0/8" ({str(error).removeprefix(repr(text)).strip()})'
        raise ValueError(message) from None


def _path(text: str) -> None:
    if not _PATH.match(text):
        message = 'expected a path that starts with "/", percent-encoded where needed'
        raise ValueError(message)


def _host(text: str) -> None:
    if not _HOST.match(text):
        message = "expected the name of a host, such as shop.example.com"
        raise ValueError(message)


def _status(text: str) -> None:
    if not _STATUS.match(text):
        message = 'expected a status such as "204", or all of a class such as "2xx"'
        raise ValueError(message)


def _failure(text: str) -> None:
    if not _FAILURE.match(text):
        message = 'expected "5xx", a status such as "507", "connect" or "timeout"'
        raise ValueError(message)


def _hedge_after(text: str) -> None:
    share = _SHARE.match(text)
    if share is not None:
        message = f'expected the quantile as a percentage, "p{float(share[1]) * 100:g}"'
        raise ValueError(message)
    if text:
        parse_after(text)


def _path_pattern(text: str) -> None:
    try:
        PathPattern.parse(text)
    except ValueError as error:
        message = str(error)
        if _EXPRESSION.search(text):
            message = (
                'expected a path, a prefix ("/api/*") or parameters ("/users/{id}"); regular expressions are not known'
            )
        elif _ANGLED.search(text):
            message = 'expected a parameter in braces as a whole segment, such as "/users/{id}"'
        raise ValueError(message) from None


def _without_nul(text: str) -> None:
    if "\0" in text:
        message = "expected a text without NUL"
        raise ValueError(message)


def _file(text: str) -> None:
    _without_nul(text)
    if not text:
        message = "expected the name of a file"
        raise ValueError(message)


def _object_name(text: str) -> None:
    if not _OBJECT.match(text):
        message = "expected a name of lower-case letters, digits, - or ."
        raise ValueError(message)


def _url(text: str) -> None:
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or not _VALUE.match(text) or " " in text:
        message = "expected a URL such as https://scaler.example.com/decisions"
        raise ValueError(message)
    if parts.username is not None or parts.password is not None or parts.fragment:
        message = "expected a URL without user, password or fragment"
        raise ValueError(message)


_FORMATS: Final[dict[str, Callable[[str], object]]] = {
    "rate_key": KeyReader.parse,
    "argument": _without_nul,
    "endpoint": parse_endpoint,
    "failure": _failure,
    "field_to_change": _field_to_change,
    "field_to_remove": _field_to_remove,
    "file": _file,
    "header_name": _token,
    "header_value": _header_value,
    "hedge_after": _hedge_after,
    "host": _host,
    "host_pattern": HostPattern.parse,
    "listen": parse_listen,
    "method": _method,
    "name": _name,
    "network": _network,
    "object_name": _object_name,
    "path": _path,
    "path_pattern": _path_pattern,
    "status": _status,
    "url": _url,
}

EXPRESSIONS: Final = {
    "failure": _FAILURE,
    "field_to_change": _TOKEN,
    "field_to_remove": _TOKEN,
    "header_name": _TOKEN,
    "header_value": _VALUE,
    "host": _HOST,
    "method": _METHOD,
    "name": _NAME,
    "object_name": _OBJECT,
    "path": _PATH,
    "status": _STATUS,
}
"""What every text of a format fits, where that is one expression, which JSON Schema can say too."""


def reads_as_other(path: str) -> str:
    """What a path pattern means that reads as another router's; empty when it does not."""
    if _COLON.search(path):
        return 'takes ":" literally; a parameter is written in braces, such as "/users/{id}"'
    if _EXPRESSION.search(path):
        return 'is taken literally; it is no regular expression: "/api/*" is everything below /api'
    return ""


def check(name: str, text: str) -> str:
    """The rule that a text breaks; empty when it breaks none."""
    try:
        _FORMATS[name](text)
    except ValueError as error:
        return str(error)
    return ""
