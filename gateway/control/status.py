"""What GET /v1/status and GET /v1/breakers answer, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from gateway.control.seat import SeatStatus
from gateway.pool.status import ProcessStatus
from gateway.telemetry.snapshot import FailureSnapshot, Step

if TYPE_CHECKING:
    from gateway.telemetry.snapshot import Snapshot


class UpstreamStatus(Struct, frozen=True):
    """One upstream: where it is served, how much is in flight, and its pool's processes."""

    endpoints: tuple[str, ...]
    in_flight: int
    pool: tuple[ProcessStatus, ...]


class BreakerStatus(Struct, frozen=True):
    """One breaker: workers by state, how many ask the endpoint, its weight in force (summed), attempts, last step.

    ``failure`` is what went wrong last at the endpoint: no connection and why, an answer that broke off.
    That of a route or of one of its pages (``route``, ``page``; an empty page is the whole route) has no endpoint.
    """

    upstream: str
    endpoint: str
    states: dict[str, int]
    in_rotation: int
    weight: float
    in_flight: int
    last: Step | None
    route: str = ""
    page: str = ""
    failure: FailureSnapshot | None = None


class TotalsStatus(Struct, frozen=True):
    """Counted since the gateway started, over all workers."""

    requests: int
    errors: int
    in_flight: int
    client_connections: int
    bytes: dict[str, int]


class Status(Struct, frozen=True):
    """The gateway at this moment; times are in seconds, ``started`` since the epoch."""

    version: str
    started: float
    uptime: float
    config: str
    listen: tuple[str, ...]
    admin: str
    not_ready: tuple[str, ...]
    restarts: int
    workers: tuple[SeatStatus, ...]
    upstreams: dict[str, UpstreamStatus]
    totals: TotalsStatus


def breaker_statuses(total: Snapshot) -> list[BreakerStatus]:
    """The state of every breaker, by upstream and endpoint; an empty endpoint is the upstream or a route of it."""
    found = [
        BreakerStatus(
            name,
            url,
            endpoint.states,
            endpoint.in_rotation,
            round(endpoint.share, 3),
            endpoint.in_flight,
            endpoint.last,
            failure=endpoint.failure,
        )
        for name, upstream in sorted(total.resilience.items())
        for url, endpoint in sorted(upstream.endpoints.items())
    ]
    found += [
        BreakerStatus(name, "", states, 0, 0.0, 0, watched.last, route, page)
        for name, upstream in sorted(total.resilience.items())
        for route, watched in sorted(upstream.routes.items())
        for page, states in sorted(watched.states.items())
    ]
    return found


def totals_status(total: Snapshot) -> TotalsStatus:
    """The sums over everything that was counted."""
    return TotalsStatus(
        requests=sum(n for *_, n in total.requests),
        errors=sum(n for *_, n in total.errors),
        in_flight=sum(total.in_flight.values()),
        client_connections=sum(n for side, _, n in total.connections if side == "client"),
        bytes=total.bytes,
    )
