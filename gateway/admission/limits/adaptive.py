"""The limit that finds itself: no line shown, no limit that hurts.

Theory of operation
    The limit is in one of three stages. OPEN (:mod:`gateway.admission.limits.opening`): it gives way, as TCP's slow
    start does, by completions, and looks for a line inside the upstream. CLOSING
    (:mod:`gateway.admission.limits.closing`): a line was seen, the limit was cut, and the cut is compared with what
    got done before. PROVEN (:mod:`gateway.admission.limits.steering`): trials steer it.

    | stage | evidence | action |
    |---|---|---|
    | OPEN | no answer yet, requests still come 0.1 s after the first had to wait | grow by arrivals |
    | OPEN | what has ended speaks against a line | grow by arrivals |
    | OPEN | a success while at least half of the limit was in flight | grow by one |
    | OPEN | weak evidence of a line | hold the limit for two latencies |
    | OPEN | strong evidence of a line, and it matters | CLOSING, at 1.4 x max(rate x latency alone, places) + 1 |
    | OPEN | more in flight got no more done | CLOSING, at half |
    | OPEN | no answer for long, and as many clients have left as the limit | PROVEN, at half |
    | CLOSING | nobody waits in the upstream | grow by 30 % |
    | CLOSING | less gets done in proportion to the cut | OPEN, where it was; everything is forgotten |
    | CLOSING | a raise gets more done, in proportion | PROVEN, and up |
    | CLOSING | as much gets done, or no difference shows | PROVEN |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.admission.limits.closing import Closing, Verdict
from gateway.admission.limits.limit import Stage
from gateway.admission.limits.opening import Opening
from gateway.admission.limits.steering import Steering
from gateway.admission.sample import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admission.limits.limit import Watch
    from gateway.admission.limits.opening import Close
    from gateway.admission.sample import Sample

_NEARLY: Final = 1.5
_SLOWER: Final = (0.3, 1.0)
_HIGHEST: Final = 100_000
# Seconds in which a remembered limit doubles, and in which what an open one allows a burst halves.
_PROVEN_FOR: Final = 600.0
_OPEN_FOR: Final = 3600.0
# As often at most; a state that was kept for a week would be more than a float can hold.
_DOUBLINGS: Final = 64.0
# Seconds for which nothing but growth is tried first: a worker was replaced, or the gateway was started again.
_FRESH: Final = 60.0


class Adaptive:
    """Open until a line is shown, then the least limit at which throughput is whole.

    ``value`` is in [``min``, ``max``].
    """

    __slots__ = ("_closing", "_max", "_min", "_opening", "_start", "_steering", "stage", "value", "watch")

    def __init__(self, initial: int = 100, min: int = 1, max: int = 10_000) -> None:  # noqa: A002 - as in the settings
        self._min = min
        self._max = max
        self.value = self._start = initial
        self.stage = Stage.OPEN
        self._opening = Opening(initial)
        self._closing: Closing | None = None
        self._steering: Steering | None = None
        self.watch: Watch | None = self._opening

    @property
    def latency(self) -> float:
        """What a request is expected to take in the upstream under this limit, in seconds; 0: what it took lately."""
        if self._steering is not None:
            return self._steering.usual
        return self._closing.close.alone if self._closing is not None else 0.0

    def remember(self) -> dict[str, Any]:
        """What is worth knowing after a restart: the stage, the limit, and the usual latency in seconds."""
        if self.stage is not Stage.OPEN:
            return {"stage": "proven", "limit": self.value, "latency": self.latency}
        return {"stage": "open", "limit": self.value, "latency": self._opening.usual}

    def recall(self, state: Mapping[str, Any], age: float) -> None:
        """Begin from what an earlier limit remembered ``age`` seconds ago; old numbers are trusted less.

        A proven limit is believed at first, and is twice as high for each ten minutes that it is old; when that is more
        than the start value nothing is believed. A limit that has been open to so many gives a burst as many places,
        half as many for each hour. A state that makes no sense is ignored.
        """
        stage, limit, latency = state.get("stage"), state.get("limit"), state.get("latency")
        if not isinstance(limit, int) or not isinstance(latency, int | float) or not 1 <= limit <= _HIGHEST:
            return
        age = max(age, 0.0)
        if stage == "open" and latency >= 0:
            self._open_again(max(self._start, round(limit * 0.5 ** (age / _OPEN_FOR))), "remembered")
        elif stage == "proven" and latency > 0:
            grown = round(min(limit * 2.0 ** min(age / _PROVEN_FOR, _DOUBLINGS), _HIGHEST))
            if grown <= max(self._start, limit):
                self._steer(max(self._min, min(self._max, grown)), 1.0, is_proven=age < _FRESH, usual=float(latency))
                self._set(grown)

    def held_back(self, now: float) -> None:
        """The limit has just made a request wait."""
        if self._steering is not None:
            self._steering.held_back(now)
        elif self._closing is not None:
            self._closing.held_back(now)
        else:
            self._opening.held_back(now)
            if self._opening.value != self.value:
                self._set(self._opening.value)

    def rescale(self, ratio: float, now: float) -> Change | None:
        """The upstream has become ``ratio`` times what it was, above 0; the change when that moved the limit."""
        if self._steering is not None:
            change = self._steering.rescale(ratio, now)
            self.value = self._steering.value
            return change
        if self._closing is not None:
            return self._open_again(max(round(self._closing.value * ratio), 1), "replicas")
        return None

    def update(self, sample: Sample) -> Change | None:
        """Learn from one finished request."""
        steering = self._steering
        if steering is not None:
            change = steering.update(sample)
            if change is not None:
                self.value = steering.value
            return change
        if self._closing is not None:
            return self._prove(self._closing, sample)
        opening = self._opening
        close = opening.update(sample)
        if close is not None:
            return self._close(close, sample)
        if opening.value == self.value:
            return None
        reason = "room" if opening.value > self.value else "hold"
        return self._set(opening.value, reason)

    def _close(self, close: Close, sample: Sample) -> Change | None:
        limit = max(self._min, min(self._max, close.limit))
        close = close._replace(limit=limit)
        if close.n <= _NEARLY * limit or close.reason == "silence":
            self._steer(limit, 1.0, is_proven=False, usual=close.alone)
        else:
            self.stage = Stage.CLOSING
            self._closing = Closing(close, self._opening.n)
            self.watch = self._closing
        del sample
        return self._set(limit, close.reason)

    def _prove(self, closing: Closing, sample: Sample) -> Change | None:
        verdict = closing.update(sample)
        if verdict is None:
            return None
        if verdict is Verdict.RAISED:
            return self._set(closing.value, "room" if closing.value > self.value else "silence")
        if verdict is Verdict.FALSE:
            return self._open_again(closing.close.n, "restore")
        low, high = _SLOWER
        factor = max(low, min(high, 1.5 * closing.close.alone / closing.mean)) if closing.mean else 1.0
        if closing.is_free:
            factor = 1.0
        self._steer(closing.value, factor, is_proven=closing.is_clear or closing.is_free, usual=closing.mean)
        return self._set(closing.value, "room")

    def _steer(self, limit: int, factor: float, *, is_proven: bool, usual: float) -> None:
        self.stage = Stage.PROVEN
        self._closing = None
        self.watch = None
        self._steering = Steering(limit, self._min, self._max, base_factor=factor, is_proven=is_proven)
        self._steering.usual = usual

    def _open_again(self, limit: int, reason: str) -> Change | None:
        limit = max(self._min, min(self._max, limit))
        self.stage = Stage.OPEN
        self._closing = None
        self._opening = Opening(limit, self._start)
        self.watch = self._opening
        return self._set(limit, reason)

    def _set(self, limit: int, reason: str = "room") -> Change | None:
        limit = max(self._min, min(self._max, limit))
        if self.stage is Stage.OPEN:
            self._opening.value = limit
        if limit == self.value:
            return None
        self.value = limit
        return Change(limit, reason)

    def __repr__(self) -> str:
        inner = self._steering or self._closing or self._opening
        return f"<Adaptive {self.stage.name} {inner!r}>"
