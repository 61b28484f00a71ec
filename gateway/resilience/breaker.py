"""A circuit breaker for a proxy: aiobreaker's, with a gate of two steps, leases and generations.

Nygard's states (*Release It!*, 2nd ed. ch. 5) and three of ours: after closing, traffic is let in bit by bit
(``ramping``), and an operator may force it open or closed. :mod:`gateway.resilience.transitions` has the table.

What is the library's: the class people know, its states, storage, listeners, exclusions, error and decorator.
What is ours, because the stock class cannot do it (each point has a test that shows so):

* :meth:`Breaker.acquire` gives a token, :meth:`Breaker.report` takes it back with the outcome, so that a streamed
  answer, a timeout outside and a client that leaves are all seen;
* half-open lets as many calls in as there are probes; a probe that never comes back is given up;
* tokens of an earlier state are ignored (the generations of gobreaker), so a late answer moves nothing;
* all time is the injected clock's;
* a listener or callback that raises is counted and otherwise ignored;
* a call that is neither success nor failure (the client left) teaches nothing;
* one that watches several routes, or the pages of one, opens only when failures are spread over them: what a single one
  of them fails by is its own (:mod:`gateway.resilience.route`).

Nothing here waits; who waits is told how long (:meth:`Breaker.retry_in`).
"""

from __future__ import annotations

from datetime import timedelta
from math import ceil, inf
from typing import TYPE_CHECKING, Final, Literal

from aiobreaker import CircuitBreakerState  # type: ignore[import-untyped] # the library has no annotations

from gateway.core.outcome import NEUTRAL, SUCCESS, Outcome
from gateway.resilience.library import ClockedBreaker
from gateway.resilience.open_time import OpenTime
from gateway.resilience.page import Page
from gateway.resilience.parts import Parts
from gateway.resilience.transitions import TABLE, Event, State, Transition
from gateway.resilience.trip import TripRule
from gateway.resilience.waking import Waking
from gateway.resilience.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from gateway.core.clock import Clock
    from gateway.resilience.settings import BreakerSettings

_LEASE: Final = 2.0
"""A probe is given up after so many times the age at which it is slow, or hangs: the rest is for answers under way."""
_WIDE_OPEN: Final = 64
"""A ramp ends here at the latest: by then it has seen more good calls than any trip needs by default."""


_LIBRARY: Final[dict[State, CircuitBreakerState]] = {
    "closed": CircuitBreakerState.CLOSED,
    "ramping": CircuitBreakerState.CLOSED,
    "forced_closed": CircuitBreakerState.CLOSED,
    "half_open": CircuitBreakerState.HALF_OPEN,
    "open": CircuitBreakerState.OPEN,
    "forced_open": CircuitBreakerState.OPEN,
}


class Breaker(ClockedBreaker):
    """Stands before one upstream, one endpoint of it, one route or one page.

    ``parts`` says what its calls are told apart by, their routes or their pages; with ``""`` they are not, and
    :attr:`parts` is None. ``on_page_hangs`` is called when it is one page alone that hangs.

    ``is_passing`` while :meth:`acquire` cannot refuse; ``room`` is how many calls may be in flight: ``inf`` when
    passing, 0 when open, the probes when half-open, the cap of a ramp. ``refused`` counts refusals, and
    ``shadow_refused`` what would have been one but for the mode. ``transitions`` counts (from, to, reason), ``last`` is
    the latest of them. ``on_change`` is called after each; ``callback_errors`` counts what it and listeners raised.

    Without ``has_ramp`` it is closed as soon as the probes have passed. ``has_check``: somebody checks the upstream
    actively; then an open breaker waits for a check to pass, at most ``max_open_for``.

    An operator's :meth:`force_open` is obeyed in every mode.
    """

    def __init__(  # noqa: PLR0913 - what a breaker is made of
        self,
        name: str,
        settings: BreakerSettings,
        *,
        clock: Clock,
        rng: Random,
        has_check: bool = False,
        parts: Literal["", "route", "page"] = "",
        has_ramp: bool = True,
    ) -> None:
        self._settings = settings
        self._is_judging = settings.mode != "off"
        self._lets_all = settings.mode != "enforce"
        self._threshold = float(settings.slow_threshold)
        self._page = Page("", "", self._threshold)  # of calls that are said to be of no other
        self._has_ramp = has_ramp
        self.on_page_hangs: Callable[[Page, float], None] | None = None
        self._failed_in_a_row = 0
        self._longest = float(settings.max_open_for)
        self._rule = TripRule(settings)
        now = clock.now()
        self._window = Window(float(settings.window), now)
        self.parts = Parts(parts, self._window, self._rule, settings.min_calls) if parts else None
        self._has_parts = False  # any that did something wrong
        open_time = OpenTime(float(settings.open_for), self._longest, float(settings.window), rng)
        self._waking = Waking(open_time, self._longest, has_check=has_check)
        self.state_word: State = "closed"
        self.transitions: dict[tuple[str, str, str], int] = {}
        self.last: Transition | None = None
        self.on_change: Callable[[Breaker], None] | None = None
        self.refused = 0
        self.shadow_refused = 0

        self._token = 0
        # when each call was complete, inf while it is not, and its page; a transition empties it, so what is not in it
        # is of an earlier state
        self._flying: dict[int, tuple[float, Page]] = {}
        # calls whose answer has begun: they hang no more
        self._answering: dict[int, tuple[float, Page]] = {}

        self._since = now
        self._good = 0
        self._slow_probes = 0
        self._before_trip = 0
        self._cap = 0
        self._cap_goal = 0

        super().__init__(name, clock, float(settings.slow_threshold))
        self._show()

    # --- the gate ---

    def acquire(self, now: float, page: Page | None = None) -> int:
        """Leave to make a call, as a token above 0 that must be reported; 0 when refused."""
        if self._is_flowing:
            token = self._token = self._token + 1
            self._flying[token] = (now, page or self._page)
            return token
        return self._acquire_limited(now, page or self._page)

    def _acquire_limited(self, now: float, page: Page) -> int:
        if self.state_word == "open":
            self._wake(now)
        token = self._token = self._token + 1
        word = self.state_word
        if word == "half_open" or word == "ramping":  # noqa: PLR1714 - a set costs a hash
            if len(self._flying) + len(self._answering) < self._cap:
                self._flying[token] = (now, page)
                return token
        elif self._is_flowing:  # the wake-up closed it
            self._flying[token] = (now, page)
            return token
        if word != "forced_open":
            if not self._is_judging:
                return token
            if self._lets_all:
                self.shadow_refused += 1
                return token  # not among those that fly: what becomes of it is not this state's business
            if word == "half_open":
                self._expire_probes(now)
        self.refused += 1
        return 0

    def uploading(self, token: int) -> None:
        """The request itself is not complete: while its client sends, the call does not hang."""
        found = self._flying.get(token)
        if found is not None:
            self._flying[token] = (inf, found[1])

    def sent(self, token: int, now: float) -> None:
        """The request is complete: the call counts from here."""
        found = self._flying.get(token)
        if found is not None:
            self._flying[token] = (now, found[1])

    def report(  # noqa: C901 - on the path of every call
        self, token: int, outcome: Outcome, seconds: float, now: float, *, is_whole: bool = False
    ) -> None:
        """A call has ended ``seconds`` after it began; one that belongs to an earlier state is ignored.

        ``is_whole``: no part has to do with its failure, because there was no connection.
        """
        call = self._flying.pop(token, None)
        if call is None:
            call = self._answering.pop(token, None) if self._answering else None
            if call is None:
                return
        if outcome is NEUTRAL:
            return
        page = call[1]
        if page is self._page and outcome is SUCCESS:
            page.note(seconds, now)
        if self._is_flowing:
            window = self._window
            if now >= window.until:
                window.roll(now)
            window.calls += 1
            if outcome is SUCCESS:
                if self._failed_in_a_row:
                    self._end_row()
                if self._has_parts:
                    self.parts.count(page, now)  # type: ignore[union-attr]  # just asked
                if seconds < page.slow:
                    return
        self._report_notable(outcome, seconds, now, None if is_whole else page)

    def _report_notable(self, outcome: Outcome, seconds: float, now: float, page: Page | None) -> None:
        is_failure = outcome is not SUCCESS
        is_slow = page is not None and seconds >= page.slow
        word = self.state_word
        if word == "half_open":
            self._report_probe(now, is_failure=is_failure, is_slow=is_slow and self._rule.minds_slow)
            return
        window = self._window
        if not self._is_flowing:  # the ramp
            window.add(now)
            if not is_failure and not is_slow:
                self._widen(now)
                return
        window.failures += is_failure
        window.slow += is_slow
        if is_failure:
            self._failed_in_a_row += 1
            if page is not None and self.parts is not None:
                self._has_parts = True
                self.parts.fail(page, now)
        self._judge(now)
        if is_failure and self.state_word == word and self._is_dead(now):
            self._move("nothing_succeeds", now)

    def _is_dead(self, now: float) -> bool:
        """Whether nothing succeeds any more, of several parts where they are told apart."""
        if not self._rule.is_dead(self._failed_in_a_row, self._window):
            return False
        parts = self.parts
        return parts is None or parts.is_row_spread(self._failed_in_a_row, now)

    def lease(self, page: Page) -> float:
        """After so many seconds a probe that was not heard of is given up; never before it takes longer than usual."""
        return min(max(self._longest, self._threshold), _LEASE * max(page.slow, page.hangs_after))

    @property
    def since(self) -> float:
        """The instant of the latest change of state; before all others while there was none."""
        return -inf if self.last is None else self._since

    @property
    def is_idle(self) -> bool:
        """Whether time changes nothing: closed, no call under way, none that failed."""
        return self.state_word == "closed" and not self._flying and not self._window.failures and not self._window.asked

    def is_quiet(self, now: float) -> bool:
        """Whether it is closed and nothing within the window speaks against that, or nobody has tried it for long."""
        window = self._window
        if self.state_word == "closed":
            return not window.failures and not window.asked
        return self.state_word == "half_open" and not self._flying and now - self._since >= self._longest

    def answered(self, token: int, now: float) -> None:
        """The answer to a call has begun and may last: from here on the call does not hang.

        Optional; for answers that are not there as a whole (downloads, event streams), before :meth:`report`.
        """
        call = self._flying.pop(token, None)
        if call is not None:
            self._answering[token] = (now, call[1])

    def can_pass(self, now: float) -> bool:
        """Whether :meth:`acquire` would give a token."""
        word = self.state_word
        if self.is_passing:
            return True
        if word == "open":
            return now >= self._waking.at
        return word != "forced_open" and len(self._flying) + len(self._answering) < self._cap

    def retry_in(self, now: float) -> float:
        """Seconds until somebody may get through at the latest, at least 0; as things stand."""
        if self.can_pass(now):
            return 0.0
        word = self.state_word
        if word == "open":
            return self._waking.at - now
        if word == "forced_open":
            return self._longest
        # all places are taken: one is free again when the oldest call has ended, or is given up
        oldest = min((began for began, _ in self._flying.values()), default=now)
        return max(0.0, min(self._longest, oldest + _LEASE * self._threshold - now))

    # --- time passes ---

    def tick(self, now: float) -> None:
        """Look for what nobody reports: calls that hang, probes that are lost, a time that is up."""
        word = self.state_word
        if word == "open":
            self._wake(now)
        elif word == "half_open":
            self._expire_probes(now)
        elif self._is_flowing or word == "ramping":
            if self.parts is not None and self._has_parts:
                self._has_parts = self.parts.prune(now)
            self._judge(now)
            if self.state_word == word and self._flying:
                self._judge_hanging(now)
            if self.state_word == "ramping" and now - self._since >= self._settings.window:
                self._move("ramp_over", now)

    def _judge(self, now: float) -> None:
        window = self._window
        if now >= window.until:
            window.roll(now)
        event = self._rule.judge(window)
        if event is not None and (event == "slow_calls" or self.parts is None or self.parts.is_spread(now)):
            self._move(event, now)

    def _judge_hanging(self, now: float) -> None:
        since = now - self._threshold
        hanging: dict[Page, int] = {}
        longest = 0.0
        first = inf
        for began, page in self._flying.values():
            if began <= since and now - began >= page.hangs_after:
                hanging[page] = hanging.get(page, 0) + 1
                longest = max(longest, page.hangs_after)
                first = min(first, began)
        if not hanging:
            return
        count = sum(hanging.values())
        if not self._rule.is_hanging(count, self._window.recent(longest, now)):
            return
        page, most = max(hanging.items(), key=lambda found: found[1])
        if self.parts is None or count > most or page.good_at >= first:
            self._move("hanging_calls", now)
        elif self.on_page_hangs is not None:
            self.on_page_hangs(page, now)

    def hang(self, now: float) -> None:
        """Its calls hang, as was found elsewhere."""
        self._move("hanging_calls", now)

    # --- open ---

    def _wake(self, now: float) -> None:
        event = self._waking.look(now)
        if event is not None:
            self._move(event, now)

    def retry_after(self, seconds: float, now: float, page: Page | None = None) -> None:
        """It was asked to leave alone for ``seconds`` what it watches (503 with Retry-After, RFC 9110 §10.2.3).

        It stays open at least that long, within ``max_open_for``. It trips on a quarter of ``min_calls``, when
        ``failure_ratio`` of the calls failed or were answered so; a probe that is answered so opens it again.
        """
        if not self._is_judging or seconds <= 0:
            return
        word = self.state_word
        if word == "half_open":
            self._waking.ask(seconds, now)
            self._move("asked_to_wait", now)
        elif self._is_flowing or word == "ramping":
            window = self._window
            if now >= window.until:
                window.roll(now)
            window.asked += 1
            if self.parts is not None and page is not None:
                self._has_parts = True
                self.parts.ask(page, now)
                if not self.parts.is_spread(now):
                    return  # a part's wish binds the part
            self._waking.ask(seconds, now)
            self._judge(now)
        else:
            self._waking.ask(seconds, now)

    def check_passed(self, now: float) -> None:
        """An active check saw the upstream well: an open breaker tries it at once, if it may believe that."""
        if self.state_word == "open":
            event = self._waking.check_passed(now)
            if event is not None:
                self._move(event, now)

    def check_failed(self, now: float) -> None:
        """An active check failed: an open breaker stays open, at most ``max_open_for``."""
        del now
        self._waking.check_failed()

    # --- half-open, and after ---

    def _report_probe(self, now: float, *, is_failure: bool, is_slow: bool) -> None:
        if is_failure:
            self._move("probe_failed", now)
        elif is_slow:
            # one slow call is no proof that all are; as many as must succeed are
            self._slow_probes += 1
            if self._slow_probes >= self._settings.successes:
                self._move("probes_slow", now)
        else:
            self._good += 1
            if self._good >= self._settings.successes:
                self._move("probes_passed", now)
                if not self._has_ramp:
                    self._move("ramp_over", now)

    def _expire_probes(self, now: float) -> None:
        """Give up the probe that never came back; an answer that has lasted as long as a lease counts as good."""
        if any(now - began >= self.lease(page) for began, page in self._flying.values()):
            self._move("probe_lost", now)
            return
        while self._answering and self.state_word == "half_open":
            token, (began, _) = next(iter(self._answering.items()))
            if now - began < _LEASE * self._threshold:
                return
            del self._answering[token]
            self._report_probe(now, is_failure=False, is_slow=False)

    def _widen(self, now: float) -> None:
        self._cap += 1
        if self._cap >= self._cap_goal:
            self._move("cap_reached", now)
        else:
            self._show()

    # --- an operator's word ---

    def force_open(self, actor: str, reason: str, now: float) -> None:
        """Let nobody through until told otherwise."""
        self._move("force_open", now, actor, reason)

    def force_close(self, actor: str, reason: str, now: float) -> None:
        """Let everybody through until told otherwise; calls are still counted."""
        self._move("force_close", now, actor, reason)

    def reset(self, actor: str, reason: str, now: float) -> None:
        """Closed, and everything that was learned is forgotten."""
        self._move("reset", now, actor, reason)
        self._forget(now)
        self._page.forget()

    # --- transitions ---

    def _move(self, event: Event, now: float, actor: str = "", note: str = "") -> None:
        """The only way from one state to another; what is not in the table is ignored."""
        before = self.state_word
        row = TABLE.get((before, event))
        if row is None:
            return
        after = row.state
        self.state_word = after
        if before == "closed":
            self._before_trip = len(self._flying) + len(self._answering)
        if after == "open":
            self._waking.sleep(now)
        elif after == "half_open":
            self._waking.woke(event)
            self._cap = self._settings.probes
        elif after == "ramping":
            self._enter_ramp(now)
        elif after == "closed" and before != "ramping":
            self._forget(now)
        if not (before == "ramping" and after == "closed"):
            # a new generation; the end of a ramp asks nothing new of the calls under way
            self._flying.clear()
            self._answering.clear()
        self._end_row()
        self._good = self._slow_probes = 0
        self._since = now
        self._show()
        self.last = Transition(before, after, row.reason, now, actor, note)
        key = (before, after, row.reason)
        self.transitions[key] = self.transitions.get(key, 0) + 1
        self._tell_library(_LIBRARY[after])
        if self.on_change is not None:
            try:
                self.on_change(self)
            except Exception as error:  # noqa: BLE001 - whatever it is, the breaker goes on
                self._note_error(error)

    def _enter_ramp(self, now: float) -> None:
        self._cap = self._settings.probes
        self._cap_goal = max(self._cap + 1, min(_WIDE_OPEN, 2 * self._before_trip))
        self._window.clear(now)
        self._forget_parts()
        self._waking.proved(now)

    def _forget(self, now: float) -> None:
        self._window.clear(now)
        self._forget_parts()
        self._waking.forget()

    def _end_row(self) -> None:
        self._failed_in_a_row = 0
        if self.parts is not None:
            self.parts.end_row()

    def _forget_parts(self) -> None:
        self._has_parts = False
        if self.parts is not None:
            self.parts.clear()

    def _show(self) -> None:
        """Bring the plain attributes up to date that the path reads."""
        word = self.state_word
        is_closed = word == "closed" or word == "forced_closed"  # noqa: PLR1714 - a set costs a hash
        self._is_flowing = is_closed and self._is_judging
        self.is_passing = is_closed or (self._lets_all and word != "forced_open")
        if self.is_passing:
            self.room: float = inf
        else:
            self.room = 0 if word in {"open", "forced_open"} else self._cap

    # --- aiobreaker's own methods ---

    def open(self) -> None:
        """Open as if it had tripped."""
        self._move("told_open", self._clock.now())

    def half_open(self) -> None:
        """Let probes through."""
        self._move("told_half_open", self._clock.now())

    def close(self) -> None:
        """Close without a ramp."""
        self._move("told_close", self._clock.now())

    @property
    def timeout_duration(self) -> timedelta:
        """How long it stays open at first."""
        return timedelta(seconds=self._settings.open_for)

    def __repr__(self) -> str:
        room = "" if self.is_passing else f" room={ceil(self.room)}"
        return f"<Breaker {self.name or 'upstream'} {self.state_word}{room} in_flight={len(self._flying)}>"
