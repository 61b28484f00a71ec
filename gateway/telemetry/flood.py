"""Bounds how many lines a second one cause may write (pure)."""

from __future__ import annotations


class Flood:
    """Lets ``limit`` events a second through for each key and counts the others.

    A second begins with the first event of its key. Keys come from a fixed vocabulary (reason words,
    names of loggers); the caller sees to that.
    """

    __slots__ = ("_seconds", "limit")

    def __init__(self, limit: int = 20) -> None:
        self.limit = limit
        self._seconds: dict[str, tuple[float, int]] = {}

    def is_allowed(self, key: str, now: float) -> bool:
        """Count one event; whether it may be written. A second that is over must have been swept first."""
        start, n = self._seconds.get(key, (now, 0))
        self._seconds[key] = (start, n + 1)
        return n < self.limit

    def is_over(self, key: str, now: float) -> bool:
        """Whether this key's second has passed."""
        found = self._seconds.get(key)
        return found is not None and now - found[0] >= 1.0

    def finish(self, key: str) -> int:
        """Forget this key's second; how many events it had too many."""
        _, n = self._seconds.pop(key, (0.0, 0))
        return max(0, n - self.limit)

    def over(self, now: float) -> list[str]:
        """The keys whose second has passed."""
        return [key for key in self._seconds if self.is_over(key, now)]
