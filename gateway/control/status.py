"""What GET /v1/status answers, as data."""

from __future__ import annotations

from msgspec import Struct

from gateway.control.seat import SeatStatus
from gateway.pool.status import ProcessStatus
from gateway.telemetry.counters import Step


class UpstreamStatus(Struct, frozen=True):
    """One upstream: where it is served, how much is in flight, and its pool's processes."""

    endpoints: tuple[str, ...]
    in_flight: int
    pool: tuple[ProcessStatus, ...]


class BreakerStatus(Struct, frozen=True):
    """One breaker: workers by state, how many ask the endpoint, its weight in force (summed), attempts, last step."""

    upstream: str
    endpoint: str
    states: dict[str, int]
    in_rotation: int
    weight: float
    in_flight: int
    last: Step | None


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
