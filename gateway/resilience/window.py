"""What the calls of the last seconds were, in ten buckets."""

from __future__ import annotations

from typing import Final

_BUCKETS: Final = 10


class Window:
    """Counts of the last ``seconds``, give or take the bucket under way (a tenth of them).

    ``calls``, ``failures``, ``slow`` and ``asked`` (the upstream said when to come again) are totals over the window
    and are incremented in place by who counts, after ``if now >= window.until: window.roll(now)``: a method call
    would cost more than the counting. What belongs to the bucket under way is the total minus what the other buckets
    hold, and is worked out when that bucket ends.
    """

    __slots__ = ("_at", "_buckets", "_kept", "_width", "asked", "calls", "failures", "seconds", "slow", "until")

    def __init__(self, seconds: float, now: float) -> None:
        self.seconds = seconds
        self._width = seconds / _BUCKETS
        self.clear(now)

    def clear(self, now: float) -> None:
        """Forget everything."""
        self.calls = self.failures = self.slow = self.asked = 0
        self.until = now + self._width
        self._at = 0
        self._buckets = [(0, 0, 0, 0)] * _BUCKETS
        self._kept = (0, 0, 0, 0)

    def add(self, now: float, *, is_failure: bool = False, is_slow: bool = False) -> None:
        """Count one call."""
        if now >= self.until:
            self.roll(now)
        self.calls += 1
        self.failures += is_failure
        self.slow += is_slow

    def roll(self, now: float) -> None:
        """End the bucket under way, and forget those that are older than the window."""
        passed = int((now - self.until) / self._width) + 1
        if passed >= _BUCKETS:
            self.clear(now)
            return
        buckets = self._buckets
        calls, failures, slow, asked = self._kept
        buckets[self._at] = (self.calls - calls, self.failures - failures, self.slow - slow, self.asked - asked)
        for _ in range(passed):
            self._at = (self._at + 1) % _BUCKETS
            calls, failures, slow, asked = buckets[self._at]
            self.calls -= calls
            self.failures -= failures
            self.slow -= slow
            self.asked -= asked
            buckets[self._at] = (0, 0, 0, 0)
        self._kept = (self.calls, self.failures, self.slow, self.asked)
        self.until += passed * self._width

    def recent(self, seconds: float, now: float) -> int:
        """How many calls ended in the last ``seconds``, rounded up to whole buckets."""
        if now >= self.until:
            self.roll(now)
        count = self.calls - self._kept[0]
        whole = min(_BUCKETS - 1, int(seconds / self._width + 0.999))
        for back in range(1, whole + 1):
            count += self._buckets[(self._at - back) % _BUCKETS][0]
        return count

    def __repr__(self) -> str:
        return f"<Window calls={self.calls} failures={self.failures} slow={self.slow}>"
