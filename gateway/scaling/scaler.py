"""The whole loop for one target: votes, hysteresis, verification, guards, decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from gateway.scaling.analyzers.backlog import backlog
from gateway.scaling.analyzers.burn import burn, is_burning
from gateway.scaling.analyzers.cost import cost
from gateway.scaling.analyzers.demand import demand, demand_slots, replicas_for
from gateway.scaling.analyzers.dependency import Dependency
from gateway.scaling.analyzers.season import Season
from gateway.scaling.analyzers.strain import strain
from gateway.scaling.analyzers.trend import Trend
from gateway.scaling.decision import Decision, Expected
from gateway.scaling.guards.order import guarded
from gateway.scaling.guards.plan import Facts, Plan
from gateway.scaling.hysteresis import Hysteresis
from gateway.scaling.shadow import ShadowPool
from gateway.scaling.verifier import GROWN, WINDOW, Verifier
from gateway.signals.meter import FAST, INVALID_AFTER

if TYPE_CHECKING:
    from gateway.scaling.guards.plan import Mark
    from gateway.scaling.settings import Mode, ScalingSettings
    from gateway.scaling.verifier import Revert
    from gateway.scaling.vote import Vote
    from gateway.signals.signals import Signals

TICK: Final = 5.0
"""Seconds between two steps."""
DEADBAND: Final = 0.1
"""Replicas: scale-in leaves so much beyond what is wanted."""
DEADBAND_SHARE: Final = 0.02
"""Of what is wanted, where that is more: many replicas waver by more than a tenth of one."""
DRAINS: Final = 3.0
"""Service times in which a replica has answered nearly all that it had: taking it away is paid for so long."""
FROZEN_FOR: Final = 3600.0
"""Seconds after which a freeze ends by itself, when nobody ended it before."""
_FIRST_ANSWERS: Final = 10.0
"""Seconds after the first replica has come in which the objective burns for those who waited for it."""
_BY_WORD: Final = frozenset({"pause", "freeze", "owner"})
"""Guards that put another's word above the votes."""
_IN_STEPS: Final = frozenset({"steps", "starts"})
"""Guards that let an order come to its number in several steps."""


class Scaler:
    """Decides for one target.

    ``step`` is called once a tick with the target's signals. Its decisions are to be carried out when their mode is
    ``live`` or ``pinned``; in ``shadow`` they move a simulated pool (:attr:`shadow`).
    """

    __slots__ = (
        "_dependency",
        "_empty_at",
        "_frozen_load",
        "_hysteresis",
        "_ordered",
        "_pin",
        "_pin_until",
        "_read_at",
        "_serial",
        "_started_at",
        "_tick",
        "_trend",
        "_verifier",
        "ceilings",
        "desired",
        "frozen_at",
        "is_paused",
        "is_queue_held",
        "marks",
        "owner",
        "reason",
        "room",
        "season",
        "settings",
        "shadow",
        "target",
        "time_of_day",
        "under_way",
        "votes",
        "wanted",
    )

    def __init__(self, settings: ScalingSettings, target: str = "", *, tick: float = TICK) -> None:
        self.settings = settings
        self.target = target
        self.room: int | None = None
        """Replicas that the machine's memory and CPU allow; the shell sets it."""
        self.owner: str | None = None
        """Another autoscaler of the same target, by name; the shell sets it."""
        self.is_queue_held = False
        """Whether who waits is kept waiting for capacity that is coming; the shell sets it."""
        self.is_paused = False
        """Whether the number was set to 0 by hand; the shell sets it."""
        self.under_way: int | None = None
        """The number of a decision that is tried or asked for, and not carried out yet; the shell sets it."""
        self.desired: int | None = None
        """What the last step came to; None before the first."""
        self.wanted = 0
        """The same before the guards were asked."""
        self.reason = "start_up"
        """The word for what the last step did, a hold included."""
        self.votes: tuple[Vote, ...] = ()
        self.ceilings: tuple[Vote, ...] = ()
        self.marks: tuple[Mark, ...] = ()
        """What the guards changed in the last step."""
        self.frozen_at: float | None = None
        self.shadow: ShadowPool | None = None
        self._tick = tick
        self._trend = Trend()
        self.season = Season()
        self.time_of_day = 0.0
        """What must be added to ``now`` to make it a time of day that outlives the process; the shell sets it."""
        self._dependency = Dependency()
        self._hysteresis = Hysteresis(settings.hold, settings.max_hold)
        self._verifier = Verifier()
        self._ordered: tuple[int, str] | None = None
        self._frozen_load = 0.0
        self._serial = 0
        self._started_at: float | None = None
        self._read_at: float | None = None
        self._pin: int | None = None
        self._pin_until = float("-inf")
        self._empty_at = float("-inf")

    def step(self, signals: Signals, now: float) -> Decision | None:
        """One tick; None when everything stays as it is."""
        settings = self.settings
        if settings.mode == "off":
            return None
        self._pass_time(now)
        current = self._current(signals, now)
        self._end_silence(signals, now)
        self._vote(signals, current, now)
        wanted, reason = self._wanted(signals, current, now)
        revert = self._verifier.look(signals, now) if self.mode == "live" else None
        ordered = self._ordered
        wanted, reason = self._overruled(Plan(current, wanted), reason, revert, signals.load_slots, now)
        self.wanted = wanted
        self.marks = ()
        if wanted == current and self._is_plain(signals, current):
            target = current
        else:
            facts = self._facts(signals, revert, now, is_ordered=ordered is not None and revert is None)
            target, self.marks = guarded(Plan(current, wanted), facts)
        is_smaller = current < target < wanted or wanted < target < current
        if self.marks and (self.marks[-1].guard in _BY_WORD or not is_smaller):
            # what was only made smaller keeps the word of its vote
            reason = self.marks[-1].reason
        if ordered is not None and current < target < ordered[0] and {one.guard for one in self.marks} <= _IN_STEPS:
            self._ordered = ordered  # the rest of the way is gone in the next steps
        self.desired, self.reason = target, reason
        if target == current or settings.mode == "observe":
            return None
        if self._is_under_way(current, target):
            self.reason = "under_way"
            return None
        decision = self._decide(signals, current, target, reason, now, revert)
        self._hysteresis.moved(target - current, now)
        if reason == "ordered":
            self._hysteresis.stay(now)
        if revert is not None and target == revert.to and self._verifier.reverted(revert, signals.load_slots, now):
            self.frozen_at = now
            self._frozen_load = signals.load_slots
        self._verifier.watch(decision, signals, now)
        if settings.mode == "shadow" and self.shadow is not None:
            self.shadow.resize(target, now)
        return decision

    def _is_under_way(self, current: int, target: int) -> bool:
        """Whether what is being brought about is enough, so that nothing new is decided.

        A scale-out that was decided is not made smaller before it has come about or was given up. A scale-in is not
        made larger, or its trial would never end while the load falls; one that has become too large is decided anew.
        """
        goal = self.under_way
        return goal is not None and (current < target <= goal or target <= goal < current)

    def band(self, signals: Signals) -> tuple[int, int]:
        """Fewest and most replicas that will be wanted in a lead time, nine times in ten, within min and max."""
        low, high = self._trend.band
        spare, slots, settings = signals.spare_slots, signals.slots_per_replica, self.settings
        desired = settings.min if self.desired is None else self.desired
        most = max(settings.max, settings.min)
        return (
            min(max(replicas_for(low + spare, slots), settings.min), desired, most),
            max(min(replicas_for(high + spare, slots), most), desired),
        )

    @property
    def useless(self) -> str:
        """Why more replicas would not help, or may not be had; empty when nothing speaks against them."""
        wanted = max((vote.replicas for vote in self.votes), default=0)
        return next((vote.reason for vote in self.ceilings if wanted > vote.replicas), "")

    @property
    def dependency(self) -> str:
        """What is wrong with what the replicas lean on, as far as it shows; empty when nothing is."""
        return next((vote.reason for vote in self.ceilings if vote.analyzer == "dependency"), "")

    def order(self, replicas: int, reason: str = "ordered") -> None:
        """Somebody's word for the next step instead of the votes; guards and verifier treat it like any other."""
        self._ordered = replicas, reason

    @property
    def mode(self) -> Mode:
        """The mode in force: that of the settings, or ``pinned`` while somebody holds a live target at a number."""
        return "pinned" if self._pin is not None and self.settings.mode == "live" else self.settings.mode

    @property
    def pinned(self) -> tuple[int, float] | None:
        """The number that is pinned, and until which instant; None when none is."""
        return None if self._pin is None else (self._pin, self._pin_until)

    def pin(self, replicas: int, until: float) -> None:
        """Hold a live target at a number until an instant; after that it is decided again."""
        self._pin, self._pin_until = replicas, until

    def unpin(self) -> None:
        """Decide again before the time of a pin is over."""
        self._pin, self._pin_until = None, float("-inf")

    def set_mode(self, mode: Mode, now: float) -> None:
        """Decide in another mode from now on; before a scale-in a whole hold must be seen again."""
        self.settings = replace(self.settings, mode=mode)
        self._started_at = now
        self._hysteresis = Hysteresis(self.settings.hold, self.settings.max_hold)
        self._verifier.forget()  # what was imagined in shadow is not undone in the world
        self._ordered = None
        self.shadow = None
        self.unpin()
        if mode == "pinned" and self.settings.pin is not None:
            self.pin(self.settings.pin, now + self.settings.pin_for)

    def resume(self, serial: int, frozen_at: float | None = None) -> None:
        """Go on where an earlier process ended: the number of its last decision, and its freeze if one holds."""
        self._serial = max(self._serial, serial)
        self.frozen_at = frozen_at
        self._frozen_load = float("inf") if frozen_at is not None else 0.0

    @property
    def confirmed(self) -> str:
        """The latest decision whose effect was there; empty before any was."""
        return self._verifier.confirmed

    def called_off(self, decision: Decision, now: float) -> None:
        """A scale-in was tried and taken back before it was carried out: a reversal, which makes the hold longer."""
        self._verifier.forget(decision)
        self._hysteresis.moved(decision.before - decision.after, now)

    def waits(self) -> None:
        """The latest decision is carried out by others: it is judged from then on, and not before."""
        self._verifier.wait()

    def carried_out(self, decision: Decision, now: float) -> None:
        """A decision is carried out now."""
        self._verifier.begin(decision, now)

    def given_up(self, decision: Decision) -> None:
        """A decision is not carried out any more, so there is nothing to judge."""
        self._verifier.forget(decision)

    def changed(self, difference: int, now: float) -> None:
        """The number was changed by ``difference`` from outside: nothing of ours is judged, and it stays for a hold."""
        self._verifier.forget()
        self._hysteresis.moved(difference, now)
        self._hysteresis.stay(now)

    def thaw(self) -> None:
        """End a freeze: an operator has looked."""
        self.frozen_at = None
        self._verifier.forgive()

    def _pass_time(self, now: float) -> None:
        """Begin, and end what ends by itself."""
        settings = self.settings
        if self.frozen_at is not None and now - self.frozen_at >= FROZEN_FOR:
            self.thaw()
        if self._started_at is None:
            self._started_at = now
            if settings.mode == "pinned" and settings.pin is not None and self._pin is None:
                self.pin(settings.pin, now + settings.pin_for)
        if now >= self._pin_until:
            self.unpin()

    def _end_silence(self, signals: Signals, now: float) -> None:
        """After a silence a new history begins: what was wanted before it says nothing of a load that was not seen."""
        if not signals.signal_valid:
            return
        read_at = now - signals.signal_age_s
        before, self._read_at = self._read_at, read_at
        if before is not None and read_at - before > INVALID_AFTER:
            self._started_at = now
            self._trend = Trend()
            self._hysteresis.silent(now)
            self._verifier.forget()

    def _current(self, signals: Signals, now: float) -> int:
        if self.settings.mode == "shadow":
            if self.shadow is None:
                self.shadow = ShadowPool(signals.replicas.ready + signals.replicas.warming, self.settings)
            self.shadow.step(signals, now)
            return self.shadow.asked
        # who never asked for anything starts from what is there
        return signals.replicas.desired or signals.replicas.ready + signals.replicas.warming

    def _vote(self, signals: Signals, current: int, now: float) -> None:
        if signals.signal_valid:
            lead = signals.cold_start_p90_s + self._tick
            self._trend.update(signals.load_slots, lead, now)
            self.season.update(signals.load_slots, lead, now + self.time_of_day)
        if signals.signal_valid and not signals.replicas.ready:
            self._empty_at = now
        votes = (
            demand(signals),
            # a queue that waits for what was asked for must not be asked for once more
            None if self.is_queue_held else backlog(signals),
            # a load that is of a window as long as a service climbs for that long after a step, too
            None if signals.service_time_s > FAST else self._trend.vote(signals.spare_slots, signals.slots_per_replica),
            self.season.vote(signals.load_slots, signals.spare_slots, signals.slots_per_replica),
            # those who waited for the first replica would have waited for it before any number
            None if now - self._empty_at < _FIRST_ANSWERS else burn(signals, current),
        )
        ceilings = (
            self._dependency.vote(signals, now),
            cost(self.settings.price, signals.replicas.standby),
            strain(signals),
        )
        self.votes = tuple([vote for vote in votes if vote is not None])
        self.ceilings = tuple([vote for vote in ceilings if vote is not None])

    def _wanted(self, signals: Signals, current: int, now: float) -> tuple[int, str]:
        """The highest vote; when it is below the present number, no lower than what the hold allows."""
        if not signals.signal_valid:
            return current, "stale"
        best = max(self.votes, key=_replicas)
        hysteresis = self._hysteresis
        hysteresis.want(self._kept(signals, best.replicas), now)
        if best.replicas >= current:
            return best.replicas, best.reason if best.replicas > current else "enough"
        floor = hysteresis.floor(current, now, signals.cold_start_p90_s + DRAINS * signals.service_time_s)
        if floor is None or floor >= current:
            return current, "hold"
        return max(floor, best.replicas), "surplus"

    def _kept(self, signals: Signals, wanted: int) -> int:
        """What scale-in must leave: a little more than is wanted, so that chance does not ask for it back."""
        slots, each = demand_slots(signals), signals.slots_per_replica
        if not wanted and not slots and not signals.queued:
            return 0  # nothing is asked for: the last replica may go, too
        return max(wanted, replicas_for(slots + max(DEADBAND * each, DEADBAND_SHARE * slots), each))

    def _overruled(self, plan: Plan, reason: str, revert: Revert | None, load: float, now: float) -> tuple[int, str]:
        """What stands above the votes: an order, what must be undone, a direction that was useless lately."""
        ordered, self._ordered = self._ordered, None
        if revert is not None:
            return revert.to, revert.reason
        if ordered is not None:
            return ordered
        if plan.target > plan.current and self._verifier.is_backed_off(load, now):
            return plan.current, "backed_off"
        return plan.target, reason

    def _is_plain(self, signals: Signals, current: int) -> bool:
        """Whether no guard could have a say in staying; then none is asked, because most ticks are like that."""
        settings = self.settings
        return (
            settings.min <= current <= settings.max
            and settings.mode != "pinned"
            and self._pin is None
            and signals.signal_valid == 1
        )

    def _facts(self, signals: Signals, revert: Revert | None, now: float, *, is_ordered: bool) -> Facts:
        settings = self.settings
        pin = self._pin
        return Facts(
            signals,
            settings,
            self.ceilings,
            room=self.room,
            tick=self._tick,
            has_window=now - (self._started_at or 0.0) >= settings.hold,
            is_burning=is_burning(signals) and revert is None,
            is_frozen=self.frozen_at is not None or (settings.mode == "pinned" and pin is None),
            pin=pin,
            is_paused=self.is_paused and not is_ordered,
            owner=self.owner,
            is_starving=self.frozen_at is not None
            and (is_burning(signals) or signals.load_slots > GROWN * self._frozen_load),
            is_restoring=revert is not None and revert.to > revert.decision.after,
        )

    def _decide(  # noqa: PLR0913, PLR0917 - a record
        self,
        signals: Signals,
        current: int,
        target: int,
        reason: str,
        now: float,
        revert: Revert | None,
    ) -> Decision:
        self._serial += 1
        return Decision(
            id=f"{self.target or 'target'}-{self._serial}",
            t=now,
            target=self.target,
            before=current,
            after=target,
            reason=reason,
            votes=self.votes + self.ceilings,
            guards=self.marks,
            expected=Expected(
                by=now + signals.cold_start_p90_s + WINDOW,
                need=signals.demand_slots + signals.backlog_slots,
                slots=signals.slots_per_replica,
                throughput=signals.admitted_rps,
            ),
            mode=self.mode,
            undoes=revert.decision.id if revert is not None else "",
        )

    def __repr__(self) -> str:
        return f"<Scaler {self.target} desired={self.desired} {self.reason}>"


def _replicas(vote: Vote) -> int:
    return vote.replicas
