"""An upstream: the group of endpoints behind a route, who is asked among them, and what they are worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from gateway.resilience.outlier import too_long
from gateway.upstream.departed import Departed
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.rotation import Place, is_panic

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from gateway.core.outcome import Outcome
    from gateway.http.line import Line
    from gateway.resilience.breaker import Breaker
    from gateway.resilience.outlier import Ejection, Standing
    from gateway.upstream.balance import Balancer
    from gateway.upstream.endpoint import Limit
    from gateway.upstream.settings import Connections, EndpointSettings

_LOOK: Final = 0.25
# Opened for these reasons: that it accepts a connection, which is all that is asked without a health table, is no cure.
_SILENT: Final = frozenset({"hanging", "slow_ratio", "probe_lost", "probe_slow"})
# Below this, in seconds, latencies are not told apart.
_FAST: Final = 0.001


class Limits(Protocol):
    """Limits of single endpoints, where each has its own."""

    def of(self, endpoint: str) -> Limit:
        """The endpoint's own limit."""

    def use(self, endpoints: Collection[str], known: Collection[str]) -> None:
        """These are in rotation now; of others only those that are known keep what was learned."""


class UpstreamGroup:
    """The endpoints that serve one upstream now.

    ``is_calm`` while every breaker lets everybody pass; ``is_shut`` while they let nobody. ``on_change`` is
    called when one of these may have changed. ``breaker`` watches the whole upstream where it has several endpoints.
    ``on_trial`` is who should get a copy of the next safe request.
    """

    __slots__ = (
        "_balancer",
        "_began_at",
        "_connect_timeout",
        "_has_lost",
        "_is_checked",
        "_judge",
        "_limits",
        "_look_at",
        "_make_breaker",
        "_only",
        "_panic_ratio",
        "_rotation",
        "_settings",
        "_slow_start",
        "breaker",
        "departed",
        "ejections",
        "endpoints",
        "is_calm",
        "is_panicking",
        "is_shut",
        "line",
        "name",
        "on_change",
        "on_trial",
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
        limits: Limits | None = None,
    ) -> None:
        self.name = name
        self.line = line
        self.endpoints: list[Endpoint] = []
        self.departed = Departed()
        self.ejections: dict[tuple[str, str, str], int] = {}
        self.is_calm = True
        self.is_panicking = False
        self.is_shut = False
        self.on_trial: Endpoint | None = None
        self.on_change: Callable[[], None] = _nothing
        self.breaker = make_breaker("")
        self.breaker.on_change = self._on_change
        self._settings = settings
        self._connect_timeout = connect_timeout
        self._balancer = balancer
        self._make_breaker = make_breaker
        self._judge = judge
        self._slow_start = slow_start
        self._panic_ratio = panic_ratio
        self._is_checked = is_checked
        self._limits = limits
        self._rotation: list[Endpoint] = []
        self._only: Endpoint | None = None
        self._look_at = 0.0
        self._has_lost = False
        self._began_at = 0.0

    def set_endpoints(self, settings: Iterable[str | EndpointSettings], now: float, warm: Collection[str] = ()) -> None:
        """Serve from these endpoints from now on; those that stay keep their connections and what is known of them.

        Those that come begin with little of their weight, unless they are ``warm``. Those that leave are asked no more,
        and finish what they have.
        """
        present = {endpoint.url: endpoint for endpoint in self.endpoints}
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
                    host=host,
                    limit=None if self._limits is None else self._limits.of(url),
                )
            endpoint.set_host(host)
            endpoint.weight = weight
            endpoint.breaker.on_change = self._on_change
            chosen[url] = endpoint
        self.endpoints = list(chosen.values())
        for endpoint in self.endpoints:
            endpoint.has_peers = len(self.endpoints) > 1
        for endpoint in present.values():
            self.departed.add(endpoint)
            if endpoint is self.on_trial:
                self.on_trial = None
        self.ejections = {key: n for key, n in self.ejections.items() if key[0] in chosen}
        self.refresh(now)

    def on_checked(self, url: str, now: float, *, is_up: bool, has_passed: bool) -> None:
        """Take the word of active checks about one endpoint."""
        for endpoint in self.endpoints:
            if endpoint.url == url:
                self._note_check(endpoint, now, is_up=is_up, has_passed=has_passed)
        self.refresh(now)

    def _note_check(self, endpoint: Endpoint, now: float, *, is_up: bool, has_passed: bool) -> None:
        place, breaker = endpoint.place, endpoint.breaker
        if is_up and not place.is_up:
            endpoint.standing.restart(now)
        self._has_lost = self._has_lost or not is_up
        place.set_up(now, is_up=is_up)
        if not has_passed:
            breaker.check_failed(now)
        elif self._is_checked or breaker.last is None or breaker.last.reason not in _SILENT:
            breaker.check_passed(now)
            self.breaker.check_passed(now)

    def set_breaker(self, url: str, action: str, actor: str, reason: str, now: float) -> None:
        """Set a breaker by hand; an empty ``url`` is that of the whole upstream."""
        breakers = [self.breaker] if not url else [one.breaker for one in self.endpoints if one.url == url]
        for breaker in breakers:
            if action == "force_open":
                breaker.force_open(actor, reason, now)
            elif action == "force_close":
                breaker.force_close(actor, reason, now)
            else:
                breaker.reset(actor, reason, now)
        self.refresh(now)

    def pick(self, tried: Collection[Endpoint], key: str, now: float) -> Endpoint | None:
        """The endpoint for the next attempt, not one of ``tried``; None when nobody may be asked."""
        candidates = self._rotation
        if self._only is not None and not tried:
            return self._only
        if tried:
            candidates = [one for one in candidates if one not in tried]
        if not self.is_calm:
            if not self.breaker.can_pass(now):
                return None
            candidates = [one for one in candidates if one.breaker.can_pass(now)]
        if self._limits is not None:  # a second attempt may find all of them full, and has its permit already
            candidates = [one for one in candidates if not one.is_full] or candidates
        if len(candidates) <= 1:
            return candidates[0] if candidates else None
        return candidates[self._balancer.pick(candidates, key)]

    def has_other(self, tried: Collection[Endpoint], now: float) -> bool:
        """Whether somebody may be asked who is not one of ``tried``."""
        if not self.breaker.can_pass(now):
            return False
        return any(one not in tried and one.breaker.can_pass(now) for one in self._rotation)

    def enter(self, now: float) -> int:
        """A request begins its first attempt at one of several endpoints; the token of the whole upstream's breaker.

        With one endpoint that endpoint's breaker says the same, and nobody need ask.
        """
        breaker = self.breaker
        token = breaker.acquire(now)
        if breaker.is_passing:
            breaker.answered(token, now)  # that a request hangs is held against its endpoint alone
        return token

    def answered(self, token: int, now: float) -> None:
        """The answer to the request has begun, and may last."""
        self.breaker.answered(token, now)

    def leave(self, token: int, outcome: Outcome, seconds: float, now: float) -> None:
        """The request has ended, after however many attempts."""
        self.breaker.report(token, outcome, seconds, now)

    def can_pass(self, now: float) -> bool:
        """Whether anybody may be asked now."""
        if self.is_calm:
            return True
        return self.breaker.can_pass(now) and any(one.breaker.can_pass(now) for one in self._rotation)

    def retry_in(self, now: float) -> float:
        """Seconds until breakers may let somebody pass again."""
        if not self._rotation:
            return 0.0
        return max(self.breaker.retry_in(now), min(one.breaker.retry_in(now) for one in self._rotation))

    def _on_change(self, breaker: Breaker) -> None:
        self._has_lost = self._has_lost or breaker.state_word == "open"
        if breaker.state_word == "half_open":
            for one in self.endpoints:
                if one.breaker is breaker and breaker.last is not None:
                    one.standing.restart(breaker.last.at)
        if breaker.last is not None:
            self.refresh(breaker.last.at)

    def refresh(self, now: float) -> None:
        """Work out again who is in rotation, with which weight; to be called when a breaker or a check has spoken."""
        endpoints = self.endpoints
        is_in = [one.place.is_up and not one.standing.is_ejected(now) for one in endpoints]
        self.is_panicking = not all(is_in) and is_panic([one.weight for one in endpoints], is_in, self._panic_ratio)
        if not self.is_panicking:
            endpoints = [one for one, has_place in zip(endpoints, is_in, strict=True) if has_place]
        self._rotation = endpoints
        known = [one.standing.latency for one in self.endpoints if one.standing.usual_latency]
        best = max(min(known), _FAST) if known else 1.0
        for one in self.endpoints:
            one.assess(min(one.place.part(self._slow_start, now), one.standing.weight(now)), best)
        self.is_calm = self.breaker.is_passing and all(one.breaker.is_passing for one in endpoints)
        if self._limits is not None:
            self._limits.use([one.url for one in endpoints], [one.url for one in self.endpoints])
        self._only = endpoints[0] if self.is_calm and len(endpoints) == 1 else None
        self.is_shut = not self.is_calm and not min(self.breaker.room, sum(one.breaker.room for one in endpoints))
        self.on_change()

    def tick(self, now: float) -> None:
        """Let time pass: open breakers, hanging calls, outliers, slow starts; a few times a second is enough."""
        if now < self._look_at:
            return
        self._look_at = now + _LOOK
        self.departed.look()
        self.breaker.tick(now)
        endpoints = self.endpoints
        for one in endpoints:
            one.breaker.tick(now)
        if len(endpoints) > 1:
            self._compare(now)
        self.refresh(now)
        if self._has_lost:
            self._has_lost = False
            for one in endpoints:
                if one.breaker.state_word == "open" or not one.place.is_up or one.standing.is_ejected(now):
                    one.give_up()

    def _compare(self, now: float) -> None:
        """Let every endpoint be judged by its peers, and see whose sentence is over but for a trial."""
        endpoints = self.endpoints
        for one in endpoints:
            one.standing.in_progress = one.ages(now)
        for ejection in self._judge([one.standing for one in endpoints], now):
            mode = "shadow" if ejection.is_shadow else "enforce"
            self._has_lost = self._has_lost or not ejection.is_shadow
            key = (endpoints[ejection.index].url, ejection.reason, mode)
            self.ejections[key] = self.ejections.get(key, 0) + 1
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
        return endpoint in self._rotation and endpoint.breaker.can_pass(now)

    @property
    def opened(self) -> int:
        """Connections ever made, those of endpoints that left included."""
        return self.departed.opened + sum(endpoint.opened for endpoint in self.endpoints)

    def __repr__(self) -> str:
        return f"<UpstreamGroup {self.name} {len(self._rotation)}/{len(self.endpoints)} in rotation>"


def _nothing() -> None:
    """Nobody has asked to be told."""
