"""Where a service sends its client, when it does not know the prefix under which the client sees it.

``Location`` and ``Content-Location`` (RFC 9110 §10.2.2, §8.7) that name a path, or an address of this service, get the
prefix that ``strip_prefix`` has taken away. Other addresses, references relative to the page, and paths that have the
prefix already stay as they are.
"""

from __future__ import annotations

import re
from typing import Final

_FIELD: Final = re.compile(rb"(?im)^((?:content-)?location:[ \t]*)([^\r\n]*)")
_URL: Final = re.compile(rb"(?i)(https?://)([^/?#]*)(/[^\r\n]*)?\Z")


def relocated(fields: bytes, prefix: bytes, host: bytes, endpoint: bytes) -> bytes:
    """The field lines of a response to a client that asked for ``host``, from the authority ``endpoint``."""

    def changed(found: re.Match[bytes]) -> bytes:
        return found[1] + _with_prefix(found[2], prefix, host, endpoint)

    return _FIELD.sub(changed, fields)


def _with_prefix(value: bytes, prefix: bytes, host: bytes, endpoint: bytes) -> bytes:
    base = b""
    path = value
    if not value.startswith(b"/"):
        found = _URL.match(value)
        if found is None:
            return value
        authority = found[2].lower()
        path = found[3] or b"/"
        if authority == host.lower():
            base = found[1] + found[2]
        elif authority != endpoint.lower():  # an address that only we know is no address for a client
            return value
    elif value.startswith(b"//"):
        return value
    has_prefix = path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in b"/?#"
    return base + path if has_prefix else base + prefix + path
