"""When an open breaker tries again: its time is up or an active check has passed, and not before the upstream wished.

A check that passed wakes it at once. When the probes after such a check fail, checks only allow it to try when its time
is up, until it has closed: a service may answer checks and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.resilience.open_time import OpenTime
    from gateway.resilience.transitions import Event


class Waking:
    """Sleeps as long as ``time`` says, or as the upstream asked, but never longer than ``longest`` seconds.

    ``has_check``: somebody checks the upstream actively; then it sleeps on until a check has passed, or that long.
    """

    __slots__ = (
        "_asked_until",
        "_has_check",
        "_is_believed",
        "_is_checked",
        "_longest",
        "_since",
        "_time",
        "_until",
        "_was_check",
    )

    def __init__(self, time: OpenTime, longest: float, *, has_check: bool) -> None:
        self._time = time
        self._longest = longest
        self._has_check = has_check
        self._since = 0.0
        self._until = 0.0
        self._asked_until = 0.0
        self._is_checked = False
        self._is_believed = True
        self._was_check = False

    @property
    def at(self) -> float:
        """The instant at which it wakes, as things stand."""
        if self._has_check and not self._is_checked:
            return self._since + self._longest
        return self._until

    def look(self, now: float) -> Event | None:
        """Why it wakes now; None when it sleeps on."""
        if now < self.at:
            return None
        return "check_missing" if self._has_check and not self._is_checked else "time_is_up"

    def sleep(self, now: float) -> None:
        """The breaker has opened."""
        if self._was_check:  # it passed, and the probes failed
            self._is_believed = False
        self._was_check = False
        self._is_checked = False
        self._since = now
        self._until = max(now + self._time.next(now), min(self._asked_until, now + self._longest))

    def ask(self, seconds: float, now: float) -> None:
        """The upstream wishes to be left alone for so long."""
        until = now + min(seconds, self._longest)
        self._asked_until = max(self._asked_until, until)
        self._until = max(self._until, min(until, self._since + self._longest))

    def check_passed(self, now: float) -> Event | None:
        """An active check of an open upstream passed: why it wakes now, or None."""
        self._is_checked = True
        if self._is_believed and now >= self._asked_until:
            return "check_passed"
        return self.look(now)

    def check_failed(self) -> None:
        """An active check failed."""
        self._is_checked = False

    def woke(self, event: Event) -> None:
        """Probes go out, for this reason."""
        self._was_check = event == "check_passed"

    def proved(self, now: float) -> None:
        """The probes were well, and traffic flows again."""
        self._was_check = False
        self._is_believed = True
        self._time.closed(now)

    def forget(self) -> None:
        """Begin as if it had never opened."""
        self._time.reset()
        self._asked_until = 0.0
        self._was_check = False
        self._is_believed = True
