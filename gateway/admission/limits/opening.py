"""OPEN: the limit while nothing speaks for a line inside the upstream."""

from __future__ import annotations

from math import ceil, inf, log, sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.admission.limits.admissions import Admissions
from gateway.admission.limits.evidence import line_evidence
from gateway.admission.limits.pace import Pace
from gateway.core.outcome import Outcome

if TYPE_CHECKING:
    from gateway.admission.limits.pace import Tick
    from gateway.admission.sample import Sample

# Seconds after the first request that had to wait; who comes later than that is no part of a burst.
_BURST: Final = 0.1
_STRONG: Final = 4.0
_WEAK: Final = 0.5
# Deaths over which the threshold rises by another ln 2: the evidence is looked at again and again.
_LOOKS: Final = 64
_FEWEST_DEATHS: Final = 4
_CONTRAST: Final = 1.5
_ROOM: Final = 1.25
# A backlog of so many seconds is worth a limit, whatever the start value.
_BACKLOG: Final = 0.5
_USUAL: Final = 1.5
_GROWN: Final = 1.25
_LAG: Final = 1.2
_DOUBLED: Final = 1.8
_MORE: Final = 1.3
_NO_HIGHER: Final = 2.0
_LOWER: Final = 3.0
_TELLING: Final = 0.7
_MEMORY: Final = 12
_TICKS: Final = 8


class Close(NamedTuple):
    """A line was seen: the limit to close to, what requests take alone, and what was done before."""

    limit: int
    alone: float
    n: int
    rate: float
    usual: float
    reason: str


class Opening:
    """Gives way to what comes, and looks for a line; ``usual`` is the usual latency in seconds."""

    __slots__ = (
        "_before_hold",
        "_bound_at",
        "_count",
        "_first_held",
        "_hold_until",
        "_holds_from",
        "_look_at",
        "_pace",
        "_start",
        "admissions",
        "n",
        "usual",
        "value",
    )

    def __init__(self, initial: int, start: int = 0) -> None:
        self.value = initial
        self.usual = 0.0
        self.n = 0
        self.admissions = Admissions()
        self._start = start or initial
        self._count = 0
        self._pace = Pace()
        self._first_held = inf
        self._bound_at = -inf
        self._look_at = _FEWEST_DEATHS
        # a hold: until when, from how many deaths on the next may be, and the limit before it
        self._hold_until = -inf
        self._holds_from = 0
        self._before_hold = 0

    def begin(self, now: float, n: int, kind: str) -> None:
        """A request was admitted as the ``n``-th."""
        self.n = n
        self.admissions.begin(now, n, kind)
        if not self._count:
            self._pace.note(now, n, _BURST / _TICKS)

    def forget(self, sample: Sample) -> None:
        """A request has given its place back and teaches nothing."""
        self.n -= 1
        self.admissions.forget(sample.admitted_at, sample.in_flight)

    def held_back(self, now: float) -> None:
        """Before the first answer a burst waits, and what goes on coming after it does not."""
        self._bound_at = now
        if self._count:
            return
        if self._first_held == inf:
            self._first_held = now
        elif now - self._first_held > _BURST:
            self.value += 2  # one for it, one for what has waited since the burst began

    def update(self, sample: Sample) -> Close | None:
        """Learn from one finished request; not None when a line was seen."""
        at, now, n, _, outcome = sample
        self.n -= 1
        took = now - at
        is_death = self.admissions.end(at, n, took, has_ended=outcome is Outcome.SUCCESS)
        if outcome is not Outcome.SUCCESS:
            return None
        self._count += 1
        self.usual += max(0.05, 1 / self._count) * (took - self.usual)
        pace = self._pace
        pace.ended += 1
        pace.note(now, self.n + 1, self.usual / _TICKS)
        if self._hold_until > now:
            self.value = max(self.value, self.n + 1)
        else:
            if self._before_hold:
                self.value = max(self.value, self._before_hold)
                self._before_hold = 0
            if 2 * n >= self.value:
                self.value += 1
        if is_death and self.admissions.deaths >= self._look_at:
            deaths = self.admissions.deaths
            self._look_at = deaths + max(1, min(32, deaths // 8))
            return self._look(now)
        return None

    def _look(self, now: float) -> Close | None:
        """Weigh what speaks for a line, where a line would matter."""
        usual = self.usual
        n = self.n + 1  # with the one that has just ended
        rate = self._pace.rate(now, _USUAL * usual)
        if not rate:
            return None
        backlog = n / rate
        was_bound = self._bound_at >= now - _USUAL * usual
        is_long = backlog > max(_BACKLOG, 2 * usual)
        if not (was_bound or n >= self._start or backlog > _BACKLOG):
            return None
        self.admissions.age(now, now - _MEMORY * usual)
        evidence = line_evidence(self.admissions.observations())
        if evidence >= _WEAK and (n >= self._start or is_long):
            self._hold(now, n)
        alone = self.admissions.alone()
        if not alone:
            return None
        least, newest = self.admissions.span()
        rate = max(rate, self._pace.best(_USUAL * usual))
        limit = ceil(_ROOM * rate * alone) + 1
        is_growing = n >= _GROWN * self._n_before(now, _USUAL * usual)
        matters = was_bound or (is_growing and n / rate > max(_BACKLOG, 2 * alone))
        if not matters:
            return None
        strong = _STRONG + log(1 + self.admissions.deaths / _LOOKS)
        if newest >= _CONTRAST * least and evidence >= strong and limit < n:
            return self._close(limit, alone, n, now, "line")
        if self._pays_not(now):
            return self._close(max(1, n // 2), alone, n, now, "thrash")
        return None

    def _close(self, limit: int, alone: float, n: int, now: float, reason: str) -> Close:
        return Close(limit, alone, n, self._pace.rate(now, self.usual), self.usual, reason)

    def _hold(self, now: float, n: int) -> None:
        deaths = self.admissions.deaths
        if now < self._hold_until or deaths < self._holds_from:
            return
        self._hold_until = now + 2 * self.usual
        self._holds_from = 2 * deaths
        self._before_hold = self.value
        self.value = n

    def _n_before(self, now: float, span: float) -> int:
        tick = self._pace.before(now - span)
        return tick.n if tick is not None else 0

    def _pays_not(self, now: float) -> bool:
        """Whether more in flight have got no more done, one turnover later.

        Where n was 1.8 times as high the rate should be higher, and at 1.3 times as high it must not be lower.
        """
        span = _LAG * self.usual
        ticks = list(self._pace.ticks)
        recent = self._pace.before(now - span)
        if recent is None or recent.at > now - span or now <= recent.at:
            return False
        ended = self._pace.ended - recent.ended
        rate = ended / (now - recent.at)
        end = 0
        for tick in ticks:
            if recent.n < _MORE * tick.n:
                continue
            while end < len(ticks) and ticks[end].at < tick.at + span:
                end += 1
            if end >= len(ticks) or ticks[end].at > recent.at:
                break
            after: Tick = ticks[end]
            before = after.ended - tick.ended
            if not before:
                continue
            earlier = before / (after.at - tick.at)
            if earlier - rate > _LOWER * sqrt(before + ended) / span:
                return True
            if recent.n >= _DOUBLED * tick.n and after.n >= tick.n / _MORE and ended:
                most = min(log(recent.n / tick.n), _TELLING)
                served = log(rate / earlier)
                if most * (most / 2 - served) / (1 / ended + 1 / before) >= _NO_HIGHER:
                    return True
        return False

    def __repr__(self) -> str:
        return f"<Opening limit={self.value} usual={self.usual:.4f}>"
