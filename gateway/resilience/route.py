"""The breakers of one route and of its pages: a page's own errors are that page's.

There are none while nothing fails, so that a route which is well costs one look at :attr:`RouteBreakers.is_active`. The
first failure makes the route's breaker, and one for the page that failed; when nothing has failed for a window they are
forgotten. They see requests, after however many attempts.

    evidence                                                  who opens
    failures of one page                                      that page's breaker
    failures of several pages                                 the route's as well
    failures of several routes                                the endpoint's, and that of the upstream
    failures of one route, which is well at other endpoints   the endpoint's
    no connection                                             the endpoint's
    503 with Retry-After                                      as failures, on a quarter of the calls

*Several* is what is left without the worst of them: the others alone must be reason enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.outcome import Outcome
from gateway.resilience.page import Pages
from gateway.resilience.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.resilience.breaker import Breaker
    from gateway.resilience.page import Page
    from gateway.resilience.transitions import Transition

_MOST: Final = 64
"""Pages with a breaker of their own; the failures of further ones are the route's."""
_LEAST_ELSEWHERE: Final = 5
_WELL: Final = 0.25

Passes = tuple[tuple["Breaker", int], ...]


class RouteBreakers:
    """Watches the route ``name`` once something on it has failed.

    ``make`` makes the breaker of the route (given ``""``) or of a page. ``is_barring`` while one of them does not let
    everybody pass. ``changes`` counts their transitions as (from, to, reason), ``last`` is the latest. ``on_active`` is
    called when it begins to watch, ``on_change`` at each transition.
    """

    __slots__ = (
        "_attempts",
        "_breaker",
        "_make",
        "_pages",
        "_window",
        "changes",
        "is_active",
        "is_barring",
        "last",
        "name",
        "on_active",
        "on_change",
        "pages",
    )

    def __init__(self, name: str, make: Callable[[str], Breaker], *, threshold: float, window: float) -> None:
        self.name = name
        self.pages = Pages(name, threshold)
        self.is_active = False
        self.is_barring = False
        self.changes: dict[tuple[str, str, str], int] = {}
        self.last: Transition | None = None
        self.on_active: Callable[[RouteBreakers], None] | None = None
        self.on_change: Callable[[Breaker], None] | None = None
        self._make = make
        self._breaker: Breaker | None = None
        self._pages: dict[str, Breaker] = {}
        self._attempts: Window | None = None
        self._window = window

    def breakers(self) -> Iterator[tuple[str, Breaker]]:
        """Those that there are, by page; that of the route itself has an empty name."""
        if self._breaker is not None:
            yield "", self._breaker
        yield from self._pages.items()

    # --- on the way in ---

    def can_pass(self, page: Page, now: float) -> bool:
        """Whether a request for this page may be sent now."""
        return all(breaker.can_pass(now) for breaker in self._of(page))

    def retry_in(self, page: Page, now: float) -> float:
        """Seconds until one may be, as things stand."""
        return max((breaker.retry_in(now) for breaker in self._of(page)), default=0.0)

    def acquire(self, page: Page, now: float) -> Passes | None:
        """Leave to send one request, as tokens where places are counted; None when refused."""
        passes: Passes = ()
        for breaker in self._of(page):
            if breaker.is_passing:
                continue
            token = breaker.acquire(now, page)
            if not token:
                self.release(passes, now)
                return None
            passes = (*passes, (breaker, token))
        return passes

    def release(self, passes: Passes, now: float) -> None:
        """Give tokens back for a request that showed nothing."""
        for breaker, token in passes:
            breaker.report(token, Outcome.NEUTRAL, 0.0, now)

    def _of(self, page: Page) -> tuple[Breaker, ...]:
        breaker, own = self._breaker, self._pages.get(page.name)
        if breaker is None:
            return ()
        return (breaker,) if own is None else (breaker, own)

    # --- on the way out ---

    def note_attempt(self, now: float, *, is_failure: bool) -> None:
        """An attempt has ended, at any endpoint; the first that fails begins the watch."""
        if not self.is_active:
            if not is_failure:
                return
            self._begin(now)
        attempts = self._attempts
        if attempts is not None:
            attempts.add(now, is_failure=is_failure)

    def note(  # noqa: PLR0913 - what is known of a request
        self, page: Page, outcome: Outcome, *, began: float, seconds: float, now: float, passes: Passes = ()
    ) -> None:
        """A request has ended that was sent at ``began`` and answered after ``seconds``, with the tokens it had."""
        if outcome is Outcome.NEUTRAL:
            self.release(passes, now)
            return
        if outcome is not Outcome.SUCCESS:
            self._begin(now)
            self._watch(page)
        held = dict(passes)
        for breaker in self._of(page):
            token = held.get(breaker)
            if token is None:
                if not breaker.is_passing or began < breaker.since:
                    continue  # it was sent in an earlier state
                token = breaker.acquire(now, page)
            breaker.report(token, outcome, seconds, now)

    def retry_after(self, page: Page, seconds: float, now: float) -> None:
        """The page was answered with 503 and Retry-After."""
        self._begin(now)
        self._watch(page)
        for breaker in self._of(page):
            breaker.retry_after(seconds, now, page)

    def hang(self, page: Page, now: float) -> None:
        """Calls of this page alone hang."""
        self._begin(now)
        self._watch(page)
        breaker = self._pages.get(page.name)
        if breaker is not None:
            breaker.hang(now)

    def is_well_elsewhere(self, part: Window, now: float) -> bool:
        """Whether attempts beside those counted in ``part``, an endpoint's, succeed."""
        attempts = self._attempts
        if attempts is None:
            return False
        if now >= attempts.until:
            attempts.roll(now)
        calls = attempts.calls - part.calls
        return calls >= _LEAST_ELSEWHERE and attempts.failures - part.failures < _WELL * calls

    def check_passed(self, now: float) -> None:
        """An active check saw the service well: what is open is tried at once, if that may be believed."""
        for _, breaker in list(self.breakers()):
            breaker.check_passed(now)

    # --- time passes ---

    def tick(self, now: float) -> None:
        """Look at what nobody reports, and forget what has been well for a window."""
        for _, breaker in list(self.breakers()):
            breaker.tick(now)
        for page in [page for page, breaker in self._pages.items() if breaker.is_quiet(now)]:
            del self._pages[page]
        self._look()
        if not self._pages and self._breaker is not None and self._breaker.is_quiet(now):
            self._breaker = self._attempts = None
            self.is_active = False

    def reset(self, actor: str, reason: str, now: float) -> None:
        """Close all of them."""
        for _, breaker in list(self.breakers()):
            breaker.reset(actor, reason, now)

    def _begin(self, now: float) -> None:
        if self.is_active:
            return
        self.is_active = True
        self._breaker = self._made("")
        self._attempts = Window(self._window, now)
        if self.on_active is not None:
            self.on_active(self)

    def _watch(self, page: Page) -> None:
        if page.name not in self._pages and len(self._pages) < _MOST:
            self._pages[page.name] = self._made(page.name)

    def _made(self, page: str) -> Breaker:
        breaker = self._make(page)
        breaker.on_change = self._changed
        return breaker

    def _changed(self, breaker: Breaker) -> None:
        last = breaker.last
        if last is not None:
            self.last = last
            key = (last.before, last.after, last.reason)
            self.changes[key] = self.changes.get(key, 0) + 1
        self._look()
        if self.on_change is not None:
            self.on_change(breaker)

    def _look(self) -> None:
        self.is_barring = any(not one.is_passing for _, one in self.breakers())

    def __repr__(self) -> str:
        return f"<RouteBreakers {self.name} pages={len(self._pages)} is_barring={self.is_barring}>"
