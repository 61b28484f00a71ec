"""A hundred thousand faults against everything that resilience is made of, under virtual time.

Four endpoints that turn bad and well again in seven ways, clients that leave, an operator, checks that lie; between
them a breaker for the upstream, one for each endpoint, one budget, retries and outliers, put together as on the path.
Nothing may be lost, wedged or spent twice.
"""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import TYPE_CHECKING

import pytest

from gateway.core.clock import ManualClock
from gateway.core.outcome import Outcome
from gateway.core.units import Seconds
from gateway.resilience.breaker import Breaker
from gateway.resilience.budget import Budget
from gateway.resilience.outlier import Outliers, Standing
from gateway.resilience.retry import Retries
from gateway.resilience.settings import BreakerSettings, OutlierSettings, RetrySettings
from gateway.resilience.transitions import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.resilience.retry import Repeats

FAULTS = 100_000
TIMEOUT, DEADLINE, SLOW = 2.0, 5.0, 0.5
WAYS = ("well", "fails", "flaky", "slow", "hangs", "drips", "refuses", "overloaded")
ALLOWED = {(state, row.state, row.reason) for (state, _), row in TABLE.items()}


class Bad(Exception):
    """An attempt that failed."""


class Endpoint:
    """One that is bad in some way at times."""

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self.standing = Standing()
        self.way = "well"
        self.in_flight: dict[int, float] = {}

    @property
    def cost(self) -> float:
        return (len(self.in_flight) + 1) * self.standing.latency * self.standing.penalty


class Attempt:
    """One try of a request."""

    def __init__(self, endpoint: Endpoint, token: int, began: float) -> None:
        self.endpoint = endpoint
        self.token = token
        self.began = began
        self.is_answered = False
        self.is_over = False


class Request:
    """One request, from its arrival to its one end."""

    def __init__(self, number: int, now: float, token: int) -> None:
        self.number = number
        self.arrived = now
        self.token = token
        self.repeats: Repeats | None = None
        self.attempt: Attempt | None = None
        self.is_over = False


class World:
    """Everything, and the heap of what happens next."""

    def __init__(self, seed: int, *, has_check: bool) -> None:
        self.rng = Random(seed)
        self.clock = ManualClock()
        settings = BreakerSettings(slow_threshold=Seconds(SLOW), open_for=Seconds(1), max_open_for=Seconds(10))

        def breaker(name: str) -> Breaker:
            one = Breaker(name, settings, clock=self.clock, rng=Random(seed), has_check=has_check)
            one.on_change = self._changed
            return one

        self.has_check = has_check
        self.settings = settings
        self.paths: dict[str, str] = {}
        self.breaker = breaker("shop")
        self.endpoints = [Endpoint(breaker(f"shop{index}")) for index in range(4)]
        self.outliers = Outliers(OutlierSettings(ejected_for=Seconds(1), max_ejected_for=Seconds(5)))
        self.budget = Budget(0.2, 3.0)
        self.retries = Retries(RetrySettings(), self.budget, Random(seed))
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.order = 0
        self.rate = 200.0
        self.is_chaos = True
        self.open_requests: set[Request] = set()
        self.counts: Counter[str] = Counter()
        self.faults = 0

    @property
    def now(self) -> float:
        return self.clock.now()

    def at(self, delay: float, do: Callable[[], None]) -> None:
        self.order += 1
        heappush(self.heap, (self.now + delay, self.order, do))

    def run_until(self, is_done: Callable[[], bool]) -> None:
        while not is_done():
            when, _, do = heappop(self.heap)
            if when > self.now:
                self.clock.advance(when - self.now)
            do()

    def _changed(self, breaker: Breaker) -> None:
        step = breaker.last
        assert step is not None
        assert (step.before, step.after, step.reason) in ALLOWED
        assert self.paths.get(breaker.name, "closed") == step.before
        self.paths[breaker.name] = step.after
        self.counts[f"to {step.after}"] += 1

    # --- requests ---

    def arrive(self) -> None:
        self.at(self.rng.expovariate(self.rate), self.arrive)
        token = self.breaker.acquire(self.now)
        if not token:
            self.counts["refused"] += 1
            return
        self.counts["admitted"] += 1
        request = Request(self.counts["admitted"], self.now, token)
        self.open_requests.add(request)
        self.budget.deposit(self.now)
        if self.is_chaos and self.rng.random() < 0.3:
            self.at(self.rng.expovariate(20.0 if self.rng.random() < 0.9 else 0.5), lambda: self.depart(request))
        self.try_once(request, set())

    def try_once(self, request: Request, tried: set[Endpoint]) -> None:
        if request.is_over:
            return
        endpoint = self.pick(tried)
        token = endpoint.breaker.acquire(self.now) if endpoint is not None else 0
        if endpoint is None or not token:
            self.end(request, "nobody", Outcome.NEUTRAL)
            return
        self.counts["attempts"] += 1
        attempt = request.attempt = Attempt(endpoint, token, self.now)
        assert token not in endpoint.in_flight
        endpoint.in_flight[token] = self.now
        self.at(TIMEOUT, lambda: self.over(request, attempt, Outcome.TIMEOUT))
        usual = self.rng.expovariate(1 / 0.02)
        way = endpoint.way
        if way in {"well", "drips"} or (way == "flaky" and self.rng.random() < 0.5):
            self.at(usual, lambda: self.answer(request, attempt))
        elif way == "slow":
            self.at(0.3 + 20 * usual, lambda: self.over(request, attempt, Outcome.SUCCESS))
        elif way in {"fails", "flaky"}:
            self.at(usual, lambda: self.over(request, attempt, Outcome.FAILURE))
        elif way == "refuses":
            self.at(0.0005, lambda: self.over(request, attempt, Outcome.FAILURE, is_unsent=True))
        elif way == "overloaded":
            self.at(0.001, lambda: self.over(request, attempt, Outcome.FAILURE, retry_after=self.rng.choice([1, 30])))

    def pick(self, tried: set[Endpoint]) -> Endpoint | None:
        now = self.now
        found = [
            one
            for one in self.endpoints
            if one not in tried and not one.standing.is_ejected(now) and one.breaker.can_pass(now)
        ]
        if len(found) > 1:
            one, other = self.rng.sample(found, 2)
            return one if one.cost <= other.cost else other
        return found[0] if found else None

    def answer(self, request: Request, attempt: Attempt) -> None:
        """The head is there; the body at once, soon, or never."""
        if attempt.is_over:
            return
        attempt.is_answered = True
        if attempt.endpoint.way == "drips":
            attempt.endpoint.breaker.answered(attempt.token, self.now)
        elif self.rng.random() < 0.1:
            attempt.endpoint.breaker.answered(attempt.token, self.now)
            self.at(self.rng.expovariate(5), lambda: self.over(request, attempt, Outcome.SUCCESS))
        else:
            self.over(request, attempt, Outcome.SUCCESS)

    def over(
        self,
        request: Request,
        attempt: Attempt,
        outcome: Outcome,
        *,
        is_unsent: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        if attempt.is_over:
            return
        attempt.is_over = True
        endpoint = attempt.endpoint
        seconds = self.now - attempt.began
        del endpoint.in_flight[attempt.token]
        if retry_after:
            endpoint.breaker.retry_after(retry_after, self.now)
        endpoint.breaker.report(attempt.token, outcome, seconds, self.now)
        if self.rng.random() < 0.01:  # a mistake of ours must not count twice
            endpoint.breaker.report(attempt.token, Outcome.FAILURE, seconds, self.now)
        endpoint.standing.note(outcome, seconds, self.now)
        if outcome is Outcome.SUCCESS:
            self.end(request, "served", outcome)
            return
        self.faults += 1
        if request.repeats is None:
            request.repeats = self.retries.begin()
        wait = request.repeats.after(
            Bad(),
            is_repeatable=not attempt.is_answered and (is_unsent or request.number % 10 > 0),
            remaining=request.arrived + DEADLINE - self.now,
            now=self.now,
            at_least=retry_after,
            is_elsewhere=is_unsent,
        )
        if wait is None:
            self.counts[f"given up: {request.repeats.verdict}"] += 1
            self.end(request, "failed", outcome)
        else:
            assert self.now + wait < request.arrived + DEADLINE
            self.counts["retries"] += 1
            self.at(wait, lambda: self.try_once(request, {endpoint}))

    def depart(self, request: Request) -> None:
        """The client has had enough."""
        if request.is_over:
            return
        self.faults += 1
        attempt = request.attempt
        if attempt is not None and not attempt.is_over:
            attempt.is_over = True
            endpoint = attempt.endpoint
            del endpoint.in_flight[attempt.token]
            endpoint.breaker.report(attempt.token, Outcome.NEUTRAL, self.now - attempt.began, self.now)
            endpoint.standing.abandon(self.now - attempt.began, self.now)
        self.end(request, "left", Outcome.NEUTRAL)

    def end(self, request: Request, how: str, outcome: Outcome) -> None:
        assert not request.is_over
        request.is_over = True
        self.open_requests.remove(request)
        self.counts[how] += 1
        self.breaker.report(request.token, outcome, self.now - request.arrived, self.now)

    # --- the rest of the world ---

    def change(self) -> None:
        """An endpoint turns, or all of them at once."""
        if not self.is_chaos:
            return
        self.faults += 1
        self.at(self.rng.expovariate(0.4), self.change)
        if self.rng.random() < 0.1:
            way = self.rng.choice(WAYS)
            for one in self.endpoints:
                one.way = way
        else:
            self.rng.choice(self.endpoints).way = self.rng.choice(("well", *WAYS))

    def order_about(self) -> None:
        """An operator; never for long."""
        if not self.is_chaos:
            return
        self.faults += 1
        self.at(self.rng.expovariate(0.05), self.order_about)
        breaker = self.rng.choice([self.breaker, *(one.breaker for one in self.endpoints)])
        word = self.rng.choice(["force_open", "force_close", "reset"])
        getattr(breaker, word)("ann", "chaos", self.now)
        self.at(2.0, lambda: breaker.reset("ann", "chaos", self.now))

    def check(self) -> None:
        """Active checks, where there are any; a tenth of them lie."""
        self.at(0.5, self.check)
        if self.has_check:
            for one in self.endpoints:
                is_well = (one.way in {"well", "drips", "slow"}) is not (self.is_chaos and self.rng.random() < 0.1)
                (one.breaker.check_passed if is_well else one.breaker.check_failed)(self.now)
            # nobody checks the upstream as a whole: its breaker must come back without

    def tick(self) -> None:
        self.at(0.1, self.tick)
        now = self.now
        self.breaker.tick(now)
        for one in self.endpoints:
            one.breaker.tick(now)
            one.standing.in_progress = [now - began for began in one.in_flight.values()]
        for ejection in self.outliers.judge([one.standing for one in self.endpoints], now):
            self.counts[f"ejected: {ejection.reason}"] += 1
        self.look()

    def look(self) -> None:
        """What holds at every moment."""
        now = self.now
        assert sum(one.standing.is_ejected(now) for one in self.endpoints) <= 2
        ended = sum(self.counts[how] for how in ("served", "failed", "left", "nobody"))
        assert self.counts["admitted"] == ended + len(self.open_requests)
        assert self.counts["retries"] <= 0.2 * self.counts["admitted"] + 3 * (now + 1)
        for one in [*self.endpoints, None]:
            breaker = one.breaker if one is not None else self.breaker
            kept = breaker._flying.keys() | breaker._answering.keys()
            assert kept <= (one.in_flight.keys() if one is not None else {each.token for each in self.open_requests})
            word = breaker.state_word
            if word == "half_open":
                assert len(kept) <= self.settings.probes
                assert all(now - began <= breaker.lease(page) + 0.2 for began, page in breaker._flying.values())
            elif word == "ramping":
                assert now - breaker._since <= self.settings.window + 0.2
            elif word == "open":
                assert not kept
                assert now - breaker._since <= self.settings.max_open_for + 0.2
            assert breaker.is_passing is (breaker.room == inf)
            assert breaker.callback_errors == 0


@pytest.mark.parametrize(("seed", "has_check"), [(1, False), (2, True)])
def test_nothing_is_lost_or_wedged(seed: int, has_check: bool) -> None:  # noqa: FBT001 - pytest passes by name
    """Half of the faults each: first chaos, then peace; in peace everything comes back and everybody is served."""
    world = World(seed, has_check=has_check)
    for begin in (world.arrive, world.change, world.order_about, world.check, world.tick):
        begin()
    world.run_until(lambda: world.faults >= FAULTS // 2)

    counts = world.counts
    for way in ("to open", "to half_open", "to ramping", "to closed", "to forced_open", "served", "left", "failed"):
        assert counts[way] > 20, way
    for verdict in ("attempts", "budget", "not_repeatable", "deadline"):
        assert counts[f"given up: {verdict}"] > 10, verdict
    for reason in ("consecutive", "latency", "stuck"):
        assert counts[f"ejected: {reason}"] > 0, (reason, counts)

    world.is_chaos = False
    for one in world.endpoints:
        one.way = "well"
    calm = world.now + 60
    world.run_until(lambda: world.now >= calm)
    assert [one.breaker.state_word for one in world.endpoints] == ["closed"] * 4
    assert world.breaker.state_word == "closed"
    assert not any(one.standing.is_ejected(world.now) for one in world.endpoints)

    before = counts.copy()
    calm = world.now + 30
    world.run_until(lambda: world.now >= calm)
    made = counts - before
    assert made["served"] >= 0.99 * made["admitted"]
    assert made["refused"] == made["failed"] == made["nobody"] == 0
    assert min(one.standing.window.calls for one in world.endpoints) > 100  # all of them are asked again

    world.rate = 1e-9
    world.run_until(lambda: not world.open_requests)
    for breaker in (world.breaker, *(one.breaker for one in world.endpoints)):
        assert not breaker._flying
        assert not breaker._answering
    assert not any(one.in_flight for one in world.endpoints)


def test_the_same_seed_tells_the_same_story() -> None:
    """To the last count."""

    def story(seed: int) -> Counter[str]:
        world = World(seed, has_check=True)
        for begin in (world.arrive, world.change, world.order_about, world.check, world.tick):
            begin()
        world.run_until(lambda: world.now >= 60)
        return world.counts

    assert story(3) == story(3)
    assert story(3) != story(4)
