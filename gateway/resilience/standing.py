"""What is thought of one endpoint, from how its calls went."""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, Final

from gateway.core.outcome import NEUTRAL, SUCCESS, Outcome
from gateway.resilience.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMEOUT: Final = Outcome.TIMEOUT

_WINDOW: Final = 10.0
_GUESS: Final = 0.01
"""The latency of an endpoint that has not answered yet, in seconds: not 0, or its failures would cost nothing."""
_RECENT: Final = 0.1
"""Weight of one answer in the recent latency, a mean of logarithms: one that takes 2^10 times as long doubles it."""
_BELIEVED: Final = 10
"""Answers after which a latency is believed wholly. Before, the others are taken to have been like the best peer's."""
_NOISE: Final = log(2.0)
"""What is less than twice as slow as the best peer is as good: it has more in flight anyway."""
_SLOWLY: Final = 0.03
"""For the means that a judgement rests on: logarithms of exponential latencies are then known to about a sixth."""
_MEAN: Final = 33
"""Of the first so many it is the plain mean."""
_FAILING: Final = 0.15
_WORST: Final = 0.9
"""A share of failures above this costs no more: 1 ÷ (1 - 0.9)³ = 1000 times as much as none."""
_QUIET: Final = 0.5
_FADE: Final = 5.0
"""Time constant, in seconds, by which the opinion of an endpoint that nobody asks returns to that of its peers."""
_LEAST_WEIGHT: Final = 0.1
_SLOW_START: Final = 5.0
_SHORTEST: Final = 1e-6
_LOG_SHORTEST: Final = log(_SHORTEST)
_UNTRIED: Final = 10.0
"""Seconds for which copies of requests are waited for; without any, real requests must find out."""
LEFT_LATE: Final = 1.0
"""A client that leaves sooner, in seconds, leaves for reasons of its own."""


class Standing:
    """One endpoint's.

    ``slowness`` (at least 1) and ``penalty`` (in [1, 1000]) are for the choice among endpoints: a fast failure raises
    the penalty and never lowers the latency. One slow answer makes no endpoint slow; a few do, and what has not been
    asked for a while is forgotten: then one request finds out (Finagle's Peak EWMA decays in the same way).

    ``in_progress`` are the ages of calls whose answers take much longer than their page usually does, in seconds, set
    by the caller before a judgement. ``times`` is how often in a row it
    was ejected. Until ``tried_until`` it gets copies of requests only, one at a time (``is_on_trial``);
    ``is_convicted`` when it did not answer one.
    ``is_breaking`` when an answer that its client had begun to read was broken off.
    """

    __slots__ = (
        "_faded_at",
        "_failing",
        "_heard",
        "_is_out",
        "_left",
        "_log_latency",
        "_log_recent",
        "_log_total",
        "_noted_at",
        "_samples",
        "_shadow_until",
        "_totals",
        "_usual",
        "_well_at",
        "consecutive",
        "ejected_until",
        "in_progress",
        "is_breaking",
        "is_convicted",
        "is_on_trial",
        "penalty",
        "times",
        "tried_until",
        "window",
    )

    def __init__(self, now: float = 0.0) -> None:
        self.window = Window(_WINDOW, now)
        self._left = Window(_WINDOW, now)
        self.in_progress: Sequence[float] = ()
        self.times = 0
        self.ejected_until = 0.0
        self.tried_until = 0.0
        self.is_on_trial = False
        self.is_convicted = False
        self._shadow_until = 0.0
        self._is_out = False
        self._well_at = now
        self._noted_at = self._faded_at = now
        self._forget(now)

    def _forget(self, now: float) -> None:
        self.window.clear(now)
        self._left.clear(now)
        self._usual = _GUESS
        self.penalty = 1.0
        self.consecutive = 0
        self.is_breaking = False
        self._failing = 0.0
        self._heard = self._samples = self._totals = 0
        self._log_latency = self._log_recent = self._log_total = 0.0

    def note(self, outcome: Outcome, seconds: float, now: float, total: float = -1.0) -> None:
        """A call has ended: its answer began after ``seconds``, and was complete after ``total`` when that is known."""
        if outcome is NEUTRAL:
            return
        window = self.window
        if now >= window.until:
            window.roll(now)
        window.calls += 1
        if outcome is SUCCESS:
            self.consecutive = 0
            if self._failing:
                self._fail(0.0)
        else:
            window.failures += 1
            self.consecutive += 1
            self._fail(1.0)
            if outcome is not _TIMEOUT:  # how fast it fails is no merit
                if self._heard and seconds > self.latency:
                    self._hear(log(seconds), now - seconds)
                self._noted_at = now
                return
        length = log(seconds) if seconds > _SHORTEST else _LOG_SHORTEST
        self._hear(length, now - seconds)
        self._noted_at = now
        count = self._samples = self._samples + 1
        self._log_latency += (length - self._log_latency) * (_SLOWLY if count > _MEAN else 1 / count)
        if total >= 0:
            length = log(total) if total > _SHORTEST else _LOG_SHORTEST
            count = self._totals = self._totals + 1
            self._log_total += (length - self._log_total) * (_SLOWLY if count > _MEAN else 1 / count)

    def lag(self, seconds: float, now: float) -> None:
        """A call was given up after so long because another endpoint answered first: it takes that long at least."""
        if not self._heard or seconds > self.latency:
            self._hear(log(seconds), now - seconds)
        if not self._samples:
            self._samples = 1
            self._log_latency = log(seconds)
        self._noted_at = now

    def _hear(self, length: float, began: float) -> None:
        """Take the logarithm of a latency into the recent ones; after a silence it weighs what was forgotten."""
        count = self._heard = self._heard + 1
        weight = _RECENT if count > _BELIEVED else 1 / count
        if began - self._noted_at > _QUIET:
            weight = max(weight, 1 - exp((self._noted_at - began) / _FADE))
        self._log_recent += (length - self._log_recent) * weight

    def abandon(self, age: float, now: float) -> None:
        """A client left ``age`` seconds after its call began, its answer incomplete."""
        if age >= LEFT_LATE:
            self._left.add(now)

    @property
    def abandoned(self) -> int:
        """Calls of the last ten seconds whose clients lost patience."""
        return self._left.calls

    @property
    def is_known(self) -> bool:
        """Whether any latency is known."""
        return self._samples > 0

    @property
    def latency(self) -> float:
        """The geometric mean of recent latencies, in seconds; those of its peers while none is known."""
        return exp(self._log_recent) if self._heard else self._usual

    def slowness(self, log_best: float, now: float) -> float:
        """How many times slower it is than twice the best peer, at least 1; ``log_best`` is the peer's log latency."""
        excess = self._log_recent - log_best
        if excess <= _NOISE:
            return 1.0
        if self._heard < _BELIEVED:
            excess *= self._heard / _BELIEVED
        excess *= exp((self._noted_at - now) / _FADE)
        return exp(excess - _NOISE) if excess > _NOISE else 1.0

    @property
    def usual_latency(self) -> float:
        """The geometric mean of latencies, in seconds, which a single long one hardly moves; 0 when none is known."""
        return exp(self._log_latency) if self._samples else 0.0

    @property
    def usual_total(self) -> float:
        """The same of the times to a complete answer; of the latencies where nobody told."""
        return exp(self._log_total) if self._totals else self.usual_latency

    def stuck(self, age: float) -> int:
        """Calls in progress that are older than ``age`` seconds."""
        return sum(1 for one in self.in_progress if one > age)

    def restart(self, now: float) -> None:
        """It was away, and is back: what it did before says nothing about now."""
        self._forget(now)
        self._noted_at = self._faded_at = now

    def is_ejected(self, now: float) -> bool:
        """Whether it is left out now."""
        return now < self.ejected_until or now < self.tried_until

    def is_sentenced(self, now: float) -> bool:
        """The same, and whether it would be but for shadow mode."""
        return now < self.ejected_until or now < self.tried_until or now < self._shadow_until

    def awaits_trial(self, now: float) -> bool:
        """Whether a copy of a request should show that it answers again."""
        return self.ejected_until <= now < self.tried_until and not self.is_on_trial and not self.is_convicted

    def try_out(self, now: float, *, has_passed: bool | None) -> None:
        """A trial has ended; None when it showed nothing."""
        self.is_on_trial = False
        if has_passed is not None and now < self.tried_until:
            self.is_convicted = not has_passed
            if has_passed:
                self.ejected_until = now
                self.tried_until = 0.0

    def weight(self, now: float) -> float:
        """Part of its weight in force: 1, but from 0.1 up within 5 s after an ejection has ended."""
        since = now - max(self.ejected_until, self.tried_until)
        if since >= _SLOW_START or not self.ejected_until:
            return 1.0
        return _LEAST_WEIGHT + (1 - _LEAST_WEIGHT) * max(0.0, since) / _SLOW_START

    def eject(self, until: float, *, is_shadow: bool, needs_trial: bool = False) -> None:
        """Leave it out until then, and perhaps until a trial; in shadow only remember that it would be."""
        self.times += 1
        self._is_out = True
        self.is_convicted = False
        if is_shadow:
            self._shadow_until = until
        else:
            self.ejected_until = until
            self.tried_until = until + _UNTRIED if needs_trial else 0.0

    def settle(self, now: float, usual: float, pardoned_after: float) -> None:
        """What time does: windows move on, a sentence ends, good behaviour counts, opinions fade.

        ``usual`` is the latency of its peers (0: nobody knows); each ``pardoned_after`` seconds one ejection is
        forgotten.
        """
        for window in (self.window, self._left):
            if now >= window.until:
                window.roll(now)
        if self.is_sentenced(now):
            return
        if self._is_out:  # back: it is judged by what it does from now on
            self._is_out = False
            self._well_at = now
            self._forget(now)
        elif now - self._well_at >= pardoned_after:
            self._well_at = now
            self.times = max(0, self.times - 1)
        if usual:
            self._usual = usual
        quiet = now - max(self._noted_at, self._faded_at)
        if quiet >= _QUIET:
            self._faded_at = now
            self._failing *= exp(-quiet / _FADE)
            self._fail(self._failing)

    def _fail(self, sample: float) -> None:
        failing = self._failing + _FAILING * (sample - self._failing)
        self._failing = failing if failing > 0.001 else 0.0  # noqa: PLR2004 - too little to matter
        self.penalty = 1.0 / (1.0 - min(failing, _WORST)) ** 3

    def __repr__(self) -> str:
        return (
            f"<Standing latency={self.latency:.4f} penalty={self.penalty:.1f} failures={self.window.failures}/"
            f"{self.window.calls} times={self.times}>"
        )
