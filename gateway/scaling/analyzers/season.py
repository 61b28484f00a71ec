"""Season: what the load was at this time of day, and of the week; believed only while it is right.

The seasonal naive forecast (Hyndman & Athanasopoulos, *Forecasting: Principles and Practice*, §5.2) says that the load
in a lead time will be what it was one period before that. The past is kept as means of five minutes over eight days,
joined by straight lines from middle to middle, so a target's memory is bounded and a period of a week fits. Every
forecast is kept until its time has come; then its pinball loss is compared with that of "as now", as the trend's is
(:mod:`gateway.scaling.analyzers.trend`), but over a whole period, because what a night shows says nothing about a
morning. A period has a vote when two of it are known: one to forecast from, and one in which forecasts were judged; and
while its loss is a tenth below that of persistence. It can only scale out, because the highest vote wins.

Time here is that of the day: seconds since some midnight that stays the same over a restart.
"""

from __future__ import annotations

from array import array
from collections import deque
from math import floor, inf, isfinite, nan
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from gateway.scaling.analyzers.demand import replicas_for
from gateway.scaling.analyzers.trend import MARGIN, pinball
from gateway.scaling.vote import Vote

if TYPE_CHECKING:
    from collections.abc import Sequence

BIN: Final = 300.0
"""Seconds of which one mean is kept."""
KEPT: Final = 8 * 288
"""Means: eight days."""
DAY: Final = 86_400.0
WEEK: Final = 7 * DAY
_ENOUGH: Final = 0.95
"""Of a period: in so much of it forecasts must have been judged."""
_LONGEST_STEP: Final = 60.0
"""Seconds that one look may stand for; a longer silence is time of which nothing is known."""
_MOST: Final = 1e30


class SkillState(Struct, frozen=True):
    """How right the forecasts of one period were."""

    loss: float
    as_now: float
    judged: float


class SeasonState(Struct, frozen=True):
    """What a season knows, as it is written down; ``means`` are floats of four bytes, not a number where unknown."""

    slot: int
    means: bytes
    skills: tuple[SkillState, ...]


class Skill:
    """Judges forecasts of one ``period`` in seconds against "as now"."""

    __slots__ = ("_pending", "as_now", "forecast", "judged", "loss", "period")

    def __init__(self, period: float) -> None:
        self.period = period
        self.forecast: float | None = None
        """The load in a lead time, in slots; None where the past has nothing to say."""
        self.loss = 0.0
        self.as_now = 0.0
        self.judged = 0.0
        """Seconds of which forecasts were judged."""
        self._pending: deque[tuple[float, float, float]] = deque()

    def update(self, load: float, forecast: float | None, lead: float, passed: float, now: float) -> None:
        """Judge the forecasts whose time has come by the present load, and keep a new one."""
        self.forecast = forecast
        pending = self._pending
        if not pending and forecast is None:
            return
        fade = max(1.0 - passed / self.period, 0.0)
        self.loss *= fade
        self.as_now *= fade
        if pending and pending[0][0] <= now:
            self.judged = min(self.judged + passed, self.period)
        while pending and pending[0][0] <= now:
            _, said, then = pending.popleft()
            self.loss += pinball(load - said)
            self.as_now += pinball(load - then)
        if forecast is not None:
            pending.append((now + lead, forecast, load))

    @property
    def is_trusted(self) -> bool:
        """Whether a whole period was judged, and the forecasts were better than persistence by a tenth at least."""
        return self.judged >= _ENOUGH * self.period and self.loss < MARGIN * self.as_now

    def __repr__(self) -> str:
        return f"<Skill period={self.period:g} loss={self.loss:.2f}/{self.as_now:.2f}>"


class Season:
    """Remembers the load of one target by time of day and week."""

    __slots__ = ("_at", "_began", "_means", "_seconds", "_slot", "_sum", "skills")

    def __init__(self, periods: Sequence[float] = (DAY, WEEK)) -> None:
        self.skills = tuple(Skill(period) for period in periods)
        self._means = array("f")
        self._slot = 0
        self._at: float | None = None
        self._began = -inf  # nothing is known of the time before; -inf when somebody else knew something
        self._sum = 0.0
        self._seconds = 0.0

    def update(self, load: float, lead: float, now: float) -> None:
        """Take the present load and forecast it for ``lead`` seconds ahead; ``now`` is the time of the day.

        A ``now`` that is not later is ignored; one that went back by more than a mean's time begins anew from there.
        """
        if not self._means:
            self._means = array("f", [nan]) * KEPT
            self._slot = floor(now / BIN)
            self._began = now
        before, passed = self._at, 0.0
        if before is not None:
            passed = now - before
            if -BIN < passed <= 0:
                return
            passed = min(max(passed, 0.0), _LONGEST_STEP)
        self._at = now
        slot = floor(now / BIN)
        if slot != self._slot:
            self._turn(slot)
        self._sum += load * passed
        self._seconds += passed
        for skill in self.skills:
            instant = now + lead - skill.period
            if instant > self._began:  # else there is nothing to forecast from, and nothing to judge
                skill.update(load, self._mean_at(instant), lead, passed, now)

    def vote(self, load: float, spare: float, slots: float) -> Vote | None:
        """Replicas for the highest forecast that is trusted and above the load; None when there is none."""
        highest = load
        for skill in self.skills:
            if skill.forecast is not None and skill.forecast > highest and skill.is_trusted:
                highest = skill.forecast
        return Vote("season", replicas_for(highest + spare, slots), "season") if highest > load else None

    def state(self) -> SeasonState | None:
        """What is to be written down; None before anything was seen."""
        if not self._means:
            return None
        skills = tuple(SkillState(one.loss, one.as_now, one.judged) for one in self.skills)
        return SeasonState(self._slot, self._means.tobytes(), skills)

    def resume(self, state: SeasonState) -> None:
        """Go on from what was written down; ValueError when it is no such thing."""
        means = array("f")
        means.frombytes(state.means)  # ValueError when it is not of whole floats
        losses = [number for one in state.skills for number in (one.loss, one.as_now, one.judged)]
        is_sound = all(isfinite(number) and 0 <= number < _MOST for number in losses)
        if len(means) != KEPT or len(state.skills) != len(self.skills) or not is_sound:
            message = "a season of another kind"
            raise ValueError(message)
        self._means, self._slot, self._began = means, state.slot, -inf
        for skill, known in zip(self.skills, state.skills, strict=True):
            skill.loss, skill.as_now, skill.judged = known.loss, known.as_now, known.judged

    def _turn(self, slot: int) -> None:
        """Five minutes are over: keep their mean, and forget those of eight days before."""
        if self._seconds >= BIN / 2:
            self._means[self._slot % KEPT] = min(self._sum / self._seconds, _MOST)
        self._sum = self._seconds = 0.0
        for missed in range(max(self._slot + 1, slot - KEPT + 1), slot + 1):
            self._means[missed % KEPT] = nan
        self._slot = slot

    def _mean_at(self, instant: float) -> float | None:
        place = instant / BIN - 0.5
        slot = floor(place)
        if not self._slot - KEPT < slot < self._slot - 1:
            return None
        before, after = self._means[slot % KEPT], self._means[(slot + 1) % KEPT]
        found = before + (after - before) * (place - slot)
        return found if isfinite(found) else None

    def __repr__(self) -> str:
        return f"<Season {self.skills}>"
