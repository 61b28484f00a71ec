"""What is wanted of one target, what was asked for and what is seen, and how old each is (pure).

Level-triggered, as Kubernetes' controllers are: each look compares what is seen with what was asked for, and what was
asked for never stands for what is.

| state | what it waits for | what ends it |
|---|---|---|
| rest | nothing | a decision; another number that stays is the new start |
| waiting | the actuator, asked at once, and again after 1 s doubling to 30 s | that it is taken; else it is given up: |
| | | another number is seen, an objection, :data:`GIVE_UP` |
| taken | the number to be seen | that; not within the patience: asked again; another number that stays: the new start |

The patience is twice the 90th percentile of cold starts and five seconds. It doubles with each time of asking, and
after :data:`ASKED_AT_MOST` times the decision is given up. An exact number is one that is written down, such as
``spec.replicas``; a count of what is there wavers by itself, so another one must stay for the whole patience.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from gateway.control.scaling.coming import LATE
from gateway.signals.reading import Replicas

if TYPE_CHECKING:
    from gateway.scaling.decision import Decision

ASKED_AT_MOST: Final = 3
GIVE_UP: Final = 120.0
"""Seconds of failures after which a decision is too old: what is needed then is decided anew."""
_FIRST: Final = 1.0
_LONGEST: Final = 30.0
_GRACE: Final = 5.0
_HOPELESS: Final = frozenset({"owned"})
"""Failures that no repetition mends."""

State = Literal["rest", "waiting", "taken"]


def patience(cold_start: float) -> float:
    """Seconds in which what was asked for should be seen; ``cold_start`` is the 90th percentile."""
    return LATE * cold_start + _GRACE


class Fate(NamedTuple):
    """What became of a decision: a word and a sentence."""

    decision: Decision
    event: str
    detail: str


class Change(NamedTuple):
    """Another number was set from outside: it was ``before`` and is ``after``; ``void`` is what ends with that."""

    before: int
    after: int
    void: Fate | None = None


class Picture:
    """One target's wanted, asked and seen; ``is_exact`` where the seen number is one that is written down.

    What only ``is_published`` is nobody's to bring about: it is not asked for again, and no news when it does not come.
    """

    __slots__ = (
        "_delay",
        "_due",
        "_failing_since",
        "_is_there",
        "_odd_since",
        "_tries",
        "asked",
        "asked_at",
        "asking",
        "base",
        "is_exact",
        "is_published",
        "seen",
        "seen_at",
        "start",
        "state",
        "wanted",
        "wanted_at",
    )

    def __init__(self, *, is_exact: bool = True, is_published: bool = False) -> None:
        self.is_exact = is_exact
        self.is_published = is_published
        self.wanted: Decision | None = None
        """The decision that is not realised yet; None at rest."""
        self.wanted_at = 0.0
        self.asked: int | None = None
        """The number that an actuator took last."""
        self.asked_at: float | None = None
        self.asking: Decision | None = None
        """What the actuator is being asked for at this moment, whether it is still wanted or not."""
        self.seen = Replicas()
        self.seen_at: float | None = None
        """When that was true for certain; None before anything was seen."""
        self.state: State = "rest"
        self.base: int | None = None
        """Any other number than this was set from outside."""
        self.start = 0
        """The number that was seen when the present decision came."""
        self._delay = _FIRST
        self._due = 0.0
        self._failing_since: float | None = None
        self._is_there = False
        self._odd_since: float | None = None
        self._tries = 0

    @property
    def number(self) -> int:
        """How many there are, as far as decisions go: what was taken of late and may still come, else what is seen.

        Of a count that wavers fewer are believed when it stays so, and more at once.
        """
        if self.state == "taken" and self.asked is not None:
            return self.asked
        if not self.is_exact and self.base is not None:
            return max(self.base, self.seen.desired)
        return self.seen.desired

    @property
    def replicas(self) -> Replicas:
        """What is seen, with what was taken of late as desired."""
        seen, number = self.seen, self.number
        if number == seen.desired:
            return seen
        warming = max(seen.warming, number - seen.ready) if self.state == "taken" else seen.warming
        return Replicas(seen.ready, warming, seen.draining, seen.standby, seen.quarantined, number)

    @property
    def under_way(self) -> int | None:
        """The number of a decision that no actuator has taken yet; None when there is none."""
        return self.wanted.after if self.wanted is not None and self.state == "waiting" else None

    @property
    def is_failing(self) -> bool:
        """Whether the decision under way has failed at least once."""
        return self._failing_since is not None

    def is_due(self, now: float) -> bool:
        """Whether the actuator is to be asked (again) now."""
        return self.asking is None and self.state == "waiting" and now >= self._due

    # --- what is done ----------------------------------------------------------------------------

    def want(self, decision: Decision, now: float) -> Decision | None:
        """The newest wins; the decision that so gives way without having been taken, if any."""
        old = self.wanted if self.state == "waiting" else None
        self.start = self.number
        self.wanted, self.wanted_at = decision, now
        self.state, self._due = "waiting", now
        self._is_there, self._odd_since, self._tries, self._failing_since = False, None, 0, None
        return old

    def ask(self) -> Decision | None:
        """The actuator is being asked now; for what."""
        self.asking = self.wanted
        return self.asking

    def take(self, decision: Decision, now: float) -> None:
        """The actuator has taken it."""
        self.asking = None
        self.asked, self.asked_at = decision.after, now
        self._delay = _FIRST
        if decision is self.wanted:
            self._tries += 1
            self.state, self._failing_since = "taken", None
        else:
            self.base = self.start = decision.after

    def fail(self, decision: Decision, reason: str, now: float) -> Fate | None:
        """The actuator could not; what becomes of the decision when that cannot be mended."""
        self.asking = None
        if decision is not self.wanted:
            return None
        self._due = now + self._delay
        self._failing_since = now if self._failing_since is None else self._failing_since
        self._delay = min(2 * self._delay, _LONGEST)
        return self.void(reason) if reason in _HOPELESS else None

    def void(self, why: str) -> Fate | None:
        """Give up what no actuator has taken; one that is being asked goes on, and is not asked again."""
        decision = self.wanted
        if decision is None or self.state != "waiting":
            return None
        self._end()
        return Fate(decision, "given_up", why)

    def _end(self) -> None:
        self.wanted = None
        self.state = "rest"
        self._failing_since = self._odd_since = None

    # --- what is seen ----------------------------------------------------------------------------

    def look(self, replicas: Replicas, at: float | None, now: float, patience: float) -> Fate | Change | None:
        """Compare with what is seen now and was true at ``at``; what follows from it, if anything."""
        if at is None:
            return None
        self.seen, self.seen_at = replicas, at
        if self.base is None:
            self.base = replicas.desired
        if self.asking is not None:
            return None  # the actuator may be changing the number at this moment
        match self.state:
            case "waiting":
                return self._look_waiting(now, patience)
            case "taken":
                return self._look_taken(now, patience)
            case _:
                return self._look_at_rest(now, patience)

    def _look_at_rest(self, now: float, patience: float) -> Change | None:
        if not self.is_exact and self.asked is None:
            self.base = self.seen.desired  # no number was ever asked for, so any is the start
        if self.seen.desired == self.base:
            self._odd_since = None
            return None
        return self._changed(now, patience)

    def _look_waiting(self, now: float, patience: float) -> Fate | Change | None:
        decision, seen = self.wanted, self.seen.desired
        if self.is_exact and decision is not None and seen not in {self.start, self.base}:
            if seen == decision.after:
                self.take(decision, now)  # the answer was lost, and not what was asked for
                return Fate(decision, "carried_out", "though the actuator could not say so")
            return self._changed(now, patience)
        since = self._failing_since
        if since is not None and now - since >= max(GIVE_UP, patience):
            return self.void(f"it has failed for {now - since:.0f} s")
        return None

    def _look_taken(self, now: float, patience: float) -> Fate | Change | None:
        decision, asked, seen = self.wanted, self.asked, self.seen
        if decision is None or asked is None or self.asked_at is None:
            return None
        waited = now - self.asked_at
        if seen.desired == asked:
            return self._look_there(decision, asked, waited, patience)
        low, high = sorted((self.start, asked))
        if self._is_there or not low <= seen.desired <= high:
            return self._changed(now, patience)
        return None if waited < patience * 2 ** (self._tries - 1) else self._missed(decision, asked, waited, now)

    def _missed(self, decision: Decision, asked: int, waited: float, now: float) -> Fate | None:
        """What an actuator has taken has not come about within the patience."""
        seen = self.seen.desired
        detail = f"{seen} instead of {asked} after {waited:.0f} s"
        if not self.is_published and self._tries < ASKED_AT_MOST:
            self.state, self._due = "waiting", now
            self.start = seen
            return Fate(decision, "not_realised", f"{detail}: asked again")
        self.base = seen
        self._end()
        return None if self.is_published else Fate(decision, "given_up", f"not realised: {detail}")

    def _look_there(self, decision: Decision, asked: int, waited: float, patience: float) -> Fate | None:
        """The number is what was asked for; an exact one says nothing of what is ready."""
        self._is_there, self._odd_since, self.base = True, None, asked
        ready = self.seen.ready
        if not self.is_exact or asked <= self.start or ready >= asked:
            self._end()
        elif waited >= patience:
            self._end()
            return Fate(decision, "not_realised", f"{ready} of {asked} are ready after {waited:.0f} s")
        return None

    def _changed(self, now: float, patience: float) -> Change | None:
        """A number that was set from outside, when it stays."""
        if self._odd_since is None:
            self._odd_since = now
        if not self.is_exact and now - self._odd_since < patience:
            return None
        before = self.number if self.state == "taken" or self.base is None else self.base
        void = self.void(f"there are {self.seen.desired} by now, and no longer {self.start}")
        self.base = self.seen.desired
        self._end()
        return Change(before, self.base, void)

    def ages(self, now: float) -> dict[str, dict[str, float] | None]:
        """Wanted, asked and seen, each with its age in seconds; None for what there is not."""
        return {
            "wanted": _aged(None if self.wanted is None else self.wanted.after, self.wanted_at, now),
            "asked": _aged(self.asked, self.asked_at, now),
            "seen": _aged(self.seen.desired, self.seen_at, now),
        }

    def __repr__(self) -> str:
        wanted = None if self.wanted is None else self.wanted.after
        return f"<Picture {self.state} wanted={wanted} asked={self.asked} seen={self.seen.desired}>"


def _aged(number: int | None, at: float | None, now: float) -> dict[str, float] | None:
    return None if number is None or at is None else {"replicas": number, "age_s": round(max(now - at, 0.0), 3)}
