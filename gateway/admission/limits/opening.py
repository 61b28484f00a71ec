"""OPEN: the limit while nothing speaks for a line inside the upstream."""

from __future__ import annotations

from math import ceil, inf, log
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.admission.limits.admissions import Admissions
from gateway.admission.limits.evidence import line_evidence, sharing_evidence
from gateway.admission.limits.pace import Pace
from gateway.core.outcome import FAILURE, SUCCESS, Outcome

if TYPE_CHECKING:
    from gateway.admission.sample import Sample

# Seconds after the first request that had to wait; who comes later than that is no part of a burst.
_BURST: Final = 0.1
_STRONG: Final = 4.0
_WEAK: Final = 1.0
_FIRM: Final = 3.0
# Deaths over which the threshold rises by another ln 2: the evidence is looked at again and again.
_LOOKS: Final = 64
_FEWEST_DEATHS: Final = 4
# From so many on what speaks against a line is believed.
_AGAINST: Final = 8
_CONTRAST: Final = 1.5
# What the limit grows by for each success; with one, an unbounded service waits for twice as long at its start.
_STEP: Final = 2
_ROOM: Final = 1.4
# A backlog of so many seconds is worth a limit, whatever the start value.
_BACKLOG: Final = 0.5
_USUAL: Final = 1.5
_GROWN: Final = 1.25
# The test for sharing: requests compared, and seconds between two at least.
_LIVES: Final = 128
_SHARING: Final = 2.0
_ENOUGH: Final = 20
_ENOUGH_FULL: Final = 8
_SHARED: Final = 0.6
_PAUSE: Final = 0.05
# Usual latencies without any success.
_STUCK: Final = 3.0
# Requests a second, from the first on, that are no burst.
_SMOOTH: Final = 2000.0
# Seconds: a denser sample of a fast service would cost more than it shows, and so would denser ticks.
_SHORTEST_MEMORY: Final = 0.02
_SHORTEST_TICK: Final = 0.00025
_SILENCE: Final = 1.0
_SILENT_LATENCIES: Final = 3.0
# Clients that leave one after the other, in limits, before it is the service, whether the limit binds or not.
_ALL_LEAVE: Final = 2
# Clients that leave for each answer, and the share of the best rate: a shared processor that took more than it can do
# answers the shortest in time and nobody else, and shows no line.
_LEAVE_EACH: Final = 2
_COLLAPSED: Final = 0.6
_MEMORY: Final = 12
_TICKS: Final = 8
# From so many answers on the usual latency is a moving mean.
_MANY: Final = 20
_WEIGHT: Final = 0.05


class Close(NamedTuple):
    """A line was seen: the limit to close to, what requests take alone, and what was done before.

    ``n`` were in flight then, and ``crowd`` in the mean over the last ``usual`` seconds, in which ``ended`` were done,
    ``rate`` a second.
    """

    limit: int
    alone: float
    n: int
    crowd: float
    ended: int
    rate: float
    usual: float
    reason: str


class Opening:
    """Gives way to what comes, and looks for a line; ``usual`` is the usual latency in seconds."""

    __slots__ = (
        "_answered_at",
        "_before_hold",
        "_begun_at",
        "_bound_at",
        "_calm",
        "_calm_at",
        "_calm_time",
        "_calm_until",
        "_count",
        "_evidence",
        "_first_held",
        "_held",
        "_hold_until",
        "_holds_from",
        "_left",
        "_look_at",
        "_pace",
        "_sampled",
        "_share_at",
        "_start",
        "_unanswered",
        "admissions",
        "due",
        "n",
        "usual",
        "value",
    )

    def __init__(self, initial: int, start: int = 0) -> None:
        self.value = initial
        self.usual = 0.0
        self.n = 0
        self.due = -inf
        self.admissions = Admissions()
        self._sampled = self.admissions.open
        self._start = start or initial
        self._count = 0
        # Successes that are learned together at the next tick: while the limit is far away each of them shows the same.
        self._calm = 0
        self._calm_time = 0.0
        self._calm_at = 0.0
        self._calm_until = -inf
        self._answered_at = 0.0
        self._unanswered = 0
        self._left = 0
        self._pace = Pace()
        self._begun_at = inf
        self._first_held = inf
        self._held = 0
        self._bound_at = -inf
        self._look_at = _FEWEST_DEATHS
        self._evidence = 0.0
        self._share_at = -inf
        # a hold: until when, from how many deaths on the next may be, and the limit before it
        self._hold_until = -inf
        self._holds_from = 0
        self._before_hold = 0

    def begin(self, now: float, n: int, kind: str) -> None:
        """A request was admitted as the ``n``-th."""
        self.n = n
        admissions = self.admissions
        if now >= admissions.due:
            admissions.begin(now, n, kind)
        if self._count:
            self.due = admissions.due
        else:
            self._begun_at = min(self._begun_at, now)
            self._pace.note(now, n, _BURST / _TICKS)

    def forget(self, sample: Sample) -> None:
        """A request has given its place back and teaches nothing."""
        self.n -= 1
        self._pace.ended += 1  # its place is free, so it is done as far as others are concerned
        self.admissions.forget(sample.admitted_at, sample.in_flight)

    def held_back(self, now: float) -> None:
        """Before the first answer a burst waits, and what goes on coming after it does not."""
        if self._calm:
            self._learn_calm()
        if self._hold_until <= now:
            self._bound_at = now
            self._release()
        if self._count:
            # All places may be taken by what takes long, so that nothing ends that would open the limit.
            is_stuck = now - self._answered_at > max(_BURST, _STUCK * self.usual)
            is_stuck = is_stuck and not self._unanswered and self._evidence < _FIRM
            is_none = self._evidence < 0 and self.admissions.deaths >= _AGAINST and self._hold_until <= now
            if is_stuck or is_none:
                self.value += _STEP
            return
        self._held += 1
        if self._first_held == inf:
            self._first_held = now
        if self.value + self._held <= self._start + _SMOOTH * (now - self._begun_at):
            self.value += 2  # this is no burst
        elif now - self._first_held > _BURST:
            self.value += 2  # one for it, one for what has waited since the burst began

    def update(self, sample: Sample) -> Close | None:
        """Learn from one finished request; not None when a line was seen."""
        at, now, n, _, outcome = sample
        left = self.n = self.n - 1
        took = now - at
        is_success = outcome is SUCCESS
        value = self.value
        sampled = self._sampled
        is_near = 2 * n >= value or 2 * left >= value
        is_sampled = sampled and (at, n) in sampled
        if is_success and now < self._calm_until and not is_sampled and not is_near:
            self._calm += 1
            self._calm_time += took
            self._calm_at = now
            return None
        if self._calm:
            self._learn_calm()
        is_death = is_sampled and self.admissions.end(at, n, took, has_ended=is_success)
        if not is_success:
            return self._note_unanswered(outcome, now)
        self._answered_at = now
        self._unanswered = 0
        self._left = max(self._left - _LEAVE_EACH, 0)
        self._count = count = self._count + 1
        usual = self.usual
        self.usual = usual = usual + (_WEIGHT if count > _MANY else 1 / count) * (took - usual)
        pace = self._pace
        pace.ended += 1
        if now >= pace.due:
            pace.note(now, left + 1, max(usual / _TICKS, _SHORTEST_TICK))
            self.admissions.horizon = max(_MEMORY * usual, _SHORTEST_MEMORY)
            self._calm_until = -inf if self._before_hold or count <= _MANY else pace.due
        if self._hold_until > now:
            self.value = max(value, left + 1)
        else:
            if self._before_hold:
                self._release()
                value = self.value
                is_near = 2 * n >= value or 2 * left >= value
            if is_near and self._evidence < _FIRM:
                self.value = value + _STEP
        if is_death and self.admissions.deaths >= self._look_at:
            deaths = self.admissions.deaths
            self._look_at = deaths + max(1, min(32, deaths // 8))
            return self._look(now)
        return None

    def _learn_calm(self) -> None:
        """Learn from the successes since the last tick, as from one after the other."""
        calm = self._calm
        self._answered_at = self._calm_at
        self._unanswered = 0
        self._left = max(self._left - _LEAVE_EACH * calm, 0)
        self._count += calm
        self._pace.ended += calm
        self.usual += (1 - (1 - _WEIGHT) ** calm) * (self._calm_time / calm - self.usual)
        self._calm = 0
        self._calm_time = 0.0

    def _note_unanswered(self, outcome: Outcome, now: float) -> Close | None:
        """An error is an answer; when clients leave, for long and as many as the limit, nobody is served any more."""
        if outcome is FAILURE or not self._count:
            self._answered_at = now
            self._unanswered = 0
            return None
        self._unanswered += 1
        self._left += 1
        silence = max(_SILENCE, _SILENT_LATENCIES * self.usual)
        n = self.n + 1
        if self._left >= self.value and self._bound_at >= now - silence:
            self._left = 0
            if self._pace.rate(now, silence) < _COLLAPSED * self._pace.best(silence / 2):
                return self._close(max(n // 2, 1), self.usual, n, now, self.usual, "silence")
        is_silent = self._unanswered >= self.value and now - self._answered_at > silence
        was_bound = self._bound_at >= now - silence
        if not is_silent or not (was_bound or self._unanswered >= _ALL_LEAVE * self.value):
            return None
        return self._close(max(n // 2, 1), self.usual, n, now, self.usual, "silence")

    def _look(self, now: float) -> Close | None:
        """Weigh what speaks for a line, where a line would matter."""
        usual = self.usual
        n = self.n + 1  # with the one that has just ended
        rate = self._pace.rate(now, _USUAL * usual)
        was_bound = self._bound_at >= now - _USUAL * usual
        if not rate or not (was_bound or n >= self._start or n > _BACKLOG * rate):
            self._evidence = 0.0
            return None
        self.admissions.age(now, now - _MEMORY * usual)
        usual = max(usual, self.admissions.mean())
        rate = self._pace.rate(now, _USUAL * usual)
        was_bound = self._bound_at >= now - _USUAL * usual
        is_long = n > max(_BACKLOG, 2 * usual) * rate
        evidence = self._evidence = line_evidence(self.admissions.observations())
        if evidence >= _WEAK and (n >= self._start or is_long):
            self._hold(now, n)
        least, newest = self.admissions.span()
        rate = max(rate, self._pace.best(_USUAL * usual))
        is_growing = n >= _GROWN * self._n_before(now, _USUAL * usual)
        alone, places = self.admissions.alone()
        shared = self._pace.alone()
        if shared and shared < _SHARED * alone and not self.admissions.is_mixed:  # the first to end are the short ones
            alone = shared  # those admitted when few were in flight were slowed down by those after them
        if not alone or newest < _CONTRAST * least:
            return None
        is_slow = n > 2 * alone * rate and (n >= self._start or (is_growing and n > _BACKLOG * rate))
        if not was_bound and not is_slow:
            return None
        deaths = self.admissions.deaths
        strong = _STRONG + log(1 + deaths / _LOOKS) + log(max(self._start / n, 1))
        limit = ceil(_ROOM * max(rate * alone, places)) + 1
        if evidence >= strong:
            return self._close(limit, alone, n, now, usual, "line") if limit < n else None
        enough, more = (_ENOUGH_FULL, 0.0) if n >= self._start else (_ENOUGH, _SHARING)
        if deaths >= enough and self._sharing(now, usual) >= strong + more:
            return self._close(min(limit, n // 2), alone, n, now, usual, "sharing")
        return None

    def _close(self, limit: int, alone: float, n: int, now: float, usual: float, reason: str) -> Close:  # noqa: PLR0913, PLR0917 - each is one fact
        pace = self._pace
        before = pace.before(now - usual)
        ended = pace.ended - (before.ended if before is not None else 0)
        return Close(limit, alone, n, pace.crowd(now, usual), ended, pace.rate(now, usual), usual, reason)

    def _hold(self, now: float, n: int) -> None:
        deaths = self.admissions.deaths
        if now < self._hold_until or deaths < self._holds_from:
            return
        self._hold_until = now + 2 * self.usual
        self._holds_from = 2 * deaths
        self._before_hold = self.value
        self.value = n

    def _release(self) -> None:
        """A hold is over."""
        self.value = max(self.value, self._before_hold)
        self._before_hold = 0

    def _n_before(self, now: float, span: float) -> int:
        tick = self._pace.before(now - span)
        return tick.n if tick is not None else 0

    def _sharing(self, now: float, usual: float) -> float:
        """Evidence that requests slow each other down while they are served; 0 when it was weighed a moment ago."""
        if now < self._share_at:
            return 0.0
        self._share_at = now + max(_PAUSE, usual / 4)
        course = [(entry.at, entry.n) for entry in self.admissions.entries]
        oldest = course[0][0]
        course += [(tick.at, max(tick.n, 1)) for tick in self._pace.ticks if tick.at >= oldest]
        course.sort()
        instants = [at for at, _ in course]
        return sharing_evidence(self.admissions.lives(_LIVES), instants, [log(n) for _, n in course])

    def __repr__(self) -> str:
        return f"<Opening limit={self.value} usual={self.usual:.4f}>"
