"""Request traces: counts a second or a minute, or one line a request, from any CSV file.

What is finer than the trace is made up: between two counts the rate is interpolated linearly from middle to
middle, and the requests of a second are drawn by Poisson's law with a fixed seed.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import tarfile
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_TIMES: Final = ("period_utc", "offset_s", "timestamp", "time", "ts")
_COUNTS: Final = ("count", "value", "requests")


class Trace(NamedTuple):
    """Requests per second on a regular grid: ``rates[i]`` is the mean from ``i·step`` to ``(i+1)·step`` seconds."""

    name: str
    step: float
    rates: Sequence[float]

    @property
    def length(self) -> float:
        """How long it is, in seconds."""
        return self.step * len(self.rates)

    def cut(self, begin: float, end: float) -> Trace:
        """The part from ``begin`` to ``end``, in seconds from its start."""
        return self._replace(rates=self.rates[int(begin / self.step) : int(end / self.step)])

    def scaled(self, peak: float) -> Trace:
        """The same shape, with ``peak`` requests per second at its highest."""
        highest = max(self.rates)
        return self._replace(rates=[rate * peak / highest for rate in self.rates])

    def seconds(self) -> list[float]:
        """The rate in each second, interpolated from middle to middle."""
        step, rates = self.step, self.rates
        if step <= 1:
            return list(rates)
        found = []
        for second in range(int(self.length)):
            place = (second + 0.5) / step - 0.5
            left = min(max(int(place // 1), 0), len(rates) - 1)
            right = min(left + 1, len(rates) - 1)
            share = min(max(place - left, 0.0), 1.0)
            found.append(rates[left] * (1 - share) + rates[right] * share)
        return found


def read_trace(path: Path, *, since: str = "", until: str = "") -> Trace:
    """Read a CSV file (plain, .gz, .bz2, or a tar of ``workload.txt``); ValueError says what is wrong with it.

    With a header that names a time and a count, each row is a count for its period. With a time and no count, each
    row is one request. Without any header, numbers separated by white space are requests per second. ``since``
    and ``until`` keep the rows whose time text is in [since, until).
    """
    if ".tbz" in path.name or ".tar" in path.name:
        return Trace(path.stem, 1.0, [float(word) for word in _unpack(path).split()])
    lines = _lines(path)
    first = next(lines, "")
    names = [name.strip().lower() for name in first.split(",")]
    at = next((names.index(name) for name in _TIMES if name in names), None)
    if at is None:
        return Trace(path.stem, 1.0, _numbers(path, first, lines))
    counted = next((names.index(name) for name in _COUNTS if name in names), None)
    rows = [row for row in csv.reader(lines) if row and (not since or row[at] >= since)]
    if until:
        rows = [row for row in rows if row[at] < until]
    if len(rows) < 2:  # noqa: PLR2004 - two rows make a period
        message = f"{path.name}: fewer than two rows between {since or 'its start'} and {until or 'its end'}"
        raise ValueError(message)
    times = [_instant(row[at], path) for row in rows]
    if counted is None:
        return _requests(path.stem, times)
    step = min(later - earlier for earlier, later in pairwise(times) if later > earlier)
    rates = [0.0] * (int((times[-1] - times[0]) / step) + 1)
    for instant, row in zip(times, rows, strict=True):
        rates[int((instant - times[0]) / step)] = float(row[counted]) / step
    return Trace(path.stem, step, rates)


def _requests(name: str, times: Sequence[float]) -> Trace:
    begin = min(times)
    rates = [0.0] * (int(max(times) - begin) + 1)
    for instant in times:
        rates[int(instant - begin)] += 1.0
    return Trace(name, 1.0, rates)


def _numbers(path: Path, first: str, lines: Iterator[str]) -> list[float]:
    try:
        return [float(word) for line in (first, *lines) for word in line.replace(",", " ").split()]
    except ValueError:
        message = (
            f"{path.name}: expected a header with one of {', '.join(_TIMES)} (and one of {', '.join(_COUNTS)}), "
            "or numbers alone"
        )
        raise ValueError(message) from None


def _instant(text: str, path: Path) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        # Python 3.11 reads at most six digits of a second; some traces have seven
        whole, _, part = text.strip().rstrip("Z").partition(".")
        return datetime.fromisoformat(f"{whole}.{part[:6].ljust(6, '0')}").replace(tzinfo=UTC).timestamp()
    except ValueError:
        message = f'{path.name}: "{text}" is neither a number of seconds nor an ISO time'
        raise ValueError(message) from None


def _lines(path: Path) -> Iterator[str]:
    if path.suffix == ".gz":
        with gzip.open(path, "rt") as file:
            yield from file
    elif path.suffix == ".bz2":
        with bz2.open(path, "rt") as file:
            yield from file
    else:
        with path.open() as file:
            yield from file


def _unpack(path: Path) -> str:
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                return file.read().decode()
    message = f"{path.name}: an archive without a file"
    raise ValueError(message)
