"""Random walks through the breaker's table, beside a model that only counts."""

from __future__ import annotations

from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.core.clock import ManualClock
from gateway.core.outcome import Outcome
from gateway.core.units import Seconds
from gateway.resilience.breaker import Breaker
from gateway.resilience.settings import BreakerSettings
from gateway.resilience.transitions import TABLE

if TYPE_CHECKING:
    from gateway.resilience.transitions import Transition

ALLOWED = {(state, row.state, row.reason) for (state, _), row in TABLE.items()}
SLOW, LONGEST = 1.0, 20.0


class Walk(RuleBasedStateMachine):
    """Calls, late reports, departures, ticks, checks, an operator, the upstream's own word, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.tokens: dict[int, int] = {}  # not reported, with the generation in which they were given
        self.reported: list[int] = []
        self.generation = 0
        self.path: list[Transition] = []

    @initialize(
        mode=st.sampled_from(["enforce", "enforce", "enforce", "shadow"]),
        has_check=st.booleans(),
        probes=st.integers(1, 4),
        successes=st.integers(1, 4),
        min_calls=st.integers(1, 6),
        seed=st.integers(0, 3),
    )
    def _begin(self, seed: int, *, has_check: bool, **settings: Any) -> None:
        times = {
            "window": Seconds(5),
            "slow_threshold": Seconds(SLOW),
            "open_for": Seconds(2),
            "max_open_for": Seconds(LONGEST),
        }
        self.breaker = Breaker(
            "walk",
            BreakerSettings(**settings, **times),
            clock=self.clock,
            rng=Random(seed),
            has_check=has_check,
        )
        self.settings = self.breaker._settings
        self.breaker.on_change = self._changed

    def _changed(self, breaker: Breaker) -> None:
        assert breaker.last is not None
        self.path.append(breaker.last)
        if breaker.last[:2] != ("ramping", "closed"):
            self.generation += 1

    @property
    def now(self) -> float:
        return self.clock.now()

    def _in_flight(self) -> int:
        return sum(generation == self.generation for generation in self.tokens.values())

    # --- calls ---

    @rule(count=st.integers(1, 8))
    def acquire(self, count: int) -> None:
        """Some want in."""
        for _ in range(count):
            expected = self.breaker.can_pass(self.now)
            token = self.breaker.acquire(self.now)
            assert bool(token) is expected
            if token:
                assert token not in self.tokens
                assert token not in self.reported
                # in shadow those that only pass because of it belong to no generation
                is_counted = token in self.breaker._flying
                assert is_counted or self.settings.mode == "shadow"
                self.tokens[token] = self.generation if is_counted else -1

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), outcome=st.sampled_from(list(Outcome)), seconds=st.sampled_from([0.0, 0.1, 1.0, 9.0]))
    def report(self, data: st.DataObject, outcome: Outcome, seconds: float) -> None:
        """One of them ends, be it of this state or of an earlier one."""
        token = data.draw(st.sampled_from(list(self.tokens)))
        is_late = self.tokens.pop(token) != self.generation
        self.reported.append(token)
        before = (self.breaker.state_word, self.breaker.room, repr(self.breaker._window))
        self.breaker.report(token, outcome, seconds, self.now)
        if is_late or outcome is Outcome.NEUTRAL:
            assert (self.breaker.state_word, self.breaker.room, repr(self.breaker._window)) == before

    @precondition(lambda self: self.tokens)
    @rule(outcome=st.sampled_from([Outcome.SUCCESS, Outcome.FAILURE]))
    def report_all(self, outcome: Outcome) -> None:
        """All of them end alike."""
        for token in list(self.tokens):
            del self.tokens[token]
            self.reported.append(token)
            self.breaker.report(token, outcome, 0.1, self.now)

    @precondition(lambda self: self.reported)
    @rule(data=st.data(), outcome=st.sampled_from(list(Outcome)))
    def report_again(self, data: st.DataObject, outcome: Outcome) -> None:
        """Somebody reports twice."""
        before = (self.breaker.state_word, self.breaker.room, repr(self.breaker._window))
        self.breaker.report(data.draw(st.sampled_from(self.reported)), outcome, 9.0, self.now)
        assert (self.breaker.state_word, self.breaker.room, repr(self.breaker._window)) == before

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def answered(self, data: st.DataObject) -> None:
        """An answer has begun."""
        self.breaker.answered(data.draw(st.sampled_from(list(self.tokens))), self.now)

    # --- what else happens ---

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.5, 2.0, 4.9, 30.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, with a tick at its end."""
        self.clock.advance(seconds)
        self.breaker.tick(self.now)
        self._drop_answered()

    def _drop_answered(self) -> None:
        """A probe whose answer lasts may have been taken for good, and is not in flight any more."""
        known = self.breaker._flying.keys() | self.breaker._answering.keys()
        for token, generation in self.tokens.items():
            if generation == self.generation and token not in known:
                self.tokens[token] = -1

    @rule(has_passed=st.booleans())
    def check(self, has_passed: bool) -> None:  # noqa: FBT001 - hypothesis passes by name
        """An active check has been made."""
        (self.breaker.check_passed if has_passed else self.breaker.check_failed)(self.now)

    @rule(seconds=st.sampled_from([0.0, 1.0, 15.0, 1e6]))
    def retry_after(self, seconds: float) -> None:
        """The upstream asked for time."""
        self.breaker.retry_after(seconds, self.now)

    @rule(word=st.sampled_from(["force_open", "force_close", "reset"]))
    def order(self, word: str) -> None:
        """An operator speaks."""
        getattr(self.breaker, word)("ann", "test", self.now)
        if word != "reset":
            assert self.breaker.state_word == {"force_open": "forced_open", "force_close": "forced_closed"}[word]
        else:
            assert self.breaker.state_word == "closed"

    @rule(word=st.sampled_from(["open", "half_open", "close"]))
    def told(self, word: str) -> None:
        """Somebody uses the library's methods."""
        getattr(self.breaker, word)()

    # --- what always holds ---

    @invariant()
    def steps_are_in_the_table(self) -> None:
        """And each begins where the last one ended."""
        at = "closed"
        for step in self.path:
            assert (step.before, step.after, step.reason) in ALLOWED
            assert step.before == at
            at = step.after
        if hasattr(self, "breaker"):
            assert self.breaker.state_word == at
            assert sum(self.breaker.transitions.values()) == len(self.path)
            assert self.breaker.callback_errors == 0

    @invariant()
    def attributes_say_what_is(self) -> None:
        """The plain attributes agree with the state, and no wait is longer than the longest."""
        if not hasattr(self, "breaker"):
            return
        breaker = self.breaker
        word = breaker.state_word
        is_shadow = self.settings.mode == "shadow"
        assert breaker.is_passing is (word in {"closed", "forced_closed"} or (is_shadow and word != "forced_open"))
        assert (breaker.room == inf) is breaker.is_passing
        assert 0 <= breaker.retry_in(self.now) <= LONGEST + 1e-6  # sums of floats
        assert not breaker.is_passing or breaker.retry_in(self.now) == 0
        if word in {"open", "forced_open"} and not is_shadow:
            assert breaker.room == 0

    @invariant()
    def nobody_is_in_who_should_not_be(self) -> None:
        """Probes in half-open, the cap in the ramp, and no token is kept that is not out."""
        if not hasattr(self, "breaker"):
            return
        breaker = self.breaker
        kept = breaker._flying.keys() | breaker._answering.keys()
        assert kept <= self.tokens.keys()
        assert len(kept) == self._in_flight()
        if breaker.state_word == "half_open":
            assert len(kept) <= self.settings.probes
        elif breaker.state_word == "ramping":
            assert self.settings.probes <= breaker._cap <= 64 + self.settings.probes
        elif breaker.state_word in {"open", "forced_open"}:
            assert not kept

    def teardown(self) -> None:
        """Wherever the walk ended: with time and successes it closes, and every report is in."""
        if not hasattr(self, "breaker"):
            return
        breaker = self.breaker
        if breaker.state_word.startswith("forced"):
            breaker.reset("ann", "test", self.now)
        for _ in range(400):
            if breaker.state_word == "closed":
                break
            self.clock.advance(0.5)
            breaker.tick(self.now)
            token = breaker.acquire(self.now)
            if token:
                breaker.report(token, Outcome.SUCCESS, 0.1, self.now)
        assert breaker.state_word == "closed", repr(breaker)
        for token in list(self.tokens):
            breaker.report(token, Outcome.NEUTRAL, 0.1, self.now)
        assert not breaker._flying
        assert not breaker._answering


TestWalk = Walk.TestCase
TestWalk.settings = hypothesis_settings(max_examples=150, stateful_step_count=60, deadline=None)
