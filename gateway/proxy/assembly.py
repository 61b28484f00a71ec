"""From settings to what a request meets: an upstream's gate, group and means of recovery, and the rules of routes."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from gateway.admission.classes import compile_classes
from gateway.admission.limits.by_endpoint import ByEndpoint
from gateway.admission.limits.choice import make_limit
from gateway.admission.modes import make_gate
from gateway.admission.priority import ClassChooser
from gateway.admission.queue import Queue
from gateway.admission.rate_gate import RateGate, tables_of
from gateway.admission.rate_key import KeyReader
from gateway.http.line import Line
from gateway.proxy.recovery import Recovery
from gateway.proxy.rule import RouteRule, RouteTimes
from gateway.resilience.breaker import Breaker
from gateway.resilience.failures import Failures
from gateway.resilience.outlier import Outliers
from gateway.resilience.route import RouteBreakers
from gateway.upstream.balance import make_balancer
from gateway.upstream.group import UpstreamGroup
from gateway.upstream.tls import ClientTls

if TYPE_CHECKING:
    import asyncio
    import random
    from collections.abc import Mapping

    from gateway.admission.classes import TrafficClass
    from gateway.admission.gate import Gate
    from gateway.config.settings import Route, Settings, Upstream
    from gateway.core.clock import Clock
    from gateway.core.deadlines import DeadlineWheel
    from gateway.core.ledger import Ledger
    from gateway.proxy.parts import Parts
    from gateway.telemetry.counters import Counters

# The breaker of a whole upstream opens when so much of it fails.
_ALL_BUT: Final = 0.9


class Service(NamedTuple):
    """What stands before one upstream; ``limits`` are its endpoints' own, if they have any."""

    gate: Gate
    group: UpstreamGroup
    recovery: Recovery
    limits: ByEndpoint | None


class Assembly:
    """Makes them, with what all of them share."""

    def __init__(  # noqa: PLR0913 - one place where they meet
        self,
        settings: Settings,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        wheel: DeadlineWheel,
        rng: random.Random,
        counters: Counters,
        parts: Parts,
        pseudonym: str,
        ledger: Ledger,
    ) -> None:
        self._pseudonym = pseudonym
        self._settings = settings
        self._ledger = ledger
        self._loop = loop
        self._clock = clock
        self._wheel = wheel
        self._rng = rng
        self._counters = counters
        self._parts = parts
        self._tls = ClientTls()
        self._classes = compile_classes(settings.classes)

    def service(self, name: str) -> Service:
        """Make what stands before this upstream, which has no endpoints yet."""
        upstream = self._settings.upstreams[name]
        limits = None
        if upstream.limit.per != "upstream":
            limits = ByEndpoint(partial(make_limit, upstream.limit, self._parts.even))
        gate = self._gate(name, upstream, limits)
        group = self._group(name, upstream, limits)
        group.on_change = partial(_bar, gate, group)
        return Service(gate, group, Recovery(upstream.retry, upstream.hedge, self._rng), limits)

    def rule(self, name: str, services: Mapping[str, Service]) -> RouteRule:
        """Compile this route, which leads to one of these services."""
        route = self._settings.routes[name]
        upstream = self._settings.upstreams[route.upstream]
        service = services[route.upstream]
        return RouteRule(
            name,
            route,
            group=service.group,
            gate=service.gate,
            traffic_class=self._classes[route.traffic_class],
            rates=self._rates(route),
            chooser=_chooser(route, self._classes),
            fairness=_reader(upstream.queue.fairness_key),
            hash_key=_reader(upstream.hash_key if upstream.balance == "ring_hash" else None),
            pseudonym=self._pseudonym,
            has_via=self._settings.gateway.via == "both",
            body_limit=int(route.limits.body or self._settings.gateway.limits.body),
            times=_times(route, upstream),
            recovery=service.recovery,
            breakers=self._breakers(name, upstream, service.group),
            failures=Failures(upstream.breaker.failures),
            endpoint_limits=service.limits,
            counters=self._counters.route(name),
            upstream_counters=self._counters.upstream(route.upstream),
        )

    def _gate(self, name: str, upstream: Upstream, limits: ByEndpoint | None) -> Gate:
        length, size = self._parts.room(name)
        gate = make_gate(
            limits or make_limit(upstream.limit, self._parts.even),
            Queue(max_length=length, max_size=size, max_wait=upstream.queue.longest_wait),
            limit_mode=upstream.limit.mode,
            queue_mode=upstream.queue.mode,
        )
        if upstream.limit.streams is not None:
            gate.max_streams = math.ceil(upstream.limit.streams * self._parts.even)
        return gate

    def _group(self, name: str, upstream: Upstream, limits: ByEndpoint | None) -> UpstreamGroup:
        is_checked = upstream.health is not None
        # One endpoint that answers is enough for the whole, so this one is about everything having failed.
        whole = replace(upstream.breaker, failure_ratio=max(upstream.breaker.failure_ratio, _ALL_BUT))

        def make_breaker(url: str) -> Breaker:
            settings = upstream.breaker if url else whole
            has_check = is_checked and url != ""
            return Breaker(url, settings, clock=self._clock, rng=self._rng, has_check=has_check, parts="route")

        return UpstreamGroup(
            name,
            line=self._line(upstream),
            settings=upstream.connections,
            connect_timeout=upstream.timeouts.connect,
            balancer=make_balancer(upstream.balance, self._rng),
            make_breaker=make_breaker,
            judge=Outliers(upstream.outlier).judge,
            slow_start=upstream.slow_start,
            panic_ratio=upstream.panic_ratio,
            is_checked=is_checked,
            rng=self._rng,
            tls=self._tls,
            limits=limits,
            is_pool=upstream.pool is not None,
        )

    def _breakers(self, route: str, upstream: Upstream, group: UpstreamGroup) -> RouteBreakers:
        """Those of one route, which the upstream's group looks after."""
        settings = upstream.breaker

        def make_breaker(page: str) -> Breaker:
            return Breaker(
                page, settings, clock=self._clock, rng=self._rng, parts="" if page else "page", has_ramp=False
            )

        breakers = RouteBreakers(
            route, make_breaker, threshold=float(settings.slow_threshold), window=float(settings.window)
        )
        group.watch(breakers)
        return breakers

    def _line(self, upstream: Upstream) -> Line:
        return Line(
            loop=self._loop,
            clock=self._clock,
            wheel=self._wheel,
            counts=self._counters,
            head_limit=upstream.connections.head,
            head_timeout=min(upstream.timeouts.head, upstream.retry.attempt_timeout or math.inf),
            idle_timeout=upstream.timeouts.idle,
            tunnel_timeout=upstream.timeouts.tunnel,
        )

    def _rates(self, route: Route) -> RateGate | None:
        rates = RateGate(route.rate_limits, self._ledger)
        return rates if rates.rules else None


def clients_of(settings: Settings) -> int:
    """For how many clients the table of their connections needs room; 0 when there is none."""
    limits = settings.gateway.limits
    # twice as many, because a set is full before the table is
    return 2 * limits.connections if limits.connections_per_client else 0


def tables_of_gateway(settings: Settings) -> list[int]:
    """The tables of a whole gateway's ledger, by how many keys they hold, in the order in which planes take them."""
    clients = clients_of(settings)
    rules = [keys for route in settings.routes.values() for keys in tables_of(route.rate_limits)]
    return [clients, *rules] if clients else rules


def _bar(gate: Gate, group: UpstreamGroup, now: float) -> None:
    """While a breaker counts places the gate asks for one; when there is none at all it refuses instead of waiting.

    While no endpoint serves and one is coming it admits nobody.
    """
    gate.bar = None if group.is_calm or group.is_shut else group.can_pass
    if group.is_vacant:
        gate.suspend(group.expected_at)
    elif gate.suspended_until is not None and not group.is_shut:
        gate.resume(now)


def _times(route: Route, upstream: Upstream) -> RouteTimes | None:
    """What the route says of timeouts, and of the rest what the upstream does; None when it says nothing."""
    own, usual = route.timeouts, upstream.timeouts
    if own.head is None and own.idle is None and own.tunnel is None:
        return None
    head = usual.head if own.head is None else own.head
    return RouteTimes(
        min(head, upstream.retry.attempt_timeout or math.inf),
        usual.idle if own.idle is None else own.idle,
        usual.tunnel if own.tunnel is None else own.tunnel,
    )


def _chooser(route: Route, classes: dict[str, TrafficClass]) -> ClassChooser | None:
    if route.class_header is None and not route.accept_priority:
        return None
    usual = classes[route.traffic_class]
    return ClassChooser(usual, classes, header=route.class_header, accepts_priority=route.accept_priority)


def _reader(key: str | None) -> KeyReader | None:
    return None if key is None else KeyReader.parse(key)
