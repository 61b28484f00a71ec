"""The time of day as the ledger writes it."""

from __future__ import annotations

from datetime import UTC, datetime


def wall_text(wall: float) -> str:
    """The time of day in ISO form, UTC, to the millisecond."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def wall_seconds(text: object) -> float:
    """Seconds since the epoch of such a text; ValueError when it is none."""
    return datetime.fromisoformat(str(text)).timestamp()
