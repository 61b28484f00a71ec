"""Whether an attempt that failed is made again, and when.

tenacity decides, off the happy path: a request's first attempt is made without it, and only when that has failed a copy
of the prototype takes up the story with the known outcome replayed. Its objects keep what they know of an attempt in
themselves, so no two requests ever share one.

The wait is full jitter (Brooker, *Exponential Backoff and Jitter*, AWS 2015): uniform between nothing and a bound that
doubles. tenacity asks its stops after the wait is known; the budget is the last of them, so only a real retry is paid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tenacity import DoSleep, RetryCallState, Retrying, retry_always, wait_exponential
from tenacity.stop import stop_after_attempt

if TYPE_CHECKING:
    from random import Random

    from gateway.resilience.budget import Budget
    from gateway.resilience.settings import RetrySettings

Verdict = Literal["", "not_repeatable", "attempts", "deadline", "budget"]


class Retries:
    """What the retries of one upstream have in common."""

    __slots__ = ("_backoff", "_budget", "_most", "_proto", "_rng")

    def __init__(self, settings: RetrySettings, budget: Budget, rng: Random) -> None:
        self._budget = budget
        self._rng = rng
        self._most = stop_after_attempt(settings.attempts)
        self._backoff = wait_exponential(
            multiplier=float(settings.backoff.base), max=max(settings.backoff.base, settings.backoff.max)
        )
        # whether an error may be repeated is the caller's to say, and a stop like the others: so each has its word
        self._proto = Retrying(retry=retry_always, retry_error_callback=_give_up)

    def begin(self) -> Repeats:
        """For one request whose first attempt has failed."""
        return Repeats(self._proto, self._most, self._backoff, self._budget, self._rng)


class Repeats:
    """The further attempts of one request; ``verdict`` is why there are no more of them, empty while there are."""

    __slots__ = (
        "_at_least",
        "_backoff",
        "_budget",
        "_is_elsewhere",
        "_is_repeatable",
        "_most",
        "_now",
        "_remaining",
        "_retrying",
        "_rng",
        "_state",
        "verdict",
    )

    def __init__(
        self, proto: Retrying, most: stop_after_attempt, backoff: wait_exponential, budget: Budget, rng: Random
    ) -> None:
        self.verdict: Verdict = ""
        self._most = most
        self._backoff = backoff
        self._budget = budget
        self._rng = rng
        self._is_repeatable = False
        self._is_elsewhere = False
        self._remaining = self._at_least = self._now = 0.0
        self._retrying = proto.copy(stop=self._stop, wait=self._wait)
        self._retrying.begin()
        self._state = RetryCallState(self._retrying, fn=None, args=(), kwargs={})

    def after(  # noqa: PLR0913 - what a decision is made of
        self,
        error: BaseException,
        *,
        is_repeatable: bool,
        remaining: float,
        now: float,
        at_least: float = 0.0,
        is_elsewhere: bool = False,
    ) -> float | None:
        """Seconds to wait before the next attempt; None = give up, and :attr:`verdict` says why.

        ``remaining`` are the seconds until the request's deadline: no wait reaches it. ``at_least`` is what the
        upstream asked for by Retry-After; the jitter comes on top. ``is_elsewhere``: the attempt provably was not
        sent, and the next goes to another endpoint; the first such retry is immediate.
        """
        if self.verdict:
            return None
        self._is_repeatable = is_repeatable
        self._is_elsewhere = is_elsewhere
        self._remaining = remaining
        self._at_least = at_least
        self._now = now
        state = self._state
        state.set_exception((type(error), error, error.__traceback__))
        step = self._retrying.iter(state)
        state.prepare_for_next_attempt()  # which lets go of the error, too
        return float(step) if isinstance(step, DoSleep) else None

    def _wait(self, state: RetryCallState) -> float:
        if self._is_elsewhere and state.attempt_number == 1:
            return self._at_least
        return self._at_least + self._rng.random() * self._backoff(state)

    def _stop(self, state: RetryCallState) -> bool:
        """Whether this was the last attempt; the budget is asked when everything else allows another."""
        if not self._is_repeatable:
            self.verdict = "not_repeatable"
        elif self._most(state):
            self.verdict = "attempts"
        elif state.upcoming_sleep >= self._remaining:
            self.verdict = "deadline"
        elif not self._budget.withdraw(self._now):
            self.verdict = "budget"
        return bool(self.verdict)

    def __repr__(self) -> str:
        return f"<Repeats attempt={self._state.attempt_number} {self.verdict or 'going on'}>"


def _give_up(state: RetryCallState) -> None:
    del state
