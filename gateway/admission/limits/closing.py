"""CLOSING: the cut after a line was seen, until it has proved itself."""

from __future__ import annotations

from enum import Enum
from math import ceil, exp, inf, log
from typing import TYPE_CHECKING, Final

from gateway.core.outcome import FAILURE, SUCCESS, Outcome

if TYPE_CHECKING:
    from gateway.admission.limits.opening import Close
    from gateway.admission.sample import Sample

# Looks: ends seen, and mean latencies passed.
_LOOKS: Final = ((20, 1.2), (40, 1.8), (60, 2.4))
_DRAINED: Final = 1.05
_FEW: Final = 10
_NO_LINE: Final = 1.15
_RAISE: Final = 1.3
_FALSE: Final = -3.0
_FALSE_AT_LAST: Final = -1.3
_TRUE: Final = 1.3
# Latencies of this many times what requests take alone are a line, whatever gets done.
_LINE: Final = 4.0
_SILENCE: Final = 1.0
_SILENT_LATENCIES: Final = 3.0
_STILL_LONG: Final = 2.0
_GAINED: Final = 1.25
# So much more was done before: less is noise, and more says that the upstream has changed.
_LACKING: Final = 1.1
_MOST_LACKING: Final = 2.0
_RAISES: Final = 2
# In standard errors: before a service that is shared, one too many raises pays for seconds.
_SURE: Final = 1.5
# The standard error of that ratio that is small enough to follow it: two dozen ends on both sides.
_CLEAR: Final = 0.3


class Verdict(Enum):
    """What a look has shown."""

    RAISED = "raised"
    FALSE = "false"
    TRUE = "true"


class Closing:
    """Waits until what is above the limit has drained, then compares what gets done with what got done before."""

    __slots__ = (
        "_answered_at",
        "_begun_at",
        "_bound_at",
        "_count",
        "_look",
        "_raised",
        "_raises",
        "_seen_at",
        "_time",
        "_unanswered",
        "close",
        "due",
        "is_clear",
        "is_free",
        "mean",
        "n",
        "value",
    )

    def __init__(self, close: Close, n: int) -> None:
        self.close = close
        self.value = close.limit
        self.n = n
        self.mean = close.alone
        self.is_clear = False
        # a raise got more done, in proportion: nothing waited
        self.is_free = False
        self._raised: tuple[int, int, float] | None = None
        self.due = inf
        self._begun_at = -1.0
        self._count = 0
        self._seen_at = 0.0
        self._time = 0.0
        self._bound_at = -1.0
        self._look = 0
        self._raises = 0
        self._answered_at = 0.0
        self._unanswered = 0

    def begin(self, now: float, n: int, kind: str) -> None:
        """A request was admitted as the ``n``-th."""
        del now, kind
        self.n = n

    def forget(self, sample: Sample) -> None:
        """A request has given its place back."""
        del sample
        self.n -= 1

    def held_back(self, now: float) -> None:
        """The limit has just made a request wait."""
        self._bound_at = now

    def update(self, sample: Sample) -> Verdict | None:
        """Learn from one finished request; what that shows, if anything."""
        now = sample.answered_at
        if self._begun_at < 0:
            self.n -= 1
            if self.n <= _DRAINED * self.value + 1:
                self._restart(now)
            return None
        self._time += self.n * (now - self._seen_at)
        self._seen_at = now
        self.n -= 1
        if sample.outcome is not SUCCESS:
            return self._note_unanswered(sample.outcome, now)
        self._answered_at = now
        self._unanswered = 0
        self._count += 1
        return self._judge(now)

    def _note_unanswered(self, outcome: Outcome, now: float) -> Verdict | None:
        """When clients leave, for long and as many as the limit, nobody is served: half, and trials from there."""
        if outcome is FAILURE:
            self._answered_at = now
            self._unanswered = 0
            return None
        self._unanswered += 1
        silence = max(_SILENCE, _SILENT_LATENCIES * self.close.alone)
        if self._unanswered < self.value or now - self._answered_at <= silence or self._bound_at < now - silence:
            return None
        self.value = max(self.value // 2, 1)
        return Verdict.TRUE

    def _restart(self, now: float) -> None:
        self._begun_at = self._seen_at = self._answered_at = now
        self._unanswered = 0
        self._count = self._look = 0
        self._time = 0.0

    def _judge(self, now: float) -> Verdict | None:  # noqa: PLR0911 - one line per verdict
        count = self._count
        close = self.close
        mean = self._time / count  # Little: the latencies of those that have ended first would be too short
        elapsed = now - self._begun_at
        if count >= _FEW and elapsed > mean and mean < _NO_LINE * close.alone and self._bound_at >= self._begun_at:
            if self.value >= close.n:
                return Verdict.FALSE  # nobody waits where the line was seen
            raised = min(int(_RAISE * self.value) + 1, close.n)
            if raised > self.value:
                self.value = raised
                self._restart(now)
                return Verdict.RAISED
        wanted, turnovers = _LOOKS[self._look]
        if count < wanted or elapsed < turnovers * mean:
            return None
        self._look += 1
        is_last = self._look == len(_LOOKS)
        rate = count / elapsed
        wider = min(log(max(close.crowd / self.value, 1.0)), 1.0)
        served = log(close.rate / rate) if close.rate else 0.0
        evidence = wider * (wider / 2 - served) / (1 / max(close.ended, 1) + 1 / count)
        self.mean = mean
        # Where clients leave, the upstream works on for them: less gets done, and yet there is a line. It is shorter.
        is_shorter = mean < close.usual * exp(-wider / 2) or mean > _LINE * close.alone
        if evidence <= (_FALSE_AT_LAST if is_last else _FALSE) and not is_shorter:
            return Verdict.FALSE
        # What lacks of what got done before: the cut went too far, whatever the line was.
        lacks = min(close.rate / rate, _MOST_LACKING)
        noise = (1 / max(close.ended, 1) + 1 / count) ** 0.5
        raised = min(ceil(lacks * self.value), close.n)
        is_short = lacks > _LACKING and log(lacks) > _SURE * noise and noise < _CLEAR and raised > self.value
        if self._is_free(count, rate):
            self.is_free = True
            return Verdict.TRUE
        if is_short and self._raises < _RAISES and not is_last:
            self._raises += 1
            self._raised = (self.value, count, rate)
            self.value = raised
            self._restart(now)
            return Verdict.RAISED
        if is_last or evidence >= _TRUE:
            has_gained = bool(close.rate) and rate > _GAINED * close.rate
            self.is_clear = is_short or (mean < _STILL_LONG * close.alone and not has_gained)
            if is_short:
                self.value = raised
            return Verdict.TRUE
        return None

    def _is_free(self, count: int, rate: float) -> bool:
        """Whether the last raise got more done, in proportion."""
        if self._raised is None:
            return False
        limit, ended, slower = self._raised
        wider = log(self.value / limit)
        return wider * (log(rate / slower) - wider / 2) / (1 / ended + 1 / count) >= _TRUE

    def __repr__(self) -> str:
        return f"<Closing limit={self.value} ends={self._count}>"
