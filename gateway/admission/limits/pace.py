"""Completions a second and requests in flight, as they were a while ago."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Final, NamedTuple

_TICKS: Final = 240
"""Ticks kept; with eight in a latency, the last thirty latencies."""
_ENOUGH: Final = 10


class Tick(NamedTuple):
    """The requests that had ended by an instant, and those that were in flight then."""

    at: float
    ended: int
    n: int


class Pace:
    """A log of ticks; rates are read from it. The next tick is ``due`` at an instant."""

    __slots__ = ("due", "ended", "ticks")

    def __init__(self) -> None:
        self.ended = 0
        self.ticks: deque[Tick] = deque(maxlen=_TICKS)
        self.due = 0.0

    def note(self, now: float, n: int, spacing: float) -> None:
        """Write a tick down, when the last one is ``spacing`` seconds old."""
        if now >= self.due:
            self.ticks.append(Tick(now, self.ended, n))
            self.due = now + spacing

    def before(self, instant: float) -> Tick | None:
        """The newest tick that is no later than this instant, else the oldest; None when there is none."""
        found = None
        for tick in reversed(self.ticks):
            found = tick
            if tick.at <= instant:
                break
        return found

    def rate(self, now: float, span: float) -> float:
        """Completions a second over the last ``span`` seconds, or over all that is known if that is less."""
        tick = self.before(now - span)
        return 0.0 if tick is None or now <= tick.at else (self.ended - tick.ended) / (now - tick.at)

    def crowd(self, now: float, span: float) -> float:
        """The mean number in flight over the last ``span`` seconds; 0 when nothing is known."""
        end = now
        total = 0.0
        for tick in reversed(self.ticks):
            total += tick.n * (end - tick.at)
            end = tick.at
            if end <= now - span:
                break
        return total / (now - end) if now > end else 0.0

    def best(self, span: float) -> float:
        """The highest rate of any window of ``span`` seconds, less one standard error; 0 when none is as long."""
        most = 0.0
        ticks = list(self.ticks)
        first = 0
        for tick in ticks:
            while tick.at - ticks[first].at > span and ticks[first + 1].at <= tick.at - span:
                first += 1
            begin = ticks[first]
            length = tick.at - begin.at
            if length >= span:
                count = tick.ended - begin.ended
                most = max(most, (count - count**0.5) / length)
        return most

    def alone(self) -> float:
        """Time ÷ ends while least were in flight, in seconds; 0 when not known."""
        ticks = list(self.ticks)
        spans = sorted(
            (max(tick.n, after.n), (tick.n + after.n) / 2 * (after.at - tick.at), after.ended - tick.ended)
            for tick, after in pairwise(ticks)
        )
        time = 0.0
        ended = 0
        for _, spent, count in spans:
            time += spent
            ended += count
            if ended >= _ENOUGH:
                return time / ended
        return 0.0

    def __repr__(self) -> str:
        return f"<Pace ended={self.ended} ticks={len(self.ticks)}>"
