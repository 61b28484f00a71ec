"""An upstream: the group of endpoints behind a route, who is asked among them, and what they are worth."""

from __future__ import annotations

from functools import partial
from math import inf, log
from typing import TYPE_CHECKING, Final, Protocol

from gateway.resilience.outlier import too_long
from gateway.upstream.departed import Departed
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.rotation import Place, is_panic

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from random import Random

    from gateway.core.outcome import Outcome
    from gateway.http.line import Line
    from gateway.resilience.breaker import Breaker
    from gateway.resilience.outlier import Ejection, Standing
    from gateway.resilience.page import Page
    from gateway.resilience.route import RouteBreakers
    from gateway.resilience.window import Window
    from gateway.upstream.balance import Balancer
    from gateway.upstream.endpoint import Failure, Limit
    from gateway.upstream.settings import Connections, EndpointSettings
    from gateway.upstream.tls import ClientTls

_LOOK: Final = 0.25
# Opened for these reasons: that it accepts a connection, which is all that is asked without a health table, is no cure.
_SILENT: Final = frozenset({"hanging", "slow_ratio", "probe_lost", "probe_slow"})
# Opened for these reasons, or left out for those: what is overdue there is not waited for any longer.
_HANGS: Final = frozenset({"hanging", "probe_lost"})
_STUCK: Final = "stuck"
# Seconds in which a good answer from any page says that the upstream is asked.
_LATELY: Final = 10.0
# Below this, in seconds, latencies are not told apart.
_FAST: Final = 0.001
# Up to so many endpoints all are looked at for one choice; among more, those that let only some pass are drawn from.
_FEW: Final = 16
_DRAWS: Final = 4
# Up to so many endpoints everything that time does is done in one turn of the loop; for more, in three.
_AT_ONCE: Final = 100


class Limits(Protocol):
    """Limits of single endpoints, where each has its own."""

    def of(self, endpoint: str) -> Limit:
        """The endpoint's own limit."""

    def use(self, endpoints: Collection[str], known: Collection[str]) -> None:
        """These are in rotation now; of others only those that are known keep what was learned."""


class UpstreamGroup:
    """The endpoints that serve one upstream now.

    ``is_calm`` while every breaker lets everybody pass; ``is_shut`` while they let nobody; ``is_vacant`` while no
    endpoint serves and one is coming, at the instant ``expected_at`` as far as is known. ``on_change`` is
    called with the instant when one of these may have changed, ``on_step`` at each step of a breaker, with the route if
    it is that of a route or a page, ``on_ejection`` when an endpoint is left out, with (url, reason, mode) and for how
    long, ``on_return`` with the URL when that is over, ``on_panic`` when panic begins or ends, with how many endpoints
    would be in rotation without it. ``breaker`` watches the whole upstream where it has several endpoints.
    ``on_trial`` is who should get a copy of the next safe request. ``is_pool``: the gateway runs the endpoints itself,
    so none is there before a process is ready.

    ``is_awake`` while time has to pass for it; ``on_wake`` is called when that begins. A group that nobody asks sleeps,
    and costs nothing.
    """

    __slots__ = (
        "_active",
        "_balancer",
        "_began_at",
        "_by_breaker",
        "_by_url",
        "_closed",
        "_connect_timeout",
        "_ejected",
        "_hanging",
        "_is_checked",
        "_is_coming",
        "_is_pool",
        "_is_settled",
        "_judge",
        "_limited",
        "_limits",
        "_look_at",
        "_make_breaker",
        "_only",
        "_panic_ratio",
        "_passing",
        "_random",
        "_rotation",
        "_routes",
        "_settings",
        "_slow_start",
        "_tls",
        "_turn",
        "_wake_at",
        "breaker",
        "departed",
        "ejections",
        "endpoints",
        "expected_at",
        "is_awake",
        "is_calm",
        "is_panicking",
        "is_shut",
        "is_vacant",
        "line",
        "name",
        "on_change",
        "on_ejection",
        "on_panic",
        "on_return",
        "on_step",
        "on_trial",
        "on_wake",
    )

    def __init__(  # noqa: PLR0913 - one place where they meet
        self,
        name: str,
        *,
        line: Line,
        settings: Connections,
        connect_timeout: float,
        balancer: Balancer,
        make_breaker: Callable[[str], Breaker],
        judge: Callable[[Sequence[Standing], float], Sequence[Ejection]],
        slow_start: float,
        panic_ratio: float,
        is_checked: bool,
        rng: Random,
        tls: ClientTls,
        limits: Limits | None = None,
        is_pool: bool = False,
    ) -> None:
        self.name = name
        self.line = line
        self.endpoints: list[Endpoint] = []
        self.departed = Departed()
        self.ejections: dict[tuple[str, str, str], int] = {}
        self.is_calm = True
        self.is_panicking = False
        self.is_shut = False
        self.is_vacant = False
        self.expected_at = 0.0
        self.is_awake = False
        self.on_trial: Endpoint | None = None
        self.on_change: Callable[[float], None] = _nothing
        self.on_step: Callable[[UpstreamGroup, Breaker, str], None] = _nothing_more
        self.on_ejection: Callable[[UpstreamGroup, tuple[str, str, str], float], None] = _nothing_more
        self.on_return: Callable[[UpstreamGroup, str], None] = _nothing_about
        self.on_panic: Callable[[UpstreamGroup, int], None] = _nothing_about
        self.on_wake: Callable[[UpstreamGroup], None] = _nothing_to
        self.breaker = make_breaker("")
        self.breaker.on_change = self._on_change
        self.breaker.on_page_hangs = self._on_page_hangs
        self._settings = settings
        self._connect_timeout = connect_timeout
        self._balancer = balancer
        self._make_breaker = make_breaker
        self._judge = judge
        self._slow_start = slow_start
        self._panic_ratio = panic_ratio
        self._is_checked = is_checked
        self._is_pool = is_pool
        self._is_coming = is_pool
        self._limits = limits
        self._random = rng.random
        self._tls = tls
        self._by_url: dict[str, Endpoint] = {}
        self._by_breaker: dict[Breaker, Endpoint] = {}
        self._routes: dict[str, RouteBreakers] = {}
        self._active: list[RouteBreakers] = []  # of those, which watch
        # those in rotation, and of them: who lets everybody pass, some, nobody
        self._rotation: list[Endpoint] = []
        self._passing: list[Endpoint] = []
        self._limited: list[Endpoint] = []
        self._closed: list[Endpoint] = []
        self._wake_at = inf
        self._hanging: set[Endpoint] = set()
        self._ejected: list[Endpoint] = []
        self._only: Endpoint | None = None
        self._look_at = 0.0
        self._turn = 0
        self._is_settled = True
        self._began_at = 0.0

    # --- who there is ---

    def set_endpoints(self, settings: Iterable[str | EndpointSettings], now: float, warm: Collection[str] = ()) -> None:
        """Serve from these endpoints from now on; those that stay keep their connections and what is known of them.

        Those that come begin with little of their weight, unless they are ``warm``. Those that leave are asked no more,
        and finish what they have.
        """
        present = dict(self._by_url)
        if not present:
            self._began_at = now
        # those that come together need not spare one another
        is_late = now - self._began_at > self._slow_start
        chosen: dict[str, Endpoint] = {}
        for entry in settings:
            if isinstance(entry, str):
                url, weight, host = entry, 1.0, None
            else:
                url, weight, host = entry.url, entry.weight, entry.host
            endpoint = present.pop(url, None)
            if endpoint is None:
                endpoint = Endpoint(
                    url,
                    weight,
                    line=self.line,
                    settings=self._settings,
                    connect_timeout=self._connect_timeout,
                    breaker=self._make_breaker(url),
                    place=Place(now, is_new=is_late and url not in warm),
                    tls=self._tls,
                    host=host,
                    limit=None if self._limits is None else self._limits.of(url),
                )
            endpoint.set_host(host)
            endpoint.weight = weight
            endpoint.breaker.on_change = self._on_change
            endpoint.breaker.on_page_hangs = self._on_page_hangs
            chosen[url] = endpoint
        self.endpoints = list(chosen.values())
        self._is_coming |= self._is_pool and bool(chosen)  # should they all go again
        self._by_url = chosen
        self._rotation = []  # another one, even when only those that are out of it have changed
        self._by_breaker = {one.breaker: one for one in self.endpoints}
        for endpoint in self.endpoints:
            endpoint.has_peers = len(self.endpoints) > 1
            if endpoint.breaker.parts is not None:
                endpoint.breaker.parts.is_own = self._is_well_elsewhere if endpoint.has_peers else None
        for endpoint in present.values():
            self.departed.add(endpoint)
            self._hanging.discard(endpoint)
            if endpoint is self.on_trial:
                self.on_trial = None
        self.ejections = {key: n for key, n in self.ejections.items() if key[0] in chosen}
        self.refresh(now)
        if not self.is_at_rest:
            self.wake()

    def expect(self, at: float, now: float, *, is_coming: bool) -> None:
        """Where no endpoint serves: whether one is coming, and at which instant, or the next try, as far as is known.

        The endpoints of a pool speak for themselves while there are any; elsewhere this is the only word.
        """
        self._is_coming = is_coming
        self.expected_at = at
        self._look_whole(now)

    def watch(self, route: RouteBreakers) -> None:
        """Let time pass for the breakers of this route, too."""
        self._routes[route.name] = route
        route.on_active = self._on_active
        route.on_change = partial(self._on_part_change, route.name)

    def _on_part_change(self, route: str, breaker: Breaker) -> None:
        self.on_step(self, breaker, route)

    def _on_active(self, route: RouteBreakers) -> None:
        self._active.append(route)
        self.wake()

    def wake(self) -> None:
        """Let time pass from now on."""
        if not self.is_awake:
            self.is_awake = True
            self._look_at = 0.0
            self.on_wake(self)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way and nothing will change until it is asked or ordered."""
        return (
            (self.is_calm or self.is_vacant or not self.endpoints)
            and self._is_settled
            and not self._active
            and not self._hanging
            and not self.departed.endpoints
            and not any(one.load for one in self.endpoints)
        )

    @property
    def routes(self) -> Iterable[RouteBreakers]:
        """The breakers of the routes that lead here."""
        return self._routes.values()

    def is_all_shut(self, now: float) -> bool:
        """Whether nobody is asked any more: by the breakers of the upstream and its endpoints, or of all its routes."""
        if self.is_shut:
            return True
        if not any(route.is_barring for route in self._active):
            return False
        return not any(route.pages.has_answered(now - _LATELY) for route in self._routes.values())

    def on_checked(self, url: str, now: float, *, is_up: bool, has_passed: bool) -> None:
        """Take the word of active checks about one endpoint."""
        endpoint = self._by_url.get(url)
        if endpoint is None:
            return
        self.wake()
        was_up = endpoint.place.is_up
        self._note_check(endpoint, now, is_up=is_up, has_passed=has_passed)
        if was_up is not is_up:
            self.refresh(now)

    def _note_check(self, endpoint: Endpoint, now: float, *, is_up: bool, has_passed: bool) -> None:
        place, breaker = endpoint.place, endpoint.breaker
        if is_up and not place.is_up:
            endpoint.standing.restart(now)
        place.set_up(now, is_up=is_up)
        if not has_passed:
            breaker.check_failed(now)
        elif self._is_checked or breaker.last is None or breaker.last.reason not in _SILENT:
            breaker.check_passed(now)
            self.breaker.check_passed(now)
            if self._is_checked and len(self.endpoints) == 1:
                for route in self._active:
                    route.check_passed(now)

    def set_breaker(self, url: str, action: str, actor: str, reason: str, now: float) -> None:
        """Set a breaker by hand; an empty ``url`` is that of the whole upstream, whose reset resets its routes, too."""
        self.wake()
        breakers = [self.breaker] if not url else [one.breaker for one in self.endpoints if one.url == url]
        for breaker in breakers:
            if action == "force_open":
                breaker.force_open(actor, reason, now)
            elif action == "force_close":
                breaker.force_close(actor, reason, now)
            else:
                breaker.reset(actor, reason, now)
        if not url and action == "reset":
            for route in self._active:
                route.reset(actor, reason, now)
        self.refresh(now)

    # --- who is asked ---

    def pick(self, tried: Collection[Endpoint], key: str, now: float) -> Endpoint | None:
        """The endpoint for the next attempt, not one of ``tried``; None when nobody may be asked.

        The work does not grow with the endpoints: the balancer knows those that let everybody pass, and of those that
        let only some pass a few are drawn.
        """
        if self._only is not None and not tried:
            return self._only
        if not self.is_calm:
            if not self.breaker.can_pass(now):
                return None
            if self._limited or self._closed:
                found = self._pick_limited(tried, key, now)
                if found is not None:
                    return found
        return self._choose(self._passing, tried, key)

    def _choose(self, candidates: list[Endpoint], tried: Collection[Endpoint], key: str) -> Endpoint | None:
        if len(candidates) <= 1:
            return candidates[0] if candidates and candidates[0] not in tried else None
        if not tried and self._limits is None:
            return candidates[self._balancer.pick(candidates, key)]
        limits = self._limits

        def is_unfit(one: Endpoint) -> bool:
            return one in tried or (limits is not None and one.is_full)

        found = self._balancer.pick(candidates, key, is_unfit)
        if found < 0:  # a second attempt may find all of them full, and has its permit already
            found = self._balancer.pick(candidates, key, tried.__contains__)
        return candidates[found] if found >= 0 else None

    def _pick_limited(self, tried: Collection[Endpoint], key: str, now: float) -> Endpoint | None:
        """Somebody who lets only some pass, as often as is their part of all; None when it is the others' turn."""
        if len(self._rotation) <= _FEW:
            free = [one for one in self._rotation if one.breaker.can_pass(now)]
            return self._choose(free, tried, key)
        limited = self._limited
        if now >= self._wake_at:
            limited = limited + [one for one in self._closed if one.breaker.can_pass(now)]
        if not limited:
            return None
        count = len(limited)
        if self._passing and self._random() * (count + len(self._passing)) >= count:
            return None
        begin = int(self._random() * count)
        # when they are all that is left every one of them is looked at
        for step in range(min(count, _DRAWS) if self._passing else count):
            one = limited[(begin + step) % count]
            if one not in tried and one.breaker.can_pass(now):
                return one
        return None

    def has_other(self, tried: Collection[Endpoint], now: float) -> bool:
        """Whether somebody may be asked who is not one of ``tried``."""
        if not self.breaker.can_pass(now):
            return False
        if any(one not in tried for one in self._passing):
            return True
        return any(one not in tried and one.breaker.can_pass(now) for one in (*self._limited, *self._closed))

    def enter(self, now: float, page: Page | None = None) -> int:
        """A request begins its first attempt at one of several endpoints; the token of the whole upstream's breaker.

        With one endpoint that endpoint's breaker says the same, and nobody need ask.
        """
        breaker = self.breaker
        token = breaker.acquire(now, page)
        if breaker.is_passing:
            breaker.answered(token, now)  # that a request hangs is held against its endpoint alone
        return token

    def answered(self, token: int, now: float) -> None:
        """The answer to the request has begun, and may last."""
        self.breaker.answered(token, now)

    def leave(self, token: int, outcome: Outcome, seconds: float, now: float, *, is_whole: bool = False) -> None:
        """The request has ended, after however many attempts; ``is_whole`` when there was no connection."""
        self.breaker.report(token, outcome, seconds, now, is_whole=is_whole)

    def can_pass(self, now: float) -> bool:
        """Whether anybody may be asked now."""
        if self.is_calm:
            return True
        if self.is_vacant or not self.breaker.can_pass(now):
            return False
        if self._passing or any(one.breaker.can_pass(now) for one in self._limited):
            return True
        return now >= self._wake_at and any(one.breaker.can_pass(now) for one in self._closed)

    def retry_in(self, now: float) -> float:
        """Seconds until breakers may let somebody pass again, or an endpoint is expected where there is none."""
        whole = self.breaker.retry_in(now)
        if self.is_vacant or not self.endpoints:
            return max(whole, self.expected_at - now)
        if self._passing or not self._rotation:
            return whole
        least = max(0.0, self._wake_at - now) if self._closed else inf
        for one in self._limited[:_FEW]:
            least = min(least, one.breaker.retry_in(now))
        return max(whole, least)

    def last_failure(self, url: str, since: float) -> Failure | None:
        """What went wrong last at one endpoint, or with an empty ``url`` at any; None when it was before ``since``."""
        endpoints = [self._by_url[url]] if url in self._by_url else [] if url else self.endpoints
        found = [one.failure for one in endpoints if one.failure is not None and one.failure.at >= since]
        return max(found, key=lambda one: one.at, default=None)

    @property
    def not_passing(self) -> int:
        """How many of the breakers of endpoints in rotation, and of the whole, do not let everybody pass."""
        return len(self._limited) + len(self._closed) + (not self.breaker.is_passing)

    def _is_well_elsewhere(self, route: str, part: Window, now: float) -> bool:
        """Whether a route that fails at one endpoint is well at the others."""
        found = self._routes.get(route)
        return found is not None and found.is_well_elsewhere(part, now)

    def _on_page_hangs(self, page: Page, now: float) -> None:
        """One page hangs and no other: that is the page's breaker's business."""
        found = self._routes.get(page.route)
        if found is not None:
            found.hang(page, now)

    def _on_change(self, breaker: Breaker) -> None:
        self.wake()
        self.on_step(self, breaker, "")
        last = breaker.last
        endpoint = self._by_breaker.get(breaker)
        if last is None:
            return
        if endpoint is not None:
            if last.after == "open" and last.reason in _HANGS:
                self._hanging.add(endpoint)
            elif last.after != "open":
                self._hanging.discard(endpoint)
            if last.after == "half_open":
                endpoint.standing.restart(last.at)
            self._sort(endpoint)
        self._look_whole(last.at)

    def _sort(self, endpoint: Endpoint) -> None:
        """Put one endpoint, whose breaker has changed, where it belongs."""
        for name in ("_passing", "_limited", "_closed"):
            group: list[Endpoint] = getattr(self, name)
            if endpoint in group:
                setattr(self, name, [one for one in group if one is not endpoint])
        if endpoint.is_in:
            self._list_of(endpoint).append(endpoint)

    def _list_of(self, endpoint: Endpoint) -> list[Endpoint]:
        breaker = endpoint.breaker
        if breaker.is_passing:
            self._passing = list(self._passing)  # another object, so that a balancer sees that it has changed
            return self._passing
        return self._limited if breaker.room else self._closed

    def _look_whole(self, now: float) -> None:
        """Work out what follows for the whole from who lets whom pass."""
        self._wake_at = min((now + one.breaker.retry_in(now) for one in self._closed), default=inf)
        has_doubts = bool(self._limited or self._closed)
        self.is_vacant = self._is_coming and not (self._is_pool and self.endpoints)
        has_nobody = self.is_vacant or not self.endpoints
        self.is_calm = self.breaker.is_passing and not has_doubts and not has_nobody
        self._only = self._passing[0] if self.is_calm and len(self._passing) == 1 else None
        self.is_shut = not (self.is_calm or self.is_vacant or (self.breaker.room and (self._passing or self._limited)))
        self.on_change(now)

    def refresh(self, now: float) -> None:
        """Work out again who is in rotation, with which weight; to be called when a check or a judgement has spoken."""
        endpoints = self.endpoints
        ejected = [one for one in endpoints if one.standing.is_ejected(now)]
        is_in = [one.place.is_up and not one.standing.is_ejected(now) for one in endpoints]
        is_whole = all(is_in)
        was_panicking = self.is_panicking
        self.is_panicking = not is_whole and is_panic([one.weight for one in endpoints], is_in, self._panic_ratio)
        self._tell(ejected, sum(is_in), was_panicking=was_panicking)
        if not self.is_panicking and not is_whole:
            endpoints = [one for one, has_place in zip(endpoints, is_in, strict=True) if has_place]
        known = [one.standing.latency for one in self.endpoints if one.standing.is_known]
        log_best = log(max(min(known), _FAST)) if known else 0.0
        is_settled = is_whole
        for one in self.endpoints:
            part = min(one.place.part(self._slow_start, now), one.standing.weight(now))
            one.assess(part, log_best, now)
            is_settled = is_settled and part >= 1.0
        self._is_settled = is_settled
        if endpoints != self._rotation:
            self._rotation = list(endpoints)
            if self._limits is not None:
                self._limits.use([one.url for one in endpoints], [one.url for one in self.endpoints])
        passing: list[Endpoint] = []
        self._limited, self._closed = [], []
        for one in self.endpoints:
            one.is_in = False
        for one in endpoints:
            one.is_in = True
            breaker = one.breaker
            if breaker.is_passing:
                passing.append(one)
            else:
                (self._limited if breaker.room else self._closed).append(one)
        if passing != self._passing:
            self._passing = passing
        self._look_whole(now)

    def _tell(self, ejected: list[Endpoint], count: int, *, was_panicking: bool) -> None:
        """Tell whose ejection is over, and whether panic begins or ends, with ``count`` endpoints in rotation."""
        if self._ejected:
            for one in self._ejected:
                if one not in ejected and self._by_url.get(one.url) is one:
                    self.on_return(self, one.url)
        self._ejected = ejected
        if self.is_panicking is not was_panicking:
            self.on_panic(self, count)

    # --- time passes ---

    def tick(self, now: float) -> None:
        """Let time pass: open breakers, hanging calls, outliers, slow starts; a few times a second is enough.

        With many endpoints the three parts of it are done in three turns, so that none of them is long.
        """
        if self._turn:
            self._take_turn(now)
            return
        if now < self._look_at:
            return
        if not self._look_at:  # it has just woken: what it finds now is needed soon
            self._look_at = now + self._random() * _LOOK
        elif now - self._look_at > _LOOK:  # the loop was busy: upstreams shall not all look in the same turn
            self._look_at = now + self._random() * _LOOK
            return
        else:
            self._look_at += _LOOK
        self._take_turn(now)
        if len(self.endpoints) <= _AT_ONCE:
            self._take_turn(now)
            self._take_turn(now)

    def _take_turn(self, now: float) -> None:
        turn, self._turn = self._turn, (self._turn + 1) % 3
        if turn == 0:
            self.departed.look()
            self.breaker.tick(now)
            for one in self.endpoints:
                if not one.breaker.is_idle:
                    one.breaker.tick(now)
            if self._active:
                for route in self._active:
                    route.tick(now)
                self._active = [route for route in self._active if route.is_active]
        elif turn == 1:
            if len(self.endpoints) > 1:
                self._compare(now)
        else:
            self.refresh(now)
            for one in self._hanging:
                one.give_up()
            self._hanging = {
                one for one in self._hanging if one.breaker.state_word == "open" or one.standing.is_ejected(now)
            }

    def _compare(self, now: float) -> None:
        """Let every endpoint be judged by its peers, and see whose sentence is over but for a trial."""
        endpoints = self.endpoints
        for one in endpoints:
            one.standing.in_progress = one.stuck(now)
        for ejection in self._judge([one.standing for one in endpoints], now):
            mode = "shadow" if ejection.is_shadow else "enforce"
            if ejection.reason == _STUCK and not ejection.is_shadow:
                self._hanging.add(endpoints[ejection.index])
            key = (endpoints[ejection.index].url, ejection.reason, mode)
            self.ejections[key] = self.ejections.get(key, 0) + 1
            self.on_ejection(self, key, ejection.seconds)
        waiting = [one for one in endpoints if one.standing.awaits_trial(now)]
        self.on_trial = next((one for one in waiting if one.place.is_up and one.breaker.can_pass(now)), None)

    def take_trial(self) -> tuple[Endpoint, float] | None:
        """Who gets the copy, which whoever asks must send, and the seconds in which it must be answered."""
        endpoint, self.on_trial = self.on_trial, None
        if endpoint is None:
            return None
        return endpoint, too_long([one.standing for one in self._rotation if one.standing.usual_latency])

    def asks(self, endpoint: Endpoint, now: float) -> bool:
        """Whether this endpoint of the upstream may be asked now, were it not for the upstream's own breaker."""
        return endpoint.is_in and endpoint.breaker.can_pass(now)

    def __repr__(self) -> str:
        return f"<UpstreamGroup {self.name} {len(self._rotation)}/{len(self.endpoints)} in rotation>"


def _nothing(_now: float) -> None:
    """Nobody has asked to be told."""


def _nothing_more(_group: UpstreamGroup, _what: object, _more: object) -> None:
    """Nobody has asked to be told."""


def _nothing_about(_group: UpstreamGroup, _what: object) -> None:
    """Nobody has asked to be told."""


def _nothing_to(group: UpstreamGroup) -> None:
    """Nobody has asked to be told."""
