"""Wall time as RFC 3339 text, cheap enough for every line."""

from __future__ import annotations

from datetime import UTC, datetime


class Stamp:
    """Writes an instant as ``2026-01-31T23:59:59.123Z``, cut to milliseconds.

    The text of the last millisecond and the part down to the last second are kept.
    """

    __slots__ = ("_millisecond", "_prefix", "_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._prefix = ""
        self._millisecond = -1
        self._text = ""

    def __call__(self, wall: float) -> str:
        """The text of ``wall``, in seconds since the epoch."""
        millisecond = int(wall * 1000)
        if millisecond != self._millisecond:
            second = millisecond // 1000
            if second != self._second:
                self._second = second
                self._prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._millisecond = millisecond
            self._text = f"{self._prefix}.{millisecond % 1000:03d}Z"
        return self._text
