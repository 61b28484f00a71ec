"""What a trial says in numbers.

A request belongs to the instant at which it was due, whatever became of it when. A request *failed* when its client got
anything but a whole answer with status 200 within its patience.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from typing import TYPE_CHECKING, Final

from benchmarks.answers import BROKEN, GAVE_UP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.faults_load import Seen
    from benchmarks.faults_trial import Record, Trial

_OK: Final = 200
_WIDTH: Final = 1.0
_STEP: Final = 0.1
_FAIR_ENOUGH: Final = 0.15
NEVER: Final = 99.0
"""Seconds; longer than any trial, and no target is that high."""


def _numbers(seen: Seen, method: str, begin: float, end: float) -> Iterator[int]:
    for number, due in enumerate(seen.due):
        if begin <= due < end and method in ("", seen.method[number]):
            yield number


def failed(seen: Seen, method: str = "", begin: float = 0.0, end: float = inf) -> int:
    """How many requests of a stretch of time failed."""
    return sum(seen.status[number] != _OK for number in _numbers(seen, method, begin, end))


def failed_share(seen: Seen, method: str = "", begin: float = 0.0, end: float = inf) -> float:
    """Which part of them failed; 0 when there was none."""
    numbers = list(_numbers(seen, method, begin, end))
    return sum(seen.status[number] != _OK for number in numbers) / len(numbers) if numbers else 0.0


def gave_up(seen: Seen) -> int:
    """How many clients left because their time was over."""
    return sum(status == GAVE_UP for status in seen.status)


def quantile(seen: Seen, part: float, method: str = "", begin: float = 0.0, end: float = inf) -> float | None:
    """The latency in seconds below which this part of the served lies; None when nobody was served."""
    served = [number for number in _numbers(seen, method, begin, end) if seen.status[number] == _OK]
    latencies = sorted(seen.end[number] - seen.due[number] for number in served)
    return latencies[int(len(latencies) * part)] if latencies else None


def words(seen: Seen, method: str = "") -> Counter[str]:
    """Why requests failed, by status and reason."""
    found: Counter[str] = Counter()
    for number in _numbers(seen, method, 0.0, inf):
        status = seen.status[number]
        if status == GAVE_UP:
            found["gave up"] += 1
        elif status == BROKEN:
            found[f"broken ({seen.reason[number]})"] += 1
        elif status != _OK:
            found[f"{status} {seen.reason[number]}".rstrip()] += 1
    return found


def repeated(records: Sequence[Sequence[Record]], prefix: str) -> int:
    """How many requests, their identities beginning so, came to endpoints more than once."""
    seen = Counter(record.case for each in records for record in each if record.case.startswith(prefix))
    return sum(count > 1 for count in seen.values())


def share(records: Sequence[Sequence[Record]], begin: float, end: float, number: int = 0) -> float | None:
    """Which part of the requests of a stretch of time came to one endpoint; None when there was none."""
    counts = [sum(begin <= record.began < end for record in each) for each in records]
    total = sum(counts)
    return counts[number] / total if total else None


def first_after(records: Sequence[Record], instant: float) -> float | None:
    """Seconds until the endpoint was asked again for the first time; None when it never was."""
    return min((record.began - instant for record in records if record.began >= instant), default=None)


def fair_after(records: Sequence[Sequence[Record]], instant: float, end: float) -> float:
    """Seconds until a second begins in which the first endpoint gets 15 % of the requests or more, or NEVER."""
    at = instant
    while at + _WIDTH <= end:
        found = share(records, at, at + _WIDTH)
        if found is not None and found >= _FAIR_ENOUGH:
            return at - instant
        at += _STEP
    return NEVER


def most_at_once(records: Sequence[Record], begin: float, end: float) -> int:
    """How many requests of a stretch of time were with an endpoint at once at most, of those that it answered."""
    edges = []
    for record in records:
        if begin <= record.began < end and record.ended:
            edges += [(record.began, 1), (min(record.ended, end), -1)]
    most = now = 0
    for _, change in sorted(edges):
        now += change
        most = max(most, now)
    return most


def proven(records: Sequence[Record], instant: float, answers: int = 3) -> float | None:
    """The instant at which an endpoint that came back at ``instant`` had answered so many requests; None if never."""
    ended = sorted(record.ended for record in records if record.ended and record.began >= instant)
    return ended[answers - 1] if len(ended) >= answers else None


def refused_from(seen: Seen, instant: float, word: str) -> float | None:
    """The instant at which somebody was first refused for this reason, after ``instant``; None if nobody was."""
    return min(
        (end for end, reason in zip(seen.end, seen.reason, strict=True) if reason == word and end >= instant),
        default=None,
    )


def nth_failure(seen: Seen, instant: float, count: int) -> float | None:
    """The instant at which so many requests due after ``instant`` had failed; None when fewer did."""
    numbers = [number for number in _numbers(seen, "", instant, inf) if seen.status[number] != _OK]
    ends = sorted(seen.end[number] for number in numbers)
    return ends[count - 1] if len(ends) >= count else None


def served_after(seen: Seen, instant: float) -> float | None:
    """Seconds from ``instant`` until somebody who came after it got a good answer; None if nobody did."""
    numbers = _numbers(seen, "", instant, inf)
    return min((seen.end[number] - instant for number in numbers if seen.status[number] == _OK), default=None)


def last_failure_after(seen: Seen, instant: float) -> float:
    """Seconds from ``instant`` until the last request that failed was due; 0 when none failed."""
    return max(
        (seen.due[number] - instant for number in _numbers(seen, "", instant, inf) if seen.status[number] != _OK),
        default=0.0,
    )


def amplification(trial: Trial, begin: float, end: float) -> float:
    """Requests that came to endpoints ÷ requests that clients made, their own retries included."""
    asked = sum(1 for _ in _numbers(trial.seen, "", begin, end))
    came = sum(begin <= record.began < end for each in trial.records for record in each)
    return came / asked if asked else 0.0
