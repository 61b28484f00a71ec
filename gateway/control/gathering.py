"""Gathers what metrics are made of: workers, endpoints, the processes of pools, scaling, and everything counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from gateway.control.seat import SEAT_STATES
from gateway.pool.place import End
from gateway.pool.states import STATES
from gateway.telemetry.reading import LedgerReading, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.config.settings import Settings
    from gateway.control.scaling.loop import Scaling
    from gateway.control.seat import Seat
    from gateway.pool.pool import ProcessPool
    from gateway.telemetry.snapshot import Snapshot

_ENDS: Final[tuple[End, ...]] = get_args(End)


def gather(
    settings: Settings,
    snapshot: Snapshot,
    seats: Sequence[Seat],
    pools: Mapping[str, ProcessPool],
    scaling: Scaling | None,
) -> Reading:
    """Everything as of now; ``snapshot`` is the sum over all workers."""
    states = [seat.state for seat in seats]
    endpoints: dict[tuple[str, str], int] = {}
    for name, upstream in settings.upstreams.items():
        pool = pools.get(name)
        if pool is None:
            endpoints[name, "ready"] = len(upstream.endpoints)
        else:
            present = [process.state for process in pool.processes]
            endpoints.update({(name, state): present.count(state) for state in STATES})
    return Reading(
        routes=tuple(settings.routes),
        upstreams=tuple(settings.upstreams),
        snapshot=snapshot,
        restarts=sum(seat.restarts for seat in seats),
        workers={state: states.count(state) for state in SEAT_STATES},
        endpoints=endpoints,
        pool_ends={(name, how): pool.ends[how] for name, pool in pools.items() for how in _ENDS},
        processes={seat.number: seat.status.process for seat in seats if seat.status.process.rss},
        cpu={seat.number: seat.cpu for seat in seats},
        scaling={} if scaling is None else scaling.reading(),
        ledger=LedgerReading() if scaling is None else scaling.ledger.reading,
    )
