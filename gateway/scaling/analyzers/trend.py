"""Trend: what the load will be when a replica that is asked for now can serve; believed only while it is right.

Holt's level and slope (Holt 1957), damped (Gardner & McKenzie 1985), in the time of the ticks. Every forecast is
kept until its time has come, and then its loss is compared with that of "as now". The loss is the pinball loss at
:data:`_TAU`: being too low hurts more than being too high. While the rolling loss of the forecasts is not below
that of persistence, the trend has no vote; and it can only scale out, because the highest vote wins.
"""

from __future__ import annotations

from collections import deque
from math import sqrt
from typing import Final

from gateway.scaling.analyzers.demand import replicas_for
from gateway.scaling.vote import Vote

_LEVEL: Final = 0.6
_SLOPE: Final = 0.3
_DAMPING: Final = 0.98
_TAU: Final = 0.9
_MEMORY: Final = 600.0
"""Seconds in which an old loss falls to a third."""
MARGIN: Final = 0.9
"""Of the loss of persistence: forecasts must be better by so much to be believed."""
_NINE_IN_TEN: Final = 1.645
"""Standard deviations on either side."""
_FEWEST: Final = 0.5
_STEP: Final = 5.0
"""Seconds that the constants above are for."""


class Trend:
    """Forecasts the load of one target, in slots."""

    __slots__ = (
        "_at",
        "_level",
        "_pending",
        "_slope",
        "_squares",
        "_squares_as_now",
        "_weight",
        "as_now",
        "forecast",
        "load",
        "loss",
    )

    def __init__(self) -> None:
        self._level = 0.0
        self._slope = 0.0
        self._at: float | None = None
        self._pending: deque[tuple[float, float, float]] = deque()
        self.loss = 0.0
        """The rolling loss of the forecasts."""
        self.as_now = 0.0
        """The rolling loss of persistence."""
        self.forecast = 0.0
        self.load = 0.0
        """The present load, as it was last told."""
        self._squares = self._squares_as_now = self._weight = 0.0

    def update(self, load: float, lead: float, now: float) -> None:
        """Take the present load and forecast it for ``lead`` seconds ahead; a ``now`` that is not later is ignored."""
        self.load = load
        if self._at is None:
            self._at, self._level, self.forecast = now, load, load
            return
        passed = now - self._at
        if passed <= 0:
            return
        self._at = now
        steps = passed / _STEP
        alpha, beta = 1.0 - (1.0 - _LEVEL) ** steps, 1.0 - (1.0 - _SLOPE) ** steps
        damping = _DAMPING**steps
        before = self._level
        self._level = alpha * load + (1.0 - alpha) * (before + damping * self._slope * steps)
        self._slope = beta * (self._level - before) / steps + (1.0 - beta) * damping * self._slope
        ahead = lead / _STEP
        self.forecast = max(self._level + self._slope * (1.0 - _DAMPING**ahead) / (1.0 - _DAMPING), 0.0)
        pending = self._pending
        fade = max(1.0 - passed / _MEMORY, 0.0)
        self.loss *= fade
        self.as_now *= fade
        self._squares *= fade
        self._squares_as_now *= fade
        self._weight *= fade
        while pending and pending[0][0] <= now:
            _, forecast, then = pending.popleft()
            self.loss += pinball(load - forecast)
            self.as_now += pinball(load - then)
            self._squares += (load - forecast) ** 2
            self._squares_as_now += (load - then) ** 2
            self._weight += 1.0
        pending.append((now + lead, self.forecast, load))

    @property
    def is_trusted(self) -> bool:
        """Whether forecasts were better than persistence of late, by a tenth at least."""
        return self.loss < MARGIN * self.as_now

    @property
    def band(self) -> tuple[float, float]:
        """Where the load will be in a lead time, nine times in ten, by how far off forecasts were of late, ≥ 0.

        Around the forecast while it is trusted, else around the present. Until an error was seen it has no width.
        """
        middle, squares = (self.forecast, self._squares) if self.is_trusted else (self.load, self._squares_as_now)
        far = _NINE_IN_TEN * sqrt(squares / self._weight) if self._weight > _FEWEST else 0.0
        return max(middle - far, 0.0), middle + far

    def vote(self, spare: float, slots: float) -> Vote | None:
        """Replicas for the forecast; None while forecasts are no better than the present."""
        if not self.is_trusted:
            return None
        return Vote("trend", replicas_for(self.forecast + spare, slots), "forecast")

    def __repr__(self) -> str:
        return f"<Trend {self.forecast:.1f} loss={self.loss:.2f}/{self.as_now:.2f}>"


def pinball(error: float) -> float:
    """The loss of a forecast that was too low by ``error``, or too high where that is below 0."""
    return _TAU * error if error > 0 else (_TAU - 1.0) * error
