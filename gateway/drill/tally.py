"""What became of every request of a drill (pure)."""

from __future__ import annotations

from array import array
from collections import Counter, deque
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from gateway.drill.client import BROKEN, GAVE_UP, NOT_SENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.drill.client import Answer

Outcome = Literal["served", "refused", "misdirected", "failed", "not_sent"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("served", "refused", "misdirected", "failed", "not_sent")
WINDOW: Final = 3.0
"""Seconds that the present figures are the mean of."""
_REFUSALS: Final = frozenset({429, 503})
_SERVER: Final = 500
_REDIRECTION: Final = 300
_NOT_MODIFIED: Final = 304


class Judged(NamedTuple):
    """How an answer counts, and the word for it; empty when it was served."""

    outcome: Outcome
    word: str


def judge(answer: Answer) -> Judged:
    """Which of the ways to end this is."""
    status = answer.status
    if status in {GAVE_UP, BROKEN}:
        return Judged("failed", answer.reason)
    if status == NOT_SENT:
        return Judged("not_sent", answer.reason)
    if status in _REFUSALS and answer.reason:
        return Judged("refused", answer.reason)
    if status >= _SERVER:
        return Judged("failed", answer.reason or f"status_{status}")
    if status >= _REDIRECTION and status != _NOT_MODIFIED:  # where to ask instead is no answer
        return Judged("misdirected", answer.reason or f"status_{status}")
    return Judged("served", "")


class Present(NamedTuple):
    """The last seconds, as rates, with the latencies of what was served in them."""

    offered: float
    served: float
    refused: float
    failed: float
    p50: float
    p99: float


class Tally:
    """Columns over all requests in the order of their ends; instants in seconds since the beginning."""

    def __init__(self) -> None:
        self.due = array("d")
        self.end = array("d")
        self.outcome = array("b")
        """Place in :data:`OUTCOMES`."""
        self.words: dict[Outcome, Counter[str]] = {outcome: Counter() for outcome in OUTCOMES}
        self.sent = 0
        self.latest = 0.0
        """By how much the latest request left after it was due, in seconds."""
        self._sent_at: deque[float] = deque()
        self._recent: deque[tuple[float, float, int]] = deque()

    def send(self, due: float, now: float) -> None:
        """One was sent."""
        self.sent += 1
        self.latest = max(self.latest, now - due)
        self._sent_at.append(due)

    def take(self, due: float, end: float, answer: Answer) -> None:
        """One has ended."""
        judged = judge(answer)
        place = OUTCOMES.index(judged.outcome)
        self.due.append(due)
        self.end.append(end)
        self.outcome.append(place)
        self._recent.append((end, end - due, place))
        if judged.word:
            self.words[judged.outcome][judged.word] += 1

    def count(self, outcome: Outcome) -> int:
        """How many ended so."""
        return self.outcome.count(OUTCOMES.index(outcome))

    def present(self, now: float) -> Present:
        """The last :data:`WINDOW` seconds."""
        begin = now - WINDOW
        while self._sent_at and self._sent_at[0] < begin:
            self._sent_at.popleft()
        while self._recent and self._recent[0][0] < begin:
            self._recent.popleft()
        window = min(WINDOW, max(now, 0.1))
        latencies = sorted(latency for _, latency, place in self._recent if not place)
        ended = Counter(place for _, _, place in self._recent)
        return Present(
            offered=len(self._sent_at) / window,
            served=ended[0] / window,
            refused=ended[1] / window,
            failed=(ended[2] + ended[3] + ended[4]) / window,
            p50=quantile(latencies, 0.5),
            p99=quantile(latencies, 0.99),
        )

    def between(self, begin: float, end: float) -> Cohort:
        """Those that were due in [begin, end)."""
        counts: Counter[int] = Counter()
        latencies: list[float] = []
        for due, ended, place in zip(self.due, self.end, self.outcome, strict=True):
            if begin <= due < end:
                counts[place] += 1
                if not place:
                    latencies.append(ended - due)
        latencies.sort()
        return Cohort(counts.total(), {name: counts[place] for place, name in enumerate(OUTCOMES)}, latencies)


class Cohort(NamedTuple):
    """Requests that were due in some span of time, and how they ended."""

    offered: int
    ended: dict[Outcome, int]
    latencies: Sequence[float]
    """Of those that were served, in order, in seconds."""

    @property
    def share_served(self) -> float:
        """In [0, 1]; 1 when there were none."""
        return self.ended["served"] / self.offered if self.offered else 1.0


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which this share lies; 0 when there is none."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0
