"""A scale-in tried first: for one window no more is admitted than the remaining replicas could serve (pure).

It costs nothing and is undone at once. When nobody has to wait more for it, the replicas go; when a queue builds, the
limit is given back and the replicas stay.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final, Literal

from gateway.scaling.analyzers.burn import FAST_BURN
from gateway.scaling.guards.calm import STALE_TICKS
from gateway.scaling.scaler import TICK

if TYPE_CHECKING:
    from gateway.scaling.decision import Decision
    from gateway.signals.signals import Signals

LONGEST: Final = 30.0
"""Seconds of the window; less where the hold is shorter."""
_QUEUED: Final = 0.1
"""Of the slots that remain: more than so many who wait is a queue."""
_WAIT: Final = 0.5
"""Of the objective's wait: whoever waits longer than that is nearly late."""

Verdict = Literal["wait", "passed", "failed"]


class Trial:
    """One scale-in on trial; ``limit`` is how many may be in flight meanwhile, in the whole gateway."""

    __slots__ = ("_shed", "_until", "_wait", "decision", "limit")

    def __init__(self, decision: Decision, signals: Signals, *, wait: float, length: float, now: float) -> None:
        self.decision = decision
        self.limit = max(ceil(signals.limit * decision.after / max(decision.before, 1)), 1)
        self._until = now + min(length, LONGEST)
        self._wait = _WAIT * wait
        self._shed = signals.shed

    @property
    def until(self) -> float:
        """The instant at which it has passed."""
        return self._until

    def look(self, signals: Signals, now: float) -> Verdict:
        """How it goes; numbers that cannot be trusted end it, because nobody could see what it does."""
        if signals.signal_age_s > STALE_TICKS * TICK or self._hurts(signals):
            return "failed"
        return "passed" if now >= self._until else "wait"

    def _hurts(self, signals: Signals) -> bool:
        has_queue = signals.queued > max(1.0, _QUEUED * self.limit) or signals.oldest_age_s > self._wait
        return has_queue or signals.shed > self._shed or signals.slo_burn_5s >= FAST_BURN

    def __repr__(self) -> str:
        return f"<Trial {self.decision.id} limit={self.limit}>"
