"""How much time a client gives its request, and what is left of it for the upstream.

Understood: ``X-Request-Timeout-Ms`` (milliseconds), ``grpc-timeout`` (gRPC over HTTP, "Requests": digits and a
unit), ``X-Request-Deadline`` (seconds since the epoch). Whichever is sooner counts. Anybody may shorten its own
time, so nobody needs to be trusted for it; what cannot be read is not there.
"""

from __future__ import annotations

import re
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_MILLISECONDS: Final = re.compile(r"\d{1,9}\Z", re.ASCII)
_GRPC: Final = re.compile(r"(\d{1,8})([HMSmun])\Z", re.ASCII)
_GRPC_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_EPOCH: Final = re.compile(r"\d{1,12}(?:\.\d{1,9})?\Z", re.ASCII)

RELATIVE: Final = frozenset({b"x-request-timeout-ms", b"grpc-timeout"})
"""Fields whose value is a length of time, and so must be made shorter on the way."""


class Budget(NamedTuple):
    """How long a request may take in ``seconds``, and by which ``instant`` on the wall clock it must end.

    Both are ``inf`` when the client says nothing; ``is_grpc`` when the upstream is told the rest in gRPC's own field.
    """

    seconds: float
    instant: float
    is_grpc: bool


UNLIMITED: Final = Budget(inf, inf, is_grpc=False)


def read_budget(headers: Mapping[str, str]) -> Budget:
    """What the client's fields say; ``headers`` ignores the case of names."""
    milliseconds = headers.get("x-request-timeout-ms", "")
    grpc = headers.get("grpc-timeout", "")
    deadline = headers.get("x-request-deadline", "")
    if not (milliseconds or grpc or deadline):
        return UNLIMITED
    seconds = int(milliseconds) / 1000 if _MILLISECONDS.match(milliseconds) else inf
    found = _GRPC.match(grpc)
    if found is not None:
        seconds = min(seconds, int(found[1]) * _GRPC_UNITS[found[2]])
    return Budget(seconds, float(deadline) if _EPOCH.match(deadline) else inf, is_grpc=found is not None)


def render_budget(remaining: float, *, is_grpc: bool) -> bytes:
    """The field lines that tell the upstream how many seconds are left, rounded down to milliseconds."""
    left = max(int(remaining * 1000), 0)
    lines = b"X-Request-Timeout-Ms: %d\r\n" % left
    return lines + b"grpc-timeout: %dm\r\n" % min(left, 99_999_999) if is_grpc else lines
