"""Out at once, in only to what was enough for a hold; and a reversal makes the hold longer.

Let h₀ be the shortest hold and H the longest. Scale-in needs that for the present hold h ≥ h₀ nothing was scaled
out, and goes no lower than the highest want of that time. After a surge waiting is dear: when for φ·h (φ =
:data:`FALL`) nothing was scaled out and no more than :data:`SMALL` of what there is was wanted, it may go to what was
wanted in that time. If a scale-in is reversed by a scale-out within h, h grows by half, up to H; each quiet time of
H without any change takes a growth back.

*The bound.* Between a scale-out and the next scale-in there are at least φ·h₀ seconds. So in any span of L seconds at
most 1 + ⌊L/φh₀⌋ times a scale-in follows a scale-out; turns alternate, so there are at most 2 + 2⌊L/φh₀⌋ turns of
direction. While every scale-in is reversed within its hold, h is min(H, h₀·1.5ᵏ) after k of them, so their number in L
seconds is at most one more than the k with φh₀·(1.5 + … + 1.5ᵏ) ≤ L: it grows like log L up to H, and like L/φH from
there.
:func:`most_turns` and :func:`most_flips` are these bounds.
"""

from __future__ import annotations

from collections import deque
from typing import Final

GROWTH: Final = 1.5
FALL: Final = 0.13
"""Of the hold: how long a surge must be over before most of what it brought may go."""
STARTS: Final = 2.0
"""Times of a start: what is taken away and needed again within one has cost more than it would have by staying."""
SMALL: Final = 0.55
"""Of what there is: when no more than this was wanted, the surge is over."""


class Hysteresis:
    """Remembers what was wanted; says how far one may scale in."""

    __slots__ = (
        "_direction",
        "_last",
        "_least",
        "_longest",
        "_moved_at",
        "_out_at",
        "_quiet_since",
        "_stay_until",
        "_tops",
        "hold",
    )

    def __init__(self, least: float, longest: float) -> None:
        self._least = least
        self._longest = max(least, longest)
        self.hold = least
        """Seconds for which a number must have been enough."""
        self._tops: deque[tuple[float, int]] = deque()
        self._out_at = self._quiet_since = self._moved_at = float("-inf")
        self._last = self._stay_until = float("-inf")
        self._direction = 0

    def want(self, replicas: int, now: float) -> None:
        """Remember what was wanted; of equal or lower wants before, only the highest matters."""
        tops = self._tops
        while tops and tops[-1][1] <= replicas:
            tops.pop()
        tops.append((now, replicas))
        while tops[0][0] < now - self._longest and len(tops) > 1 and tops[1][0] <= now - self._longest:
            tops.popleft()
        if self._last == float("-inf"):
            self._quiet_since = now
        self._last = now
        if self.hold > self._least and now - self._quiet_since >= self._longest:
            self.hold = max(self._least, self.hold / GROWTH)
            self._quiet_since = now

    def floor(self, current: int, now: float, start: float = 0.0) -> int | None:
        """How far one may scale in now; None while it is too early after a scale-out.

        The most that was wanted in the last hold, or in the shorter time after a surge when that is a small part
        of what there is. ``start`` is how long a start takes, in seconds.
        """
        short = min(max(FALL * self.hold, STARTS * start), self.hold)
        if now - self._out_at < short or now < self._stay_until:
            return None
        most = self._most(now - short)
        if 0 < most <= current * SMALL:
            return most
        return self._most(now - self.hold) if now - self._out_at >= self.hold else None

    def _most(self, begin: float) -> int:
        # tops fall from left to right; each one held until the next was put, so the one before ``begin`` counts
        found = self._tops[-1][1]
        for instant, replicas in reversed(self._tops):
            if instant < begin:
                break
            found = replicas
        return found

    def moved(self, difference: int, now: float) -> None:
        """A change was made: by how many replicas."""
        direction = 1 if difference > 0 else -1
        if direction > 0:
            if self._direction < 0 and now - self._moved_at < self.hold:
                self.hold = min(self.hold * GROWTH, self._longest)
            self._out_at = now
        self._direction = direction
        self._moved_at = self._quiet_since = now

    def stay(self, now: float) -> None:
        """What was set or ordered by hand is no surge: it stays for a whole hold."""
        self._stay_until = now + self.hold

    def silent(self, now: float) -> None:
        """Until now it was not known what was wanted: nothing is scaled in before a whole hold was seen again."""
        self._tops.clear()
        self._out_at = self._quiet_since = now
        self.stay(now)

    def __repr__(self) -> str:
        return f"<Hysteresis hold={self.hold:g}>"


def most_turns(length: float, least: float) -> int:
    """The most turns of direction in any span of ``length`` seconds, whatever is wanted; ``least`` is h₀."""
    return 2 + 2 * int(length / (FALL * least))


def most_flips(length: float, least: float, longest: float) -> int:
    """The most scale-ins in ``length`` seconds that are each reversed within their hold, with no quiet time between."""
    count, hold, spent = 1, least, 0.0
    while True:
        hold = min(hold * GROWTH, longest)
        spent += FALL * hold
        if spent > length:
            return count
        count += 1
