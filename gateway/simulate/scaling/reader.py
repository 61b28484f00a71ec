"""Reading a trace from a file: counts a period, or one line a request.

What a file may be, one period or one request a line:

- columns (comma, semicolon or tab) under a header that names a time, a count, or both, whatever else there is;
- the same without a header: a count; a time; a time and a count;
- numbers between white space: a time and a count where there are two in the first line, else counts, many a line;
- an access log (:mod:`~gateway.simulate.scaling.logs`): our own, nginx's or Apache's, or JSON with a time in each line.

A time and a count are a count for the period that begins then. A time alone is one request. A count alone is for the
next ``step``. Times are seconds from any zero, seconds, milliseconds, microseconds or nanoseconds since 1970, or ISO
8601 (UTC unless they say otherwise). A file may be packed (.gz, .bz2, or a tar of one file).
"""

from __future__ import annotations

import bz2
import csv
import gzip
import tarfile
from collections import Counter
from datetime import UTC, datetime
from itertools import chain, pairwise
from math import isfinite
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.simulate.scaling.logs import LoggedRequest, is_error, log_reader
from gateway.simulate.scaling.traces import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

TIMES: Final = ("period_utc", "offset_s", "timestamp", "datetime", "date", "time", "ts")
COUNTS: Final = ("count", "counts", "value", "requests", "invocations")
MOST_PERIODS: Final = 10_000_000
"""More is a wrong time somewhere, or a file to be cut first."""
_EPOCH: Final = 1e8
"""No count for a second is as large as this, so a number alone from here on is a time (1973 and later)."""
_CROOKED: Final = 0.95
"""Of the usual distance of two rows: shorter than this is another one."""
_RARE: Final = 0.01
"""The share of rows that may be wrong."""
_UNITS: Final = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3))
"""A time above this is since 1970 in a unit of so many seconds: nothing else is as large before the year 5138."""


class TraceError(ValueError):
    """A file that is no trace: its name, its line where one is to blame, and what was expected."""


class _Row(NamedTuple):
    line: int
    cells: Sequence[str]


class _Shape(NamedTuple):
    """In which column the time and the count are; None = there is none."""

    at: int | None
    counted: int | None


def read_trace(path: Path, *, since: str = "", until: str = "", step: float | None = None) -> Trace:
    """Read a file; :class:`TraceError` says what is wrong with it.

    ``since`` and ``until`` keep what is in [since, until), as times in the form that the file has. ``step`` is the
    length of a period in seconds; None = what the times say, or a second.
    """
    try:
        return _read(path, since, until, step)
    except (OSError, EOFError, UnicodeDecodeError, tarfile.TarError, csv.Error) as error:
        message = f"{path.name}: cannot be read: {getattr(error, 'strerror', None) or error}"
        raise TraceError(message) from None


def _read(path: Path, since: str, until: str, step: float | None) -> Trace:
    lines = ((number, line) for number, line in enumerate(_lines(path), 1) if _says_something(line))
    first = next(lines, None)
    if first is None:
        raise _wrong(path, 0, "is empty")
    of_log = log_reader(first[1], _instant)
    if of_log is not None:
        return _logged(path, of_log, chain((first,), lines), _bound(path, since), _bound(path, until))
    separator = next((mark for mark in ",;\t" if mark in first[1]), None)
    head = _Row(first[0], _cells(first[1].lstrip("\ufeff"), separator))
    rows: Iterator[_Row] = (_Row(number, _cells(line, separator)) for number, line in lines)
    shape, has_header = _shape(path, head)
    if not has_header:
        rows = chain((head,), rows)
    if shape.at is None:
        if since or until:
            raise _wrong(path, 0, "has no times, so nothing can be cut from it")
        return _counts(path, rows, shape.counted, step or 1.0)
    kept = _Times(path, shape.at, _bound(path, since), _bound(path, until))
    if shape.counted is None:
        return _requests(path, kept.of(rows))
    return _periods(path, kept, rows, shape.counted, step)


def _logged(
    path: Path,
    of_log: Callable[[str], LoggedRequest | None],
    lines: Iterable[tuple[int, str]],
    since: float | None,
    until: float | None,
) -> Trace:
    times: list[float] = []
    errors = others = 0
    for _, line in lines:
        found = of_log(line)
        if found is None:
            others += 1
        elif (since is None or found.at >= since) and (until is None or found.at < until):
            times.append(found.at)
            errors += is_error(found.status)
    notes = []
    if times and errors == len(times):
        notes.append('every line of the log is an error: [log] access = "all" would have written all requests')
    if others:
        notes.append(f"{others} lines of the log are no requests and were left out")
    return _of_times(path, times)._replace(notes=tuple(notes))


def _cells(line: str, separator: str | None) -> Sequence[str]:
    if separator is not None:
        return next(csv.reader((line,), delimiter=separator))
    # "2023-11-16 18:17:03" is one cell, "5 7 3" are three
    return (line.strip(),) if _is_iso(line) else line.split()


def _shape(path: Path, head: _Row) -> tuple[_Shape, bool]:
    names = [cell.strip().lower() for cell in head.cells]
    at = next((names.index(name) for name in TIMES if name in names), None)
    count = next((names.index(name) for name in COUNTS if name in names), None)
    if at is not None or count is not None:
        return _Shape(at, count), True
    kinds = [_is_iso(cell) or _is_number(cell) for cell in head.cells]
    if all(kinds):
        is_time = [_is_iso(cell) or float(cell) >= _EPOCH for cell in head.cells]
        if len(names) == 2 and (is_time[0] or not is_time[1]):  # noqa: PLR2004 - a time and a count
            return _Shape(0, 1), False
        if len(names) == 1:
            return (_Shape(0, None) if is_time[0] else _Shape(None, None)), False
        if not any(is_time):
            return _Shape(None, None), False
    found = ", ".join(head.cells[:4])
    rule = (
        f"expected an access log, a header with a time ({', '.join(TIMES)}), a count ({', '.join(COUNTS)}) or both, "
        "or numbers"
    )
    raise _wrong(path, head.line, f'{rule}; got "{found}"')


class _Times:
    """Reads the column of times, and leaves out what is not in [since, until)."""

    def __init__(self, path: Path, column: int, since: float | None, until: float | None) -> None:
        self._path = path
        self._column = column
        self._since = float("-inf") if since is None else since
        self._until = float("inf") if until is None else until

    def of(self, rows: Iterable[_Row]) -> Iterator[tuple[float, _Row]]:
        for row in rows:
            text = _cell(self._path, row, self._column)
            instant = _instant(text)
            if instant is None:
                raise _wrong(self._path, row.line, f'expected a number of seconds or an ISO time; got "{text}"')
            if self._since <= instant < self._until:
                yield instant, row


def _requests(path: Path, rows: Iterable[tuple[float, _Row]]) -> Trace:
    return _of_times(path, [instant for instant, _ in rows])


def _of_times(path: Path, times: Sequence[float]) -> Trace:
    if len(times) < 2:  # noqa: PLR2004 - two requests make a rate
        raise _wrong(path, 0, "has fewer than two requests")
    begin, end = min(times), max(times)
    rates = [0.0] * _length(path, end - begin, 1.0)
    for instant in times:
        rates[int(instant - begin)] += 1.0
    return Trace(_name(path), 1.0, rates, is_exact=True)


def _periods(path: Path, times: _Times, rows: Iterable[_Row], column: int, step: float | None) -> Trace:
    instants: list[float] = []
    counts: list[float] = []
    lines: list[int] = []
    for instant, row in times.of(rows):
        if instants and instant < instants[-1]:
            raise _wrong(path, row.line, "goes back in time; periods must be in order")
        instants.append(instant)
        lines.append(row.line)
        counts.append(_count(path, row, column))
    if len(instants) < 2:  # noqa: PLR2004 - two rows make a period
        raise _wrong(path, 0, "has fewer than two periods")
    step = step or _step(path, instants, lines)
    if step <= 0:
        raise _wrong(path, 0, "has one time only; periods need at least two")
    rates = [0.0] * _length(path, instants[-1] - instants[0], step)
    places = set()
    for instant, count in zip(instants, counts, strict=True):
        place = int((instant - instants[0]) / step + 1e-6)
        places.add(place)
        rates[place] += count / step
    return _checked(path, Trace(_name(path), step, rates, gaps=len(rates) - len(places)))


def _step(path: Path, instants: Sequence[float], lines: Sequence[int]) -> float:
    """The shortest distance of two rows; TraceError when hardly any has it and most have another, longer one.

    One crooked time would else cut all others to pieces, and its count to a rate of a thousand times the others.
    """
    gaps = [later - earlier for earlier, later in pairwise(instants)]
    rounded = Counter(float(f"{gap:.3g}") for gap in gaps if gap > 0)
    if not rounded:
        return 0.0
    usual, count = rounded.most_common(1)[0]
    shortest = min(rounded)
    if count > len(gaps) / 2 and shortest < _CROOKED * usual and rounded[shortest] <= max(1, _RARE * len(gaps)):
        place = next(place for place, gap in enumerate(gaps) if gap > 0 and float(f"{gap:.3g}") == shortest)
        what = f"is {shortest:g} s after the row before it, and most rows are {usual:g} s apart"
        raise _wrong(path, lines[place + 1], f"{what}; is its time wrong? --step {usual:g} reads it as it is")
    return min(gap for gap in gaps if gap > 0)


def _counts(path: Path, rows: Iterable[_Row], column: int | None, step: float) -> Trace:
    rates: list[float] = []
    for row in rows:
        places = range(len(row.cells)) if column is None else (column,)
        rates += [_count(path, row, place) / step for place in places]
        _check_length(path, len(rates), step)
    return _checked(path, Trace(_name(path), step, rates))


def _checked(path: Path, trace: Trace) -> Trace:
    if not any(trace.rates):
        raise _wrong(path, 0, "has no request in it")
    return trace


def _length(path: Path, seconds: float, step: float) -> int:
    length = int(seconds / step + 1e-6) + 1
    _check_length(path, length, step)
    return length


def _check_length(path: Path, length: int, step: float) -> None:
    if length > MOST_PERIODS:
        what = f"is {length * step / 86400:.0f} days long in periods of {step:g} s, more than {MOST_PERIODS} periods"
        raise _wrong(path, 0, f"{what}; is a time wrong in it?")


def _count(path: Path, row: _Row, column: int) -> float:
    text = _cell(path, row, column)
    if not _is_number(text) or float(text) < 0:
        raise _wrong(path, row.line, f'expected a count of at least 0; got "{text}"')
    return float(text)


def _cell(path: Path, row: _Row, column: int) -> str:
    if column >= len(row.cells):
        raise _wrong(path, row.line, f"expected at least {column + 1} columns; got {len(row.cells)}")
    return row.cells[column].strip()


def _bound(path: Path, text: str) -> float | None:
    if not text:
        return None
    instant = _instant(text)
    if instant is None:
        raise _wrong(path, 0, f'cannot be cut at "{text}": expected a number of seconds or an ISO time')
    return instant


def _instant(text: str) -> float | None:
    """Seconds, from any zero; None when it is no time."""
    if _is_number(text):
        value = float(text)
        return next((value * unit for least, unit in _UNITS if value >= least), value)
    try:
        found = datetime.fromisoformat(_six_digits(text.strip()))
    except ValueError:
        return None
    return (found.replace(tzinfo=UTC) if found.tzinfo is None else found).timestamp()


def _six_digits(text: str) -> str:
    """The same time with six digits of a second: Python 3.11 reads no more, and some traces have seven."""
    whole, point, part = text.partition(".")
    if not point:
        return text
    digits = len(part) - len(part.lstrip("0123456789"))
    return f"{whole}.{part[: min(digits, 6)].ljust(6, '0')}{part[digits:]}"


def _is_iso(text: str) -> bool:
    return not _is_number(text) and _instant(text) is not None


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def _says_something(line: str) -> bool:
    text = line.strip()
    return bool(text) and not text.startswith("#")


def _wrong(path: Path, line: int, what: str) -> TraceError:
    return TraceError(f"{path.name}:{line}: {what}" if line else f"{path.name}: {what}")


def _name(path: Path) -> str:
    return path.name.partition(".")[0] or path.name


def _lines(path: Path) -> Iterator[str]:
    if ".tbz" in path.name or ".tgz" in path.name or ".tar" in path.name:
        yield from _unpacked(path)
    elif path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from file
    elif path.suffix == ".bz2":
        with bz2.open(path, "rt", encoding="utf-8") as file:
            yield from file
    else:
        with path.open(encoding="utf-8") as file:
            yield from file


def _unpacked(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                return file.read().decode().splitlines()
    raise _wrong(path, 0, "is an archive without a file")
