"""Answers scrapes: the metrics of :mod:`gateway.telemetry.collector` as text, made in steps and kept while true.

With a thousand upstreams there are a quarter of a million series, and to print them takes a second of processor time.
So a reading is cut up by route, by upstream and by fifty endpoints. Only what has changed is printed anew, one piece at
each step, and the pieces of a family are joined in the end.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import Struct
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from gateway.telemetry.collector import of_endpoints, of_routes, of_scaling, of_the_rest, of_upstreams
from gateway.telemetry.reading import Reading
from gateway.telemetry.snapshot import NO_ROUTE, ResilienceSnapshot, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.core import Metric

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = openmetrics.CONTENT_TYPE_LATEST

Row = tuple[Any, ...]
_ENDPOINTS_AT_ONCE: Final = 50
_KEPT_AT_ONCE: Final = 50


class Exposition:
    """Answers scrapes from ``read``, and from this process's own figures in ``/proc``.

    The text is made piece by piece: of each route, of each upstream, of the rest. A piece whose figures are the same
    objects as at the last scrape is kept, so that what is idle costs nothing; ``rendered`` counts those made.
    ``settle`` is run before, for ``read`` to be quick; ``shown`` gets what was read when all of it is printed.
    """

    def __init__(
        self,
        read: Callable[[], Reading],
        settle: Callable[[], Iterable[None]] | None = None,
        shown: Callable[[Snapshot], None] | None = None,
    ) -> None:
        self._read = read
        self._settle = settle
        self._shown = shown
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)
        self._kept: dict[str, dict[tuple[str, str, int], _Piece]] = {}
        self.rendered = 0

    def answer(self, accept: str) -> tuple[str, bytes]:
        """Content type and body for a scrape with this ``Accept`` field: OpenMetrics 1.0 when asked, else text."""
        scrape = self.scrape(accept)
        for _ in scrape.steps():
            pass
        return scrape.answer()

    def scrape(self, accept: str) -> Scrape:
        """The same in steps of a few milliseconds at most, for a loop that has other things to do in between."""
        asked = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
        return Scrape(self, OPENMETRICS if "application/openmetrics-text" in asked else TEXT)

    def steps(self, kind: str, found: dict[str, list[str]]) -> Iterator[None]:
        """Make what has changed, a piece a step, and put the lines of each family into ``found``, in order."""
        if self._settle is not None:
            yield from self._settle()
        reading = self._read()
        yield
        kept = self._kept.setdefault(kind, {})
        present: set[tuple[str, str, int]] = set()
        for count, part in enumerate(_parts(reading)):
            if not count % _KEPT_AT_ONCE:
                yield
            present.add(part.key)
            piece = kept.get(part.key)
            if piece is None or not piece.is_of(part.figures):
                self.rendered += 1
                piece = kept[part.key] = _Piece(part.figures, _lines(kind, part.families()))
                yield
            for family, (head, lines) in piece.lines.items():
                found.setdefault(family, [head]).append(lines)
        for gone in kept.keys() - present:
            del kept[gone]
        yield
        for family, (head, lines) in _lines(kind, self._process.collect()).items():
            found.setdefault(family, [head]).append(lines)
        if self._shown is not None:
            self._shown(reading.snapshot)


class Scrape:
    """One scrape: run :meth:`steps` to their end, then :meth:`answer`."""

    def __init__(self, exposition: Exposition, kind: str) -> None:
        self._exposition = exposition
        self._kind = kind
        self._found: dict[str, list[str]] = {}
        self._body: list[bytes] = []

    def steps(self) -> Iterator[None]:
        """Do it, a little at each step."""
        yield from self._exposition.steps(self._kind, self._found)
        for pieces in self._found.values():
            self._body.append("".join(pieces).encode("utf-8"))
            yield
        if self._kind == OPENMETRICS:
            self._body.append(b"# EOF\n")

    def answer(self) -> tuple[str, bytes]:
        """Content type and body."""
        return self._kind, b"".join(self._body)


class Part(NamedTuple):
    """What a piece of the text is about: its key, the figures in it, how its metrics are made."""

    key: tuple[str, str, int]
    figures: tuple[object, ...]
    families: Callable[[], Iterable[Metric]]


class _Piece(NamedTuple):
    """Head and lines by family, and the figures that they were made of."""

    figures: tuple[object, ...]
    lines: dict[str, tuple[str, str]]

    def is_of(self, figures: tuple[object, ...]) -> bool:
        """Whether these are the same figures."""
        return len(figures) == len(self.figures) and all(
            one is other or (not isinstance(one, Struct) and one == other)
            for one, other in zip(figures, self.figures, strict=True)
        )


def _lines(kind: str, families: Iterable[Metric]) -> dict[str, tuple[str, str]]:
    """The text of metrics by family: its head and its lines. Two pieces of one family have one head."""
    registry = _Families(families)
    text = (openmetrics.generate_latest if kind == OPENMETRICS else generate_latest)(registry).decode("utf-8")
    found: dict[str, tuple[str, str]] = {}
    head, lines = "", list[str]()
    for line in text.splitlines(keepends=True):
        if line.startswith("# "):
            if line.startswith("# HELP "):
                if head:
                    found[head.split(" ", 3)[2]] = (head, "".join(lines))
                head, lines = "", []
            if not line.startswith("# EOF"):
                head += line
        else:
            lines.append(line)
    if head:
        found[head.split(" ", 3)[2]] = (head, "".join(lines))
    return found


class _Families:
    """As much of a registry as is needed to print families."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """The families."""
        return self._families


def _parts(reading: Reading) -> Iterator[Part]:
    """The reading cut up by route, by upstream, and by some of the endpoints of one."""
    snapshot = reading.snapshot
    requests, errors, limited = (
        _by_first(rows) for rows in (snapshot.requests, snapshot.errors, snapshot.rate_limited)
    )
    for name in dict.fromkeys((*reading.routes, NO_ROUTE, *requests, *errors)):
        seconds = snapshot.request_seconds.get(name)
        apart = snapshot.request_seconds_apart.get(name, {})
        rows = (requests.get(name, []), errors.get(name, []), limited.get(name, []))
        own = Snapshot(
            requests=rows[0],
            errors=rows[1],
            rate_limited=rows[2],
            request_seconds={} if seconds is None else {name: seconds},
            request_seconds_apart={name: apart},
        )
        yield Part(("route", name, 0), (*rows, seconds, apart), partial(of_routes, Reading((name,), (), own)))
    states = _by_first((*key, n) for key, n in reading.endpoints.items())
    ends = _by_first((*key, n) for key, n in reading.pool_ends.items())
    workers = max(reading.workers.get("ready", 0), 1)
    named = (reading.upstreams, snapshot.upstream_seconds, snapshot.gates, snapshot.resilience, snapshot.in_flight)
    for name in dict.fromkeys(name for some in named for name in some):
        yield from _of_one_upstream(name, reading, states.get(name, []), ends.get(name, []), workers)
    yield Part(("rest", "", 0), (reading,), partial(of_the_rest, reading))


def _of_one_upstream(name: str, reading: Reading, states: list[Row], ends: list[Row], workers: int) -> Iterator[Part]:
    snapshot = reading.snapshot
    seconds, gate = snapshot.upstream_seconds.get(name), snapshot.gates.get(name)
    resilience, scaling = snapshot.resilience.get(name), reading.scaling.get(name)
    in_flight = snapshot.in_flight.get(name, 0)
    own = Reading(
        (),
        (name,),
        Snapshot(
            upstream_seconds={} if seconds is None else {name: seconds},
            gates={} if gate is None else {name: gate},
            in_flight={name: in_flight},
            resilience={} if resilience is None else {name: resilience},
        ),
        workers={"ready": workers},
        endpoints={(name, str(state)): n for _, state, n in states},
        pool_ends={(name, str(how)): n for _, how, n in ends},
    )
    figures = (seconds, gate, resilience, in_flight, workers, states, ends)
    yield Part(("upstream", name, 0), figures, partial(of_upstreams, own))
    if scaling is not None:
        scaled = Reading((), (), Snapshot(), scaling={name: scaling})
        yield Part(("scaling", name, 0), (scaling,), partial(of_scaling, scaled))
    if resilience is None:
        return
    urls = list(resilience.endpoints)
    for begin in range(0, len(urls), _ENDPOINTS_AT_ONCE):
        some = urls[begin : begin + _ENDPOINTS_AT_ONCE]
        endpoints = {url: resilience.endpoints[url] for url in some}
        few = Snapshot(resilience={name: ResilienceSnapshot(endpoints=endpoints)})
        key = ("endpoints", name, begin)
        yield Part(key, tuple(endpoints.values()) + tuple(some), partial(of_endpoints, Reading((), (), few)))


def _by_first(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row)
    return found
