"""Did a decision bring what it promised? What did not is undone, and two undone ones stop everything.

A scale-out is judged when its replicas have been ready for a window. It was good when at any moment since shortly
before it what it added was needed: the demand was above what the old number serves, or something burned or was
shed and more throughput came of it. A forecast is never judged so: when it does not come true the trend loses its
vote, and the hold takes the replicas back. Nor is what a person or the settings said.

A scale-in is judged all along: when the objective burns within a lead time although the load has not grown, it is
undone at once, back to where the first of several steps began. When the load has grown that is the analyzers'
business.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.scaling.analyzers.burn import FAST_BURN, is_past
from gateway.scaling.analyzers.demand import demand_slots

if TYPE_CHECKING:
    from gateway.scaling.decision import Decision
    from gateway.signals.signals import Signals

REVERTS: Final = 2
WITHIN: Final = 1800.0
WINDOW: Final = 30.0
"""Seconds of service after a cold start before a scale-out is judged."""
_NOT_JUDGED: Final = frozenset({"forecast", "below_min", "fallback", "pinned", "first_request"})
GROWN: Final = 1.1
"""Times the load at the decision: more is another load, and no fault of the decision."""
_GAIN: Final = 0.25
_PATIENCE: Final = 600.0


class Revert(NamedTuple):
    """Back to a number, and why."""

    decision: Decision
    to: int
    reason: str


class _Trial:
    __slots__ = ("back_to", "burned", "decision", "load", "most_need", "until", "waits")

    def __init__(  # noqa: PLR0913 - a record
        self, decision: Decision, need: float, load: float, until: float, back_to: int, *, burned: bool
    ) -> None:
        self.decision = decision
        self.load = load
        self.back_to = back_to
        self.most_need = need
        self.until = until
        self.burned = burned
        self.waits = False


class Verifier:
    """Watches the latest decision of one target."""

    __slots__ = ("_backed_off_load", "_backed_off_until", "_backoff", "_needs", "_reverts", "_trial", "confirmed")

    def __init__(self) -> None:
        self.confirmed = ""
        """The latest decision that was judged and found good."""
        self._trial: _Trial | None = None
        self._reverts: deque[float] = deque(maxlen=REVERTS)
        self._needs: deque[tuple[float, float]] = deque()
        self._backoff = 300.0
        self._backed_off_until = float("-inf")
        self._backed_off_load = 0.0

    def watch(self, decision: Decision, signals: Signals, now: float) -> None:
        """Begin to judge a decision; the one before it, if still open, is judged no more."""
        if decision.undoes:
            self._trial = None
            return
        trial = self._trial
        need, load, back_to = max((each for _, each in self._needs), default=0.0), signals.load_slots, decision.before
        burned = _hurts(signals)
        is_out = decision.after > decision.before
        if trial is not None and is_out == (trial.decision.after > trial.decision.before) and now < trial.until:
            # a surge comes in several steps, and so does its end: they are one trial, which began with the first
            load, burned = max(trial.load, load), trial.burned or burned
            if is_out:
                need = max(trial.most_need, need)
            else:
                back_to = trial.back_to
        self._trial = _Trial(decision, need, load, decision.expected.by, back_to, burned=burned)

    def look(self, signals: Signals, now: float) -> Revert | None:
        """What is to be undone now; None mostly. Old numbers judge nobody."""
        if not signals.signal_valid:
            return None
        need = max(demand_slots(signals), signals.load_slots + signals.spare_slots + signals.backlog_slots)
        self._needs.append((now, need))
        while self._needs[0][0] < now - WINDOW:
            self._needs.popleft()
        trial = self._trial
        if trial is None:
            return None
        trial.most_need = max(trial.most_need, need)
        if trial.waits:
            return None
        if trial.decision.after > trial.decision.before:
            return self._judge_out(trial, signals, now)
        return self._judge_in(trial, signals, now)

    def _judge_in(self, trial: _Trial, signals: Signals, now: float) -> Revert | None:
        decision = trial.decision
        if now > trial.until:
            self.confirmed = decision.id
            self._trial = None
            return None
        has_grown = signals.load_slots > GROWN * trial.load
        if signals.slo_burn_5s >= FAST_BURN and not has_grown and not is_past(signals):
            return Revert(decision, trial.back_to, "scale_in_hurt")
        return None

    def _judge_out(self, trial: _Trial, signals: Signals, now: float) -> Revert | None:
        decision = trial.decision
        if now < trial.until:
            return None
        if decision.reason in _NOT_JUDGED or now > trial.until + _PATIENCE:
            self._trial = None
            return None
        # what guards do not allow now is asked for again, until the trial is over
        hurts = _hurts(signals)
        is_needed = trial.most_need > decision.expected.slots * decision.before
        if not is_needed and not trial.burned and not hurts:
            return Revert(decision, decision.before, "scale_out_not_needed")
        gained = signals.admitted_rps - decision.expected.throughput
        share = decision.expected.throughput * (decision.after - decision.before) / max(decision.before, 1)
        if hurts and signals.replicas.ready >= decision.after and gained < _GAIN * share:
            return Revert(decision, decision.before, "scale_out_no_gain")
        self.confirmed = decision.id
        self._trial = None
        return None

    def reverted(self, revert: Revert, load: float, now: float) -> bool:
        """Count a revert; True when it was the second within half an hour and the target must freeze."""
        if revert.to < revert.decision.after:
            # a useless scale-out: that direction backs off, longer each time
            self._backed_off_until = now + self._backoff
            self._backed_off_load = load
            self._backoff = min(self._backoff * 2, 3600.0)
        self._reverts.append(now)
        return len(self._reverts) == REVERTS and now - self._reverts[0] <= WITHIN

    def is_backed_off(self, load: float, now: float) -> bool:
        """Whether scale-out must wait after a useless one; a load that has grown since is another matter."""
        return now < self._backed_off_until and load <= GROWN * self._backed_off_load

    def wait(self) -> None:
        """The latest decision is not carried out yet, so there is nothing to judge."""
        if self._trial is not None:
            self._trial.waits = True

    def begin(self, decision: Decision, now: float) -> None:
        """A decision was carried out now; nothing when it is not the latest, or is judged already."""
        trial = self._trial
        if trial is not None and trial.waits and trial.decision.id == decision.id:
            trial.waits = False
            trial.until += now - decision.t

    def forget(self, decision: Decision | None = None) -> None:
        """Judge the latest decision no more, or this one if it is that: it was not carried out."""
        if decision is None or (self._trial is not None and self._trial.decision.id == decision.id):
            self._trial = None

    def forgive(self) -> None:
        """Forget all reverts: an operator has looked."""
        self._reverts.clear()
        self._backoff = 300.0
        self._backed_off_until = float("-inf")


def _hurts(signals: Signals) -> bool:
    return signals.slo_burn_5s >= FAST_BURN and signals.slo_burn_60s >= FAST_BURN and not is_past(signals)
