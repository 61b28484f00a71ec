"""Adds up what the workers counted, those that are dead included (pure)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, TypeVarTuple, cast

from gateway.telemetry.snapshot import (
    EndpointSnapshot,
    GateSnapshot,
    HistogramSnapshot,
    LoadSnapshot,
    ResilienceSnapshot,
    Snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.telemetry.snapshot import Decision

Key = TypeVarTuple("Key")
DECISIONS: Final = 1000
_PARTS: Final = 1 << 20


class Totals:
    """The sum over all workers that ever were.

    A worker's counters start at zero with its process, so a new process is a new worker: ``retire`` the
    old one first. Then no sum of counters ever falls; gauges are those of the living. ``decisions`` are the
    newest of all workers, oldest first.
    """

    def __init__(self) -> None:
        self._past = Snapshot()
        self._living: dict[int, Snapshot] = {}
        self.decisions: deque[Decision] = deque(maxlen=DECISIONS)

    def update(self, worker: int, snapshot: Snapshot) -> None:
        """Replace what this worker last said."""
        self._living[worker] = snapshot

    def retire(self, worker: int) -> None:
        """Keep the counters of a worker that died, forget its gauges."""
        last = self._living.pop(worker, None)
        if last is not None:
            self._past = added(self._past, last)
            self._past.connections = []
            self._past.in_flight = {}
            self._past.at = self._past.strain = 0.0
            for load in self._past.loads.values():
                load.queued = load.in_flight = load.tunnels = 0
                load.oldest_age = 0.0
            for gate in self._past.gates.values():
                gate.queued, gate.queued_bytes, gate.limit = {}, 0, 0
            for upstream in self._past.resilience.values():
                upstream.budget, upstream.is_panicking = 0.0, 0
                upstream.order, upstream.departing = 0, {}
                for endpoint in upstream.endpoints.values():
                    endpoint.states, endpoint.in_rotation, endpoint.share, endpoint.in_flight = {}, 0, 0.0, 0
                    endpoint.reported = {}

    @property
    def living(self) -> Mapping[int, Snapshot]:
        """What each living worker last said, by its number."""
        return self._living

    @property
    def past(self) -> Snapshot:
        """The counters of all workers that died."""
        return self._past

    def sum(self) -> Snapshot:
        """Everything counted so far, and the gauges of the living."""
        total = self._past
        for snapshot in self._living.values():
            total = added(total, snapshot)
        return total


def added(left: Snapshot, right: Snapshot) -> Snapshot:
    """The sum of two snapshots, series by series; the arguments stay as they are."""
    return Snapshot(
        requests=[(*key, n) for key, n in _merged(left.requests, right.requests).items()],
        errors=[(*key, n) for key, n in _merged(left.errors, right.errors).items()],
        bytes=_summed(left.bytes, right.bytes),
        request_seconds=_histograms(left.request_seconds, right.request_seconds),
        upstream_seconds=_histograms(left.upstream_seconds, right.upstream_seconds),
        loop_lag_seconds=_histogram(left.loop_lag_seconds, right.loop_lag_seconds),
        accepted=left.accepted + right.accepted,
        upstream_opened=left.upstream_opened + right.upstream_opened,
        rate_limited=[(*key, n) for key, n in _merged(left.rate_limited, right.rate_limited).items()],
        gates={
            name: _gate(left.gates.get(name, GateSnapshot()), right.gates.get(name, GateSnapshot()))
            for name in {**left.gates, **right.gates}
        },
        resilience={
            name: _resilience(
                left.resilience.get(name, ResilienceSnapshot()), right.resilience.get(name, ResilienceSnapshot())
            )
            for name in {**left.resilience, **right.resilience}
        },
        loads={
            name: added_load(left.loads.get(name, LoadSnapshot()), right.loads.get(name, LoadSnapshot()))
            for name in {**left.loads, **right.loads}
        },
        at=max(left.at, right.at),
        strain=max(left.strain, right.strain),
        connections=[(*key, n) for key, n in _merged(left.connections, right.connections).items()],
        in_flight=_summed(left.in_flight, right.in_flight),
    )


def added_load(left: LoadSnapshot, right: LoadSnapshot) -> LoadSnapshot:
    """The sum of two loads; the arguments stay as they are."""
    return LoadSnapshot(
        first_tries=left.first_tries + right.first_tries,
        retries=left.retries + right.retries,
        dispatched=left.dispatched + right.dispatched,
        good=left.good + right.good,
        bad=left.bad + right.bad,
        failed=left.failed + right.failed,
        finished=left.finished + right.finished,
        service_time=left.service_time + right.service_time,
        service_squares=left.service_squares + right.service_squares,
        arrival_steps=left.arrival_steps + right.arrival_steps,
        queued_time=left.queued_time + right.queued_time,
        in_flight_time=left.in_flight_time + right.in_flight_time,
        shed=_summed(left.shed, right.shed),
        delays=[a + b for a, b in zip(left.delays, right.delays, strict=True)]
        if left.delays and right.delays
        else left.delays or right.delays,
        queued=left.queued + right.queued,
        in_flight=left.in_flight + right.in_flight,
        tunnels=left.tunnels + right.tunnels,
        oldest_age=max(left.oldest_age, right.oldest_age),
    )


def _gate(left: GateSnapshot, right: GateSnapshot) -> GateSnapshot:
    return GateSnapshot(
        waits=_histograms(left.waits, right.waits),
        shed=[(*key, n) for key, n in _merged(left.shed, right.shed).items()],
        limit_changes=_summed(left.limit_changes, right.limit_changes),
        queued=_summed(left.queued, right.queued),
        queued_bytes=left.queued_bytes + right.queued_bytes,
        limit=left.limit + right.limit,
        is_limit_guessed=left.is_limit_guessed and right.is_limit_guessed,
    )


def _resilience(left: ResilienceSnapshot, right: ResilienceSnapshot) -> ResilienceSnapshot:
    return ResilienceSnapshot(
        firsts=left.firsts + right.firsts,
        attempts=_summed(left.attempts, right.attempts),
        retries=_summed(left.retries, right.retries),
        denied=_summed(left.denied, right.denied),
        hedges=_summed(left.hedges, right.hedges),
        endpoints={
            url: _endpoint(left.endpoints.get(url, EndpointSnapshot()), right.endpoints.get(url, EndpointSnapshot()))
            for url in {**left.endpoints, **right.endpoints}
        },
        budget=left.budget + right.budget,
        is_panicking=left.is_panicking + right.is_panicking,
        departing=_summed(left.departing, right.departing),
    )


def _endpoint(left: EndpointSnapshot, right: EndpointSnapshot) -> EndpointSnapshot:
    return EndpointSnapshot(
        transitions=[(*key, n) for key, n in _merged(left.transitions, right.transitions).items()],
        shadow_refused=left.shadow_refused + right.shadow_refused,
        ejections=[(*key, n) for key, n in _merged(left.ejections, right.ejections).items()],
        served=left.served + right.served,
        states=_summed(left.states, right.states),
        in_rotation=left.in_rotation + right.in_rotation,
        share=left.share + right.share,
        in_flight=left.in_flight + right.in_flight,
        reported=right.reported or left.reported,
        last=max((one for one in (left.last, right.last) if one is not None), key=lambda step: step.at, default=None),
    )


def _merged(left: Sequence[tuple[*Key, int]], right: Sequence[tuple[*Key, int]]) -> dict[tuple[*Key], int]:
    total: dict[tuple[*Key], int] = {}
    for row in (*left, *right):
        *parts, n = row
        key = cast("tuple[*Key]", tuple(parts))
        total[key] = total.get(key, 0) + n
    return total


def _summed(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    return {key: left.get(key, 0) + right.get(key, 0) for key in {**left, **right}}


def _exact(seconds: float) -> float:
    """To 2^-20 s: sums of such multiples are the same in any order, so that no counter falls by rounding."""
    return round(seconds * _PARTS) / _PARTS


def _histogram(left: HistogramSnapshot | None, right: HistogramSnapshot | None) -> HistogramSnapshot | None:
    if left is None or right is None:
        one = left or right
        return None if one is None else HistogramSnapshot(one.counts, _exact(one.total))
    counts = [a + b for a, b in zip(left.counts, right.counts, strict=True)]
    return HistogramSnapshot(counts, _exact(left.total) + _exact(right.total))


def _histograms(
    left: Mapping[str, HistogramSnapshot], right: Mapping[str, HistogramSnapshot]
) -> dict[str, HistogramSnapshot]:
    total = {**left}
    for key, histogram in right.items():
        found = _histogram(total.get(key), histogram)
        if found is not None:
            total[key] = found
    return total
