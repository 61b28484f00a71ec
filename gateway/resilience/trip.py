"""The rule by which an upstream is so bad that it must be left alone, apart from the machine that obeys it."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from gateway.resilience.settings import BreakerSettings
    from gateway.resilience.transitions import Event

_SAID_SO: Final = 4
"""An upstream that itself asks to be left alone is believed on a quarter of the calls that are needed otherwise."""
_LEAST_HANGING: Final = 5
"""So many calls that hang are enough where ``min_calls`` is more: a low limit may let no more of them be in flight."""


_HANGING: Final = 0.8


class Counts(Protocol):
    """What the calls of a window were."""

    @property
    def calls(self) -> int:
        """How many ended."""

    @property
    def failures(self) -> int:
        """Those that failed."""

    @property
    def slow(self) -> int:
        """Those that were slow."""

    @property
    def asked(self) -> int:
        """Answers that asked to wait."""


class TripRule:
    """Judges a window of calls by shares, and never by fewer than ``min_calls`` of them, save those that hang.

    ``minds_slow``: slow calls count, which by themselves are no failure.
    """

    __slots__ = ("_failure_ratio", "_least", "_least_asked", "_least_hanging", "_slow_ratio", "minds_slow")

    def __init__(self, settings: BreakerSettings) -> None:
        self._least = settings.min_calls
        self._least_asked = -(-settings.min_calls // _SAID_SO)
        self._least_hanging = min(settings.min_calls, _LEAST_HANGING)
        self._failure_ratio = settings.failure_ratio
        self.minds_slow = settings.slow_ratio is not None
        self._slow_ratio = inf if settings.slow_ratio is None else settings.slow_ratio

    def judge(self, window: Counts) -> Event | None:
        """What the calls that ended say; None when all is well."""
        calls = window.calls
        failures = window.failures
        if calls >= self._least:
            if failures >= self._failure_ratio * calls:
                return "failures"
            if window.slow >= self._slow_ratio * calls:
                return "slow_calls"
        asked = window.asked
        if asked:
            # an answer that asks to wait may come before its call has been counted, or be no failure (429)
            calls = max(calls, asked)
            if calls >= self._least_asked and max(failures, asked) >= self._failure_ratio * calls:
                return "asked_to_wait"
        return None

    def is_dead(self, failed_in_a_row: int, window: Counts) -> bool:
        """Whether so many calls in a row failed that the good ones before them need not be outnumbered first."""
        return failed_in_a_row >= self._least and window.failures >= self._least

    def is_hanging(self, hanging: int, ended: int) -> bool:
        """Whether calls hang that should have ended: ``hanging`` of them, while ``ended`` others did end.

        Those that ended before the oldest of them began to hang say nothing about now and are not counted: with a
        whole window of good calls behind it, a sudden silence would go unnoticed until they are forgotten.
        """
        calls = hanging + ended
        return calls >= self._least_hanging and hanging >= max(1.0, _HANGING * calls)
