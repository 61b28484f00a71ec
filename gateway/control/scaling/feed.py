"""From what the workers say to readings of every upstream (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.signals.reading import Reading
from gateway.telemetry.snapshot import LoadSnapshot
from gateway.telemetry.totals import added_load

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.actuators.actuator import View
    from gateway.signals.reading import Replicas
    from gateway.telemetry.snapshot import EndpointSnapshot, Snapshot
    from gateway.telemetry.totals import Totals

UNKNOWN: Final = 3600.0
"""The age of what was never known, in seconds."""
_SAME: Final = 1.0
_NOTHING: Final = LoadSnapshot()


class Look(NamedTuple):
    """The living workers at one moment; ``at`` is when what they say was true, ``age`` how much older the oldest is."""

    at: float
    age: float
    strain: float
    living: tuple[Snapshot, ...]
    past: Snapshot


class Latest:
    """The latest look at the workers, for targets that rest meanwhile; ``count`` is how many there were.

    ``seen`` is the latest at which a worker lived, ``at`` the instant of the latest. Where somebody wants every
    target's numbers at every look, none ``may_rest``.
    """

    __slots__ = ("at", "count", "may_rest", "seen")

    def __init__(self, *, may_rest: bool = False) -> None:
        self.may_rest = may_rest
        self.seen: Look | None = None
        self.at = 0.0
        self.count = 0

    def note(self, seen: Look | None, now: float) -> None:
        """There was another one."""
        self.seen = self.seen if seen is None else seen
        self.at = now
        self.count += 1

    def __repr__(self) -> str:
        return f"<Latest {self.count} at={self.at:g}>"


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


def load_of(name: str, seen: Look) -> LoadSnapshot:
    """What all workers counted of one upstream, the dead ones included; the gauges are those of the living."""
    loads = [one.loads[name] for one in (*seen.living, seen.past) if name in one.loads]
    return added_load(*loads) if loads else _NOTHING


def reading(name: str, seen: Look, view: View, replicas: Replicas) -> Reading:
    """One upstream's reading; a view of its replicas that is older than the counters makes the whole as old."""
    split = _split([one.loads[name] for one in seen.living if name in one.loads])
    load = load_of(name, seen)
    limit = queued_bytes = released = 0
    is_limit_guessed = True
    for one in seen.living:
        gate = one.gates.get(name)
        if gate is not None:
            limit += gate.limit
            is_limit_guessed = is_limit_guessed and gate.is_limit_guessed
            queued_bytes += gate.queued_bytes
            released += gate.streams
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
        split=split,
        queued_time=load.queued_time,
        in_flight_time=load.in_flight_time,
        shed=load.shed,  # type: ignore[arg-type]  # whole numbers, and nobody changes them
        # the latency histogram has one bound more, below the first of these
        delays=(delays[0] + delays[1], *delays[2:]) if delays else (),
        services=_services(name, seen),
        queued=load.queued,
        in_flight=load.in_flight,
        queued_bytes=queued_bytes,
        oldest_age=load.oldest_age,
        streams=load.streams,
        held=max(load.streams - released, 0),
        limit=limit,
        is_limit_guessed=is_limit_guessed,
        replicas=replicas,
        is_breaker_open=_is_shut(name, seen.living),
        cold_starts=view.cold_starts,
        age=UNKNOWN if view.at is None else max(seen.age, seen.at - view.at - view.slack),
        gateway_strain=seen.strain,
    )


def _split(loads: Collection[LoadSnapshot]) -> float:
    """Among how many workers the arrivals are split; 1 before there were any."""
    if len(loads) < 2:  # noqa: PLR2004 - a worker alone sees everything
        return 1.0
    counts = [load.first_tries + load.retries for load in loads]
    squares = sum(count * count for count in counts)
    return sum(counts) ** 2 / squares if squares else 1.0


def _services(name: str, seen: Look) -> tuple[float, ...]:
    """How long attempts took, by bucket."""
    found = [one.upstream_seconds[name].counts for one in (*seen.living, seen.past) if name in one.upstream_seconds]
    return tuple(found[0] if len(found) == 1 else map(sum, zip(*found, strict=True)))


def _is_shut(name: str, workers: Collection[Snapshot]) -> bool:
    """Whether most workers ask nobody: the upstream's own breaker is open, or that of every endpoint or route."""
    shut = present = 0
    for worker in workers:
        found = worker.resilience.get(name)
        if found is None:
            continue
        present += 1
        endpoints = found.endpoints
        whole = endpoints.get("")
        is_whole_shut = found.is_shut > 0 or (whole is not None and not _is_asked(whole))
        if is_whole_shut or (len(endpoints) > 1 and not any(_is_asked(one) for url, one in endpoints.items() if url)):
            shut += 1
    return shut > present / 2


def _is_asked(endpoint: EndpointSnapshot) -> bool:
    states = endpoint.states
    if states.get("closed"):
        return True  # a worker has one state for each, and it is nearly always this one
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
