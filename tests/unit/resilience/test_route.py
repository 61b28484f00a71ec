"""The breakers of a route and its pages: made by the first failure, forgotten when all is well again."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from gateway.core.clock import ManualClock
from gateway.core.outcome import Outcome
from gateway.resilience.breaker import Breaker
from gateway.resilience.failures import Failures
from gateway.resilience.route import RouteBreakers
from gateway.resilience.settings import BreakerSettings

SUCCESS, FAILURE, NEUTRAL = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NEUTRAL


def _route(**settings: Any) -> RouteBreakers:
    found = BreakerSettings(**settings)

    def make(page: str) -> Breaker:
        return Breaker(page, found, clock=ManualClock(), rng=Random(1), parts="" if page else "page", has_ramp=False)

    return RouteBreakers("all", make, threshold=2.0, window=10.0)


def _note(route: RouteBreakers, path: str, outcome: Outcome, now: float, count: int = 1) -> None:
    for _ in range(count):
        route.note(route.pages.of(path), outcome, began=now, seconds=0.01, now=now)


def _open(route: RouteBreakers) -> set[str]:
    return {page for page, breaker in route.breakers() if breaker.state_word == "open"}


def test_while_nothing_fails_there_is_nothing() -> None:
    """Neither good requests nor those that say nothing make a breaker."""
    route = _route()
    _note(route, "/a", SUCCESS, 1.0, 50)
    _note(route, "/a", NEUTRAL, 1.0, 50)
    assert (route.is_active, list(route.breakers())) == (False, [])


def test_one_page_closes_itself() -> None:
    """Its failures open its breaker, and the route's stays closed however many they are."""
    route = _route()
    for _ in range(60):
        _note(route, "/bug", FAILURE, 1.0, 2)
        _note(route, "/good", SUCCESS, 1.0)
    assert _open(route) == {"/bug"}
    assert not route.can_pass(route.pages.of("/bug"), 1.0)
    assert route.can_pass(route.pages.of("/good"), 1.0)


def test_failures_in_a_row_of_one_page_are_that_pages() -> None:
    """Although nothing else is asked in between."""
    route = _route()
    _note(route, "/good", SUCCESS, 1.0, 50)
    _note(route, "/bug", FAILURE, 1.0, 60)
    assert _open(route) == {"/bug"}


def test_many_pages_close_the_route() -> None:
    """Five failures in a row beside those of the worst page."""
    route = _route()
    _note(route, "/a", FAILURE, 1.0, 18)
    _note(route, "/b", FAILURE, 1.0, 4)
    assert _open(route) == set()
    _note(route, "/c", FAILURE, 1.0)
    assert _open(route) == {""}


def test_a_page_that_asks_to_be_left_alone() -> None:
    """Five answers with Retry-After close it for as long as it says."""
    route = _route()
    page = route.pages.of("/full")
    for _ in range(5):
        route.retry_after(page, 30.0, 1.0)
        _note(route, "/full", FAILURE, 1.0)
    assert _open(route) == {"/full"}
    assert route.retry_in(page, 1.0) == pytest.approx(30.0)


def test_it_is_tried_again_and_forgotten() -> None:
    """Probes pass, no ramp follows, and after a quiet window there is no breaker any more."""
    route = _route()
    _note(route, "/bug", FAILURE, 1.0, 20)
    page = route.pages.of("/bug")
    later = 1.0 + route.retry_in(page, 1.0)
    passes = [route.acquire(page, later) for _ in range(4)]
    assert [one is not None for one in passes] == [True, True, True, False]
    for one in passes[:3]:
        route.note(page, SUCCESS, began=later, seconds=0.01, now=later, passes=one or ())
    assert (_open(route), route.is_barring) == (set(), False)
    route.tick(later + 11.0)
    assert (route.is_active, list(route.breakers())) == (False, [])
    assert [(before, after) for before, after, _ in route.changes] == [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "ramping"),
        ("ramping", "closed"),
    ]


def test_nobody_tries_a_page_that_is_asked_no_more() -> None:
    """It is forgotten after the longest open time, so that it costs nothing for ever."""
    route = _route()
    _note(route, "/bug", FAILURE, 1.0, 20)
    for now in range(2, 200):
        route.tick(float(now))
    assert not route.is_active


def test_what_was_sent_before_it_opened_moves_nothing() -> None:
    """A late failure of an earlier state does not count against the next one."""
    route = _route()
    _note(route, "/bug", FAILURE, 2.0, 20)
    page = route.pages.of("/bug")
    later = 2.0 + route.retry_in(page, 2.0)
    for _ in range(3):
        route.note(page, SUCCESS, began=later, seconds=0.01, now=later, passes=route.acquire(page, later) or ())
    for _ in range(30):
        route.note(page, FAILURE, began=1.0, seconds=9.0, now=later + 1)
    assert _open(route) == set()


@pytest.mark.parametrize(
    ("words", "counted"),
    [
        (
            ("5xx", "connect", "timeout"),
            {500, 502, 503, 504, 599, "connect_refused", "upstream_closed", "connect_timeout"},
        ),
        (("connect",), {"connect_refused", "upstream_closed"}),
        (("timeout",), {"connect_timeout"}),
        (("503", "507"), {503, 507}),
        ((), set()),
    ],
)
def test_what_counts(words: tuple[str, ...], counted: set[int | str]) -> None:
    """Kinds of failures and single statuses; 501, 505, 507 and the like are a page's own unless they are named."""
    failures = Failures(words)
    every: set[int | str] = {200, 404, 500, 501, 502, 503, 504, 505, 507, 508, 511, 599}
    every |= {"connect_refused", "upstream_closed", "connect_timeout", "client_gone", "internal_error"}
    found = {one for one in every if (failures.count(0, one) if isinstance(one, str) else failures.count(one, ""))}
    assert found == counted


def test_strangers_cannot_make_a_page_forget_its_breaker() -> None:
    """However many other paths are asked meanwhile, the page that failed is still left alone."""
    route = _route()
    _note(route, "/bug", FAILURE, 1.0, 60)
    before = route.pages.of("/bug")
    for number in range(1000):
        _note(route, "/" + "".join(chr(ord("a") + int(digit)) for digit in str(number)), SUCCESS, 1.0)
    assert route.pages.of("/bug") is not before
    assert not route.can_pass(route.pages.of("/bug"), 1.0)
    assert not route.can_pass(before, 1.0)
