"""Access logs as lists of requests: our own, as JSON or for people, nginx's and Apache's, and other JSON with a time.

Our own lines are written when a request ends and say how long it took, so it counts when it came. Others count when
their line says; with nginx that is the end of the request, to the second. Lines that are no requests are left out.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import DecodeError, json

if TYPE_CHECKING:
    from collections.abc import Callable

TIMES: Final = ("time", "@timestamp", "timestamp", "ts", "time_iso8601", "time_local", "date", "datetime", "msec")
_CLF: Final = re.compile(r'\S+ \S+ .*?\[(\d{2}/[A-Za-z]{3}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4})\] (?:"|\S)')
_CLF_TIME: Final = "%d/%b/%Y:%H:%M:%S %z"
_PEOPLE: Final = re.compile(r"(\d{4}-\d\d-\d\dT[0-9:.]+Z) (?:worker-\d+) (\d{3}) \S+ \S+ ([0-9.]+)ms ")
_OURS: Final = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+Z (?:control|worker-\d+) ")
_ERROR: Final = 400


class LoggedRequest(NamedTuple):
    """When a request came, in seconds of any zero, and its status; 0 = the line has none."""

    at: float
    status: int = 0


def log_reader(first: str, instant: Callable[[str], float | None]) -> Callable[[str], LoggedRequest | None] | None:
    """What reads the lines of a log that begins with this one, None when it is no log that is known.

    It gives None for a line that is no request. ``instant`` reads a time.
    """
    if first.startswith("{"):
        return lambda line: _of_json(line, instant)
    if _CLF.match(first):
        return _of_common_log
    if _OURS.match(first):
        return lambda line: _for_people(line, instant)
    return None


def is_error(status: int) -> bool:
    """Whether it is the status of an error."""
    return status >= _ERROR


def _of_common_log(line: str) -> LoggedRequest | None:
    found = _CLF.match(line)
    if found is None:
        return None
    try:
        at = datetime.strptime(found[1], _CLF_TIME).timestamp()  # noqa: DTZ007 - %z is in the format
    except ValueError:
        return None
    status = re.match(r'[^"]*"(?:[^"\\]|\\.)*" (\d{3}) ', line)
    return LoggedRequest(at, int(status[1]) if status else 0)


def _for_people(line: str, instant: Callable[[str], float | None]) -> LoggedRequest | None:
    found = _PEOPLE.match(line)
    at = None if found is None else instant(found[1])
    return None if found is None or at is None else LoggedRequest(at - float(found[3]) / 1000, int(found[2]))


def _of_json(line: str, instant: Callable[[str], float | None]) -> LoggedRequest | None:
    try:
        found: Any = json.decode(line)
    except (DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(found, dict):
        return None
    is_ours = "process" in found and "event" in found
    if is_ours and found["event"] != "request":
        return None
    said = next((found[name] for name in TIMES if name in found), None)
    at = None if said is None else instant(str(said))
    if at is None:
        return None
    took, status = found.get("seconds", 0.0), found.get("status", 0)
    if is_ours and isinstance(took, int | float):
        at -= took
    return LoggedRequest(at, status if isinstance(status, int) else 0)
