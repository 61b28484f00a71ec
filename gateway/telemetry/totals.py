"""Adds up what the workers counted, those that are dead included (pure)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple, cast

from gateway.telemetry.snapshot import (
    EndpointSnapshot,
    GateSnapshot,
    HistogramSnapshot,
    LoadSnapshot,
    ResilienceSnapshot,
    RouteSnapshot,
    Snapshot,
    exact,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gateway.telemetry.snapshot import Decision, Step

T = TypeVar("T")
Key = TypeVarTuple("Key")
DECISIONS: Final = 1000
# Endpoints that are added up in one step.
_AT_ONCE: Final = 50
# Lists of rows that begin with a route; figures by upstream; figures by upstream or route; what is said as a whole.
_TABLES: Final = ("requests", "errors", "rate_limited")
_OF_UPSTREAMS: Final = ("upstream_seconds", "gates", "resilience", "loads", "in_flight")
_BY_NAME: Final = ("request_seconds", "request_seconds_apart", *_OF_UPSTREAMS)
_WHOLE: Final = ("bytes", "loop_lag_seconds", "accepted", "upstream_opened", "at", "strain", "connections")
# What of a load is a plain sum.
_LOADS: Final = (
    "first_tries",
    "retries",
    "dispatched",
    "good",
    "bad",
    "failed",
    "finished",
    "service_time",
    "service_squares",
    "arrival_steps",
    "queued_time",
    "in_flight_time",
    "queued",
    "in_flight",
    "streams",
)
_MOST_GONE: Final = 1000
"""Endpoints of an upstream that only dead workers knew: so many are kept for a scrape that may never come."""


class Totals:
    """The sum over all workers that ever were.

    A worker's counters start at zero with its process, so a new process is a new worker: ``retire`` the
    old one first. Then no sum of counters ever falls; gauges are those of the living. ``decisions`` are the
    newest of all workers, oldest first.

    Sums are kept by upstream and by route, and only those that were reported since are added up again; ``summed``
    counts how many were.
    """

    def __init__(self) -> None:
        self._past = Snapshot()
        self._living: dict[int, Snapshot] = {}
        self.decisions: deque[Decision] = deque(maxlen=DECISIONS)
        self.summed = 0
        self._news: dict[int, dict[str, None]] = {}
        self._stirred: dict[str, None] = {}
        self._sum = Snapshot()
        self._rows: dict[str, dict[str, list[tuple[str | int, ...]]]] = {name: {} for name in _TABLES}
        self._said: dict[int, dict[str, dict[str, list[tuple[str | int, ...]]]]] = {}
        self._stale_upstreams: dict[str, None] = {}
        self._stale_routes: dict[str, None] = {}

    def update(self, worker: int, snapshot: Snapshot) -> None:
        """Take what this worker says now: everything, or with a partial snapshot what has changed."""
        said = self._said.setdefault(worker, {name: {} for name in _TABLES})
        before = self._living.get(worker)
        if before is not None and not snapshot.is_partial:
            self._touch(before)
            for rows in said.values():
                rows.clear()
        self._touch(snapshot)
        self._news.setdefault(worker, {}).update(dict.fromkeys(snapshot.resilience))
        for name in _TABLES:
            said[name].update(_by_route(getattr(snapshot, name)))
        if before is None or not snapshot.is_partial:
            self._living[worker] = snapshot
            return
        for name in _BY_NAME:
            getattr(before, name).update(getattr(snapshot, name))
        for name in _TABLES:
            if getattr(snapshot, name):
                setattr(before, name, [row for rows in said[name].values() for row in rows])
        for name in _WHOLE:
            setattr(before, name, getattr(snapshot, name))

    def retire(self, worker: int) -> None:
        """Keep the counters of a worker that died, forget its gauges."""
        last = self._living.pop(worker, None)
        self._news.pop(worker, None)
        self._said.pop(worker, None)
        if last is not None:
            self._touch(last)
            self._past = added(self._past, last)
            self._past.connections = []
            self._past.in_flight = {}
            self._past.at = self._past.strain = 0.0
            for load in self._past.loads.values():
                load.queued = load.in_flight = load.streams = 0
                load.oldest_age = 0.0
            for gate in self._past.gates.values():
                gate.queued, gate.queued_bytes, gate.limit, gate.streams = {}, 0, 0, 0
            for name, upstream in self._past.resilience.items():
                upstream.budget, upstream.is_panicking, upstream.is_shut = 0.0, 0, 0
                upstream.order, upstream.departing = 0, {}
                for route in upstream.routes.values():
                    route.states = {}
                self._forget(name, upstream, list(upstream.endpoints), _MOST_GONE)
                for endpoint in upstream.endpoints.values():
                    endpoint.states, endpoint.in_rotation, endpoint.share, endpoint.in_flight = {}, 0, 0.0, 0
                    endpoint.reported = {}

    def forget_gone(self, shown: Snapshot) -> None:
        """Forget the endpoints that only dead workers knew and that ``shown`` has shown.

        Nothing is forgotten of an upstream while no living worker speaks of it.
        """
        for name, found in shown.resilience.items():
            past = self._past.resilience.get(name)
            if past is not None and past.endpoints:
                self._forget(name, past, found.endpoints)

    def _forget(self, name: str, past: ResilienceSnapshot, urls: Iterable[str], keep: int = 0) -> None:
        living = [one.resilience[name].endpoints for one in self._living.values() if name in one.resilience]
        if not living:
            return
        gone = [url for url in urls if url in past.endpoints and not any(url in one for one in living)]
        for url in gone[: max(len(gone) - keep, 0)]:
            del past.endpoints[url]
            self._stale_upstreams[name] = None

    def take_news(self) -> dict[int, dict[str, None]]:
        """The upstreams of which each worker has said something since the last call."""
        news, self._news = self._news, {}
        return news

    def take_stirred(self) -> dict[str, None]:
        """The upstreams of which any worker has said something since the last call, or that lost a worker."""
        stirred, self._stirred = self._stirred, {}
        return stirred

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
        for _ in self.settle():
            pass
        every = self._every()
        whole = self._sum
        return Snapshot(
            requests=[row for rows in self._rows["requests"].values() for row in rows],  # type: ignore[misc]  # rows of it
            errors=[row for rows in self._rows["errors"].values() for row in rows],  # type: ignore[misc]  # rows of it
            rate_limited=[row for rows in self._rows["rate_limited"].values() for row in rows],  # type: ignore[misc]  # rows of it
            bytes=_summed(*(one.bytes for one in every)),
            loop_lag_seconds=_histogram(*(one.loop_lag_seconds for one in every)),
            accepted=sum(one.accepted for one in every),
            upstream_opened=sum(one.upstream_opened for one in every),
            at=max((one.at for one in every), default=0.0),
            strain=max((one.strain for one in every), default=0.0),
            connections=[(*key, n) for key, n in _merged(*(one.connections for one in every)).items()],
            request_seconds=dict(whole.request_seconds),
            request_seconds_apart=dict(whole.request_seconds_apart),
            upstream_seconds=dict(whole.upstream_seconds),
            gates=dict(whole.gates),
            resilience=dict(whole.resilience),
            loads=dict(whole.loads),
            in_flight=dict(whole.in_flight),
        )

    def shut(self, upstream: str) -> int:
        """The workers in which the breakers of this upstream let no request pass."""
        return sum(one.resilience[upstream].is_shut for one in self._living.values() if upstream in one.resilience)

    def settle(self) -> Iterator[None]:
        """Bring the kept sums up to date, in steps of a millisecond or so."""
        while self._stale_routes:
            route, _ = self._stale_routes.popitem()
            self._add_up_route(route)
            yield
        while self._stale_upstreams:
            name, _ = self._stale_upstreams.popitem()
            yield from self._add_up_upstream(name)

    def _every(self) -> tuple[Snapshot, ...]:
        return (self._past, *self._living.values())

    def _touch(self, snapshot: Snapshot) -> None:
        """What is said here is to be added up again."""
        for name in _OF_UPSTREAMS:
            self._stale_upstreams.update(dict.fromkeys(getattr(snapshot, name)))
        self._stirred.update(dict.fromkeys(snapshot.loads))
        self._stale_routes.update(dict.fromkeys(snapshot.request_seconds))
        for name in _TABLES:
            self._stale_routes.update(dict.fromkeys(row[0] for row in getattr(snapshot, name)))

    def _add_up_route(self, route: str) -> None:
        self.summed += 1
        for name in _TABLES:
            tables: list[Any] = [said[name].get(route, ()) for said in self._said.values()]
            past = [row for row in getattr(self._past, name) if row[0] == route]
            rows = [(*key, n) for key, n in _merged(past, *tables).items()]
            _put(self._rows[name], route, rows)
        found = [one.request_seconds.get(route) for one in self._every()]
        _put(self._sum.request_seconds, route, _histogram(*found))
        apart = [one.request_seconds_apart.get(route, {}) for one in self._every()]
        _put(self._sum.request_seconds_apart, route, _histograms(*apart))

    def _add_up_upstream(self, name: str) -> Iterator[None]:
        self.summed += 1
        every = self._every()
        whole = self._sum
        _put(whole.upstream_seconds, name, _histogram(*(one.upstream_seconds.get(name) for one in every)))
        _put(whole.gates, name, _gate(*_present(one.gates.get(name) for one in every)))
        loads = _present(one.loads.get(name) for one in every)
        _put(whole.loads, name, added_load(*loads) if loads else None)
        living = [one.in_flight[name] for one in every if name in one.in_flight]
        _put(whole.in_flight, name, sum(living) if living else None)
        yield
        found = _present(one.resilience.get(name) for one in every)
        total = _resilience(*found)
        if total is not None:
            urls = list(dict.fromkeys(url for one in found for url in one.endpoints))
            for begin in range(0, len(urls), _AT_ONCE):
                for url in urls[begin : begin + _AT_ONCE]:
                    total.endpoints[url] = _endpoint(*_present(one.endpoints.get(url) for one in found))
                yield
        _put(whole.resilience, name, total)


def added(left: Snapshot, right: Snapshot) -> Snapshot:
    """The sum of two snapshots, series by series; the arguments stay as they are."""
    totals = Totals()
    totals.update(0, left)
    totals.update(1, right)
    return totals.sum()


def added_load(first: LoadSnapshot, *others: LoadSnapshot) -> LoadSnapshot:
    """The sum of loads; the arguments stay as they are."""
    if not others:
        return first
    parts = (first, *others)
    delays = [one.delays for one in parts if one.delays]
    return LoadSnapshot(
        shed=_summed(*(one.shed for one in parts)),
        delays=[sum(column) for column in zip(*delays, strict=True)],
        oldest_age=max(one.oldest_age for one in parts),
        **{name: sum(getattr(one, name) for one in parts) for name in _LOADS},
    )


def _gate(*parts: GateSnapshot) -> GateSnapshot | None:
    if len(parts) <= 1:
        return parts[0] if parts else None
    return GateSnapshot(
        waits=_histograms(*(one.waits for one in parts)),
        shed=[(*key, n) for key, n in _merged(*(one.shed for one in parts)).items()],
        limit_changes=_summed(*(one.limit_changes for one in parts)),
        queued=_summed(*(one.queued for one in parts)),
        queued_bytes=sum(one.queued_bytes for one in parts),
        streams=sum(one.streams for one in parts),
        limit=sum(one.limit for one in parts),
        is_limit_guessed=all(one.is_limit_guessed for one in parts),
    )


def _resilience(*parts: ResilienceSnapshot) -> ResilienceSnapshot | None:
    """The sum without the endpoints."""
    if not parts:
        return None
    routes = dict.fromkeys(name for one in parts for name in one.routes)
    return ResilienceSnapshot(
        firsts=sum(one.firsts for one in parts),
        attempts=_summed(*(one.attempts for one in parts)),
        retries=_summed(*(one.retries for one in parts)),
        denied=_summed(*(one.denied for one in parts)),
        hedges=_summed(*(one.hedges for one in parts)),
        routes={name: _route(*_present(one.routes.get(name) for one in parts)) for name in routes},
        budget=sum(one.budget for one in parts),
        is_panicking=sum(one.is_panicking for one in parts),
        is_shut=sum(one.is_shut for one in parts),
        departing=_summed(*(one.departing for one in parts)),
    )


def _route(*parts: RouteSnapshot) -> RouteSnapshot:
    pages = dict.fromkeys(page for one in parts for page in one.states)
    return RouteSnapshot(
        transitions=[(*key, n) for key, n in _merged(*(one.transitions for one in parts)).items()],
        states={page: _summed(*(one.states.get(page, {}) for one in parts)) for page in pages},
        last=_newest(*(one.last for one in parts)),
    )


def _newest(*steps: Step | None) -> Step | None:
    return max((one for one in steps if one is not None), key=lambda step: step.at, default=None)


def _endpoint(*parts: EndpointSnapshot) -> EndpointSnapshot:
    if len(parts) == 1:
        return parts[0]
    transitions = [one.transitions for one in parts if one.transitions]
    ejections = [one.ejections for one in parts if one.ejections]
    return EndpointSnapshot(
        transitions=[(*key, n) for key, n in _merged(*transitions).items()] if transitions else [],
        shadow_refused=sum([one.shadow_refused for one in parts]),
        ejections=[(*key, n) for key, n in _merged(*ejections).items()] if ejections else [],
        served=sum([one.served for one in parts]),
        states=_summed(*[one.states for one in parts]),
        in_rotation=sum([one.in_rotation for one in parts]),
        share=sum([one.share for one in parts]),
        in_flight=sum([one.in_flight for one in parts]),
        reported=next((one.reported for one in reversed(parts) if one.reported), {}),
        last=_newest(*[one.last for one in parts]),
        failure=max(_present(one.failure for one in parts), key=lambda one: one.at, default=None),
    )


def _present(parts: Iterable[T | None]) -> list[T]:
    return [one for one in parts if one is not None]


def _put(kept: dict[str, T], key: str, value: T | None) -> None:
    """Keep a value, or let go of the one before when there is none any more."""
    if value is None or value == []:
        kept.pop(key, None)
    else:
        kept[key] = value


def _by_route(rows: Iterable[tuple[str | int, ...]]) -> dict[str, list[tuple[str | int, ...]]]:
    found: dict[str, list[tuple[str | int, ...]]] = {}
    for row in rows:
        found.setdefault(str(row[0]), []).append(row)
    return found


def _merged(*tables: Iterable[tuple[*Key, int]]) -> dict[tuple[*Key], int]:
    total: dict[tuple[*Key], int] = {}
    for table in tables:
        for row in table:
            *parts, n = row
            key = cast("tuple[*Key]", tuple(parts))
            total[key] = total.get(key, 0) + n
    return total


def _summed(*parts: Mapping[str, int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for key, n in part.items():
            total[key] = total.get(key, 0) + n
    return total


def _histogram(*parts: HistogramSnapshot | None) -> HistogramSnapshot | None:
    found = [one for one in parts if one is not None]
    if not found:
        return None
    counts = [sum(column) for column in zip(*(one.counts for one in found), strict=True)]
    return HistogramSnapshot(counts, sum(exact(one.total) for one in found))


def _histograms(*parts: Mapping[str, HistogramSnapshot]) -> dict[str, HistogramSnapshot]:
    names = dict.fromkeys(name for part in parts for name in part)
    total: dict[str, HistogramSnapshot] = {}
    for name in names:
        found = _histogram(*(part.get(name) for part in parts))
        if found is not None:
            total[name] = found
    return total
