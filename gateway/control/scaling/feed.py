"""From what the workers say to readings of every upstream (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.signals.reading import Reading
from gateway.telemetry.load import LoadSnapshot
from gateway.telemetry.totals import added_load

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.actuators.actuator import View
    from gateway.signals.reading import Replicas
    from gateway.telemetry.counters import EndpointSnapshot, ResilienceSnapshot, Snapshot
    from gateway.telemetry.totals import Totals

UNKNOWN: Final = 3600.0
"""The age of what was never known, in seconds."""
_SAME: Final = 1.0


class Look(NamedTuple):
    """The living workers at one moment; ``at`` is when what they say was true, ``age`` how much older the oldest is."""

    at: float
    age: float
    strain: float
    living: tuple[Snapshot, ...]
    past: Snapshot


def look(totals: Totals) -> Look | None:
    """What the workers said last; None while no worker lives, because then nobody can say anything.

    Their reports are not of the same instant. The mean of those that are less than a second behind the newest is when
    the sum was true, so that a worker that has stopped does not slow time down for the others.
    """
    living = tuple(totals.living.values())
    if not living:
        return None
    newest = max(one.at for one in living)
    fresh = [one.at for one in living if one.at > newest - _SAME]
    at = sum(fresh) / len(fresh)
    return Look(
        at, max(at - min(one.at for one in living), 0.0), max(one.strain for one in living), living, totals.past
    )


def reading(name: str, seen: Look, view: View, replicas: Replicas) -> Reading:
    """One upstream's reading; a view of its replicas that is older than the counters makes the whole as old."""
    load = _sum(name, seen)
    gates = [one.gates[name] for one in seen.living if name in one.gates]
    delays = load.delays
    return Reading(
        at=seen.at,
        first_tries=load.first_tries,
        retries=load.retries,
        dispatched=load.dispatched,
        good=load.good,
        bad=load.bad,
        failed=load.failed,
        finished=load.finished,
        service_time=load.service_time,
        service_squares=load.service_squares,
        arrival_steps=load.arrival_steps,
        queued_time=load.queued_time,
        in_flight_time=load.in_flight_time,
        shed={reason: float(n) for reason, n in load.shed.items()},
        # the latency histogram has one bound more, below the first of these
        delays=(float(delays[0] + delays[1]), *map(float, delays[2:])) if delays else (),
        queued=load.queued,
        in_flight=load.in_flight,
        queued_bytes=sum(gate.queued_bytes for gate in gates),
        oldest_age=load.oldest_age,
        tunnels=load.tunnels,
        limit=sum(gate.limit for gate in gates),
        replicas=replicas,
        is_breaker_open=_is_shut([one.resilience[name] for one in seen.living if name in one.resilience]),
        cold_starts=view.cold_starts,
        age=UNKNOWN if view.at is None else max(seen.age, seen.at - view.at),
        gateway_strain=seen.strain,
    )


def _sum(name: str, seen: Look) -> LoadSnapshot:
    loads = [one.loads[name] for one in (*seen.living, seen.past) if name in one.loads]
    if not loads:
        return LoadSnapshot()
    total = loads[0]
    for other in loads[1:]:
        total = added_load(total, other)
    return total


def _is_shut(workers: Collection[ResilienceSnapshot]) -> bool:
    """Whether most workers ask nobody: the upstream's own breaker is open, or that of every endpoint."""
    shut = 0
    for worker in workers:
        asked = [one for url, one in worker.endpoints.items() if url and _is_asked(one)]
        whole = worker.endpoints.get("")
        if (whole is not None and not _is_asked(whole)) or (not asked and len(worker.endpoints) > 1):
            shut += 1
    return shut > len(workers) / 2


def _is_asked(endpoint: EndpointSnapshot) -> bool:
    states = endpoint.states
    return not (states.get("open") or states.get("half_open") or states.get("forced_open"))


def reported(name: str, seen: Look) -> dict[str, dict[str, float]]:
    """What the endpoints of an upstream say of their own load, by URL; those that say nothing are left out."""
    return {
        url: one.reported
        for worker in seen.living
        if name in worker.resilience
        for url, one in worker.resilience[name].endpoints.items()
        if one.reported
    }
