"""What there is at present, beside what was counted: connections, gates, groups; for the snapshot that goes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.admission.limits.limit import Stage
from gateway.proxy.capacity import TOLD, beneath, remember
from gateway.telemetry.snapshot import EndpointSnapshot, FailureSnapshot, RouteSnapshot, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gateway.admission.gate import Gate
    from gateway.config.settings import Upstream
    from gateway.http.downstream import ClientConnection
    from gateway.proxy.rule import RouteRule
    from gateway.resilience.breaker import Breaker
    from gateway.resilience.route import RouteBreakers
    from gateway.resilience.transitions import Transition
    from gateway.telemetry.snapshot import GateSnapshot, ResilienceSnapshot
    from gateway.upstream.group import UpstreamGroup


def client_connections(connections: Iterable[ClientConnection]) -> Iterator[tuple[str, str, int]]:
    """Side, state and number of the connections from clients."""
    states = {"handshake": 0, "idle": 0, "active": 0, "tunnel": 0}
    for connection in connections:
        states[connection.state] += 1
    return (("client", state, n) for state, n in states.items())


def upstream_connections(groups: Iterable[UpstreamGroup]) -> Iterator[tuple[str, str, int]]:
    """Side, state and number of the connections to endpoints, those that left included."""
    idle = active = connecting = 0
    for group in groups:
        for endpoint in (*group.endpoints, *group.departed.endpoints):
            endpoint_idle, endpoint_active = endpoint.connections
            idle += endpoint_idle
            active += endpoint_active
            connecting += endpoint.connecting
    return (("upstream", *one) for one in (("idle", idle), ("active", active), ("connecting", connecting)))


def refused_by_rate(rules: Mapping[str, RouteRule]) -> list[tuple[str, str, str, int]]:
    """Route, rule, mode and number of refusals, for every quota there is."""
    return [
        (name, one.name, "shadow" if one.is_shadow else "enforce", one.refused)
        for name, rule in rules.items()
        if rule.rates is not None
        for one in rule.rates.rules
    ]


def show_gate(found: GateSnapshot, gate: Gate, settings: Upstream) -> None:
    """Put in who waits before the gate, and the limit."""
    found.queued = gate.waiting()
    found.queued_bytes = gate.waiting_size
    found.streams = gate.streams
    found.limit = 0 if settings.limit.mode == "off" else beneath(gate.limit).value
    found.remembered = remember(gate)
    found.limit_changes = dict(gate.changes)
    is_found = settings.limit.kind == "fixed" or (
        gate.limit.stage is not Stage.OPEN and not gate.changes.keys() <= TOLD
    )
    found.is_limit_guessed = not is_found


def show_group(found: ResilienceSnapshot, group: UpstreamGroup, now: float, wall: float) -> None:
    """Put in what is believed of the endpoints, and what is under way at those that left."""
    found.endpoints = _endpoints(group, now, wall)
    found.routes = {one.name: _route(one, wall - now) for one in group.routes if one.is_active or one.changes}
    found.is_panicking = int(group.is_panicking)
    found.is_shut = int(group.is_all_shut(now))
    found.departing = group.departed.under_way()


def _endpoints(group: UpstreamGroup, now: float, wall: float) -> dict[str, EndpointSnapshot]:
    """The state of the whole upstream's breaker, under an empty name, and of every endpoint."""
    found = {"": _breaker(group.breaker, wall - now)}
    for one in group.endpoints:
        snapshot = found[one.url] = _breaker(one.breaker, wall - now)
        snapshot.in_rotation = int(group.asks(one, now))
        snapshot.share = one.part
        snapshot.in_flight = one.in_flight
        snapshot.served = one.served
        snapshot.reported = one.reported
        if one.failure is not None:
            reason, detail, at = one.failure
            snapshot.failure = FailureSnapshot(reason, detail, at + wall - now)
    for (url, reason, mode), n in group.ejections.items():
        found.setdefault(url, EndpointSnapshot()).ejections.append((reason, mode, n))
    return found


def _breaker(breaker: Breaker, epoch: float) -> EndpointSnapshot:
    found = EndpointSnapshot(states={breaker.state_word: 1})
    found.shadow_refused = breaker.shadow_refused
    found.transitions = [(*key, n) for key, n in breaker.transitions.items()]
    if breaker.last is not None:
        found.last = _step(breaker.last, epoch)
    return found


def _route(route: RouteBreakers, epoch: float) -> RouteSnapshot:
    found = RouteSnapshot([(*key, n) for key, n in route.changes.items()])
    for page, breaker in route.breakers():
        found.states[page] = {breaker.state_word: 1}
    if route.last is not None:
        found.last = _step(route.last, epoch)
    return found


def _step(last: Transition, epoch: float) -> Step:
    before, after, reason, at, actor, note = last
    return Step(before, after, reason, at + epoch, actor, note)
