"""Replicas on their way, and when the first of them will serve (pure).

What is coming is what was asked for and is not ready, while somebody says that it is being started. When it comes is
told from measured cold starts: the median time from intent to ready. A start that takes more than twice the 90th
percentile is not believed in any more, and nothing is while processes rest after a crash loop: a promise that is not
kept costs those who wait for it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from gateway.signals.reading import Replicas

LATE: Final = 2.0
"""Times the 90th percentile of cold starts: later than that nothing is expected any more."""
_GRACE: Final = 5.0
_OVERDUE: Final = 1.0
"""Seconds in which what is later than usual is expected, again and again."""


class Promise(NamedTuple):
    """In ``wait`` seconds the target does ``growth`` times what it does now."""

    wait: float
    growth: float


class Coming:
    """Remembers since when each replica has been on its way."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: deque[float] = deque()

    @property
    def is_open(self) -> bool:
        """Whether anything was on its way at the last look."""
        return bool(self._since)

    def look(self, replicas: Replicas, cold: tuple[float, float], now: float, *, is_asked: bool) -> Promise | None:
        """What is coming; None when nothing is, or nobody can rely on it.

        ``cold`` are the median and the 90th percentile of cold starts in seconds; ``is_asked``: the number that is
        desired is being asked for at this moment.
        """
        is_under_way = replicas.warming > 0 or is_asked
        count = max(replicas.desired - replicas.ready, 0) if is_under_way else 0
        since = self._since
        while len(since) > count:
            since.popleft()  # the one that was asked for first is there
        while len(since) < count:
            since.append(now)
        if not since or replicas.quarantined:
            return None
        usual, late = cold
        waited = now - since[0]
        if waited > LATE * late + _GRACE:
            return None
        wait = usual - waited if waited < usual else _OVERDUE
        return Promise(wait, (replicas.ready + count) / max(replicas.ready, 1))

    def __repr__(self) -> str:
        return f"<Coming {len(self._since)}>"
