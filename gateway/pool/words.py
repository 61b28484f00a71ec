"""What a line that a process writes says of itself: its level, and its fields where it is JSON (pure).

A line that is a JSON object is taken apart into its fields, whose values are kept byte by byte. Any other line is text.
The level of a JSON line is what its ``level`` (or ``severity``, ``levelname``, ``lvl``) says, in words or in the
numbers of bunyan and pino; that of text is the first word for a level near its beginning, as uvicorn, gunicorn, Django
and :mod:`logging` write it. Lines that are indented belong to the line before them, and so does the end of a traceback.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from msgspec import DecodeError, Raw, json

_WORDS: Final = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "information": "info",
    "notice": "info",
    "warn": "warning",
    "warning": "warning",
    "err": "error",
    "error": "error",
    "critical": "critical",
    "crit": "critical",
    "fatal": "critical",
    "panic": "critical",
    "alert": "critical",
    "emerg": "critical",
    "emergency": "critical",
}
_NUMBERS: Final = {10: "debug", 20: "debug", 30: "info", 40: "warning", 50: "error", 60: "critical"}
_KEYS: Final = ("level", "severity", "levelname", "lvl", "log.level")
_FAR: Final = 160
_FOUND: Final = re.compile(
    r"(?:^|[\s\[|(])(TRACE|DEBUG|INFO|NOTICE|WARNING|WARN|ERROR|CRITICAL|FATAL)(?=$|[\s\]:|),-])"
    r"|\b(?:level|lvl|severity)=\"?([A-Za-z]+)"
)
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_TRACEBACK: Final = "Traceback (most recent call last):"
_FIELDS: Final = json.Decoder(dict[str, Raw])


class Said(NamedTuple):
    """One line: its level, and its text, or the fields of a JSON object."""

    level: str
    text: str
    fields: dict[str, Raw] | None = None


class Reader:
    """Reads the lines of one stream in their order."""

    __slots__ = ("_is_traceback", "_level")

    def __init__(self) -> None:
        self._level = "info"
        self._is_traceback = False

    def read(self, line: str) -> Said:
        """What this line says."""
        if line.startswith("{") and line.rstrip().endswith("}"):
            fields = _fields(line)
            if fields is not None:
                self._is_traceback = False
                self._level = _level_of(fields)
                return Said(self._level, line, fields)
        return Said(self._level_of_text(line), line)

    def _level_of_text(self, line: str) -> str:
        if line[:1] in " \t":
            return self._level
        if self._is_traceback and not line.startswith("During handling"):
            self._is_traceback = False  # its last line, which says what it was
            return self._level
        if line.startswith(_TRACEBACK):
            self._is_traceback = True
            self._level = "error"
            return self._level
        found = _FOUND.search(_COLOUR.sub("", line[:_FAR]))
        self._level = "info" if found is None else _WORDS.get((found[1] or found[2]).lower(), "info")
        return self._level


def _fields(line: str) -> dict[str, Raw] | None:
    try:
        return _FIELDS.decode(line)
    except (DecodeError, UnicodeError, RecursionError):
        return None


def _level_of(fields: dict[str, Raw]) -> str:
    for key in _KEYS:
        raw = fields.get(key)
        if raw is None:
            continue
        try:
            value = json.decode(raw)
        except (DecodeError, RecursionError):
            continue
        level = (
            _WORDS.get(value.lower()) if isinstance(value, str) else _NUMBERS.get(value) if type(value) is int else ""
        )
        if level:
            return level
    return "info"
