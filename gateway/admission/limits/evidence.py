"""Evidence of a line inside the upstream, by the log-rank test (pure).

Question: do requests that were admitted while more were in flight end later? If they do, they wait for each other.

The log-rank test (Mantel 1966) answers it without a distribution, and uses requests that have not ended yet:
they were at risk for as long as they have lasted. With x = ln n (n in flight at the admission), and over all
durations at which k of the m requests at risk ended,

    U = Σ (x of those that ended - mean x at risk)        V = Σ k · var(x at risk) · (m - k) / (m - 1)

U / √V is about normal where n does not matter, and negative where those from high n end later.

Kinds (routes) are never compared with each other. Durations are equal when they fall into one bin of 5 %. A request
that has not ended is at risk in lower bins than its own only.
"""

from __future__ import annotations

from bisect import bisect_right
from math import log
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_BIN: Final = log(1.05)
# Durations below a microsecond are one bin: the clock tells no more.
_SHORTEST: Final = 1e-6


class Observation(NamedTuple):
    """One admitted request: its kind, ln n at its admission, its duration so far, and whether it has ended."""

    kind: str
    crowd: float
    duration: float
    has_ended: bool


def line_evidence(observations: Iterable[Observation]) -> float:
    """Evidence that there is a line, in nats: Z²/2, negative when those from high n end sooner; 0: nothing known."""
    kinds: dict[str, list[tuple[int, bool, float]]] = {}
    for kind, crowd, duration, has_ended in observations:
        place = int(log(max(duration, _SHORTEST)) // _BIN)
        # what has not ended sorts behind what has: it is not at risk in its own bin
        entry = (-place, not has_ended, crowd)
        try:
            kinds[kind].append(entry)
        except KeyError:
            kinds[kind] = [entry]
    difference = variance = 0.0
    for entries in kinds.values():
        entries.sort()
        count = len(entries)
        at_risk = 0
        total = squares = 0.0
        index = 0
        while index < count:
            place = entries[index][0]
            ended = 0
            ended_total = 0.0
            alive: list[float] = []
            while index < count and entries[index][0] == place:
                _, is_alive, crowd = entries[index]
                index += 1
                if is_alive:
                    alive.append(crowd)
                else:
                    ended += 1
                    ended_total += crowd
                    at_risk += 1
                    total += crowd
                    squares += crowd * crowd
            if ended and at_risk > 1:
                mean = total / at_risk
                spread = squares / at_risk - mean * mean
                difference += ended_total - ended * mean
                variance += ended * max(spread, 0.0) * (at_risk - ended) / (at_risk - 1)
            for crowd in alive:
                at_risk += 1
                total += crowd
                squares += crowd * crowd
    return _nats(difference, variance)


class Life(NamedTuple):
    """One admitted request: its kind, when it was admitted, its time until now or its end, and whether it has ended."""

    kind: str
    begun_at: float
    duration: float
    has_ended: bool


def sharing_evidence(lives: Sequence[Life], instants: Sequence[float], crowds: Sequence[float]) -> float:
    """Evidence that requests slow each other down while they are served, in nats; negative when it is the other way.

    The same test with a covariate that changes: where all share (processor sharing), what counts is how many are in
    flight while a request is served, not how many were when it was admitted. ``crowds`` are ln n from ``instants`` on,
    in order. Each end is compared with all that got as old, by n at the moment at which they were. Its cost is the
    product of ends and lives, a quarter of a microsecond each.
    """
    difference = variance = 0.0
    for kind, admitted_at, age, has_ended in lives:
        if not has_ended:
            continue
        count = 0
        total = squares = 0.0
        for other, begun_at, duration, _ in lives:
            if duration >= age and other == kind:
                crowd = crowds[max(bisect_right(instants, begun_at + age) - 1, 0)]
                count += 1
                total += crowd
                squares += crowd * crowd
        if count > 1:
            mean = total / count
            own = crowds[max(bisect_right(instants, admitted_at + age) - 1, 0)]
            difference += own - mean
            variance += max(squares / count - mean * mean, 0.0)
    return _nats(difference, variance)


def _nats(difference: float, variance: float) -> float:
    if variance <= 1e-9:  # noqa: PLR2004 - rounding errors of equal n
        return 0.0
    evidence = difference * difference / variance / 2
    return evidence if difference < 0 else -evidence
