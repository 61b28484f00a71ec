"""One upstream's loop in the control process: look every second, decide every tick, have it carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import json
from msgspec.structs import replace

from gateway.actuators.belief import Told
from gateway.actuators.publish import Publish
from gateway.control.scaling.coming import Coming
from gateway.control.scaling.feed import Latest, reading, reported
from gateway.control.scaling.inforce import objective
from gateway.control.scaling.picture import Picture, patience
from gateway.control.scaling.ramp import Ramp
from gateway.control.scaling.reconciler import Reconciler
from gateway.control.scaling.record import Event
from gateway.control.scaling.trial import Trial
from gateway.control.scaling.wall import wall_text
from gateway.scaling.guards.calm import STALE_TICKS
from gateway.scaling.scaler import FROZEN_FOR, TICK, Scaler
from gateway.signals.meter import LONGEST, Meter
from gateway.signals.reading import Replicas
from gateway.signals.signals import Signals

if TYPE_CHECKING:
    from gateway.actuators.actuator import Actuator
    from gateway.control.scaling.admission import Admission
    from gateway.control.scaling.feed import Look
    from gateway.control.scaling.ledger import Ledger
    from gateway.control.scaling.past import Past
    from gateway.control.scaling.picture import Change
    from gateway.control.scaling.record import Records
    from gateway.core.clock import Clock
    from gateway.scaling.analyzers.season import SeasonState
    from gateway.scaling.decision import Decision
    from gateway.scaling.settings import Mode, ScalingSettings
    from gateway.telemetry.logs import Logger
    from gateway.telemetry.snapshot import LoadSnapshot

LONGEST_PIN: Final = 366 * 86400.0
"""Seconds: what is to hold for longer belongs into the configuration."""
CAP_MARGIN: Final = 5.0
"""Seconds that workers hold a trial's limit beyond its end, should nobody tell them that it is over."""
PROMISE: Final = 4.0
"""Seconds that workers count on capacity that is coming without hearing of it again."""
_WATCHED: Final = frozenset({"off", "observe"})
_CARRIED_OUT: Final = frozenset({"live", "pinned"})
_BY_WORD: Final = frozenset({"ordered", "above_max", "below_min", "first_request", "fallback", "pinned"})
"""Reasons that are no vote: they hold whatever the load is by now."""
_COUNTED: Final = frozenset({"pool", "kubernetes"})
"""Actuators that see a replica become ready themselves; the word of others may be late or a wish."""


class Target:
    """One upstream's signals and decisions; ``slow_start`` is the time in which an endpoint gets its whole weight."""

    def __init__(  # noqa: PLR0913 - everything from outside comes in here
        self,
        name: str,
        settings: ScalingSettings,
        actuator: Actuator,
        *,
        clock: Clock,
        log: Logger,
        ledger: Ledger,
        records: Records,
        admission: Admission,
        slow_start: float = 0.0,
        latest: Latest | None = None,
    ) -> None:
        self._latest = Latest() if latest is None else latest
        self.name = name
        self.actuator = actuator
        self.scaler = Scaler(settings, name)
        self.reported: dict[str, dict[str, float]] = {}
        """What endpoints say of their own load, by URL."""
        self._signals = Signals(at=clock.now(), signal_age_s=LONGEST)
        self.is_resting = False
        """Whether its signals stay what they are until a worker says something of it or somebody gives an order."""
        self._looks = 0  # in all when it was looked at or read last
        self.trial: Trial | None = None
        self.decisions: dict[tuple[str, str, str], int] = {}
        """Made so far, by direction, reason and mode."""
        self.vetoes: dict[str, int] = {}
        """Ticks at which a guard changed a plan, by guard."""
        # an actuator that cannot count hears from us how many endpoints there are, or it would never know anything
        self._told = actuator if isinstance(actuator, Told) else None
        self._meter = Meter(objective(settings))
        self._cold_start = float(settings.cold_start)
        self._clock = clock
        self._log = log.bind(upstream=name)
        self._ledger = ledger
        self._records = records
        self._admission = admission
        self._coming = Coming()
        self._ramp = Ramp(slow_start)
        self._has_promised = False
        self._promised: float | None = None
        self._said: tuple[LoadSnapshot | None, ...] = ()
        self._confirmed = ""
        self._is_known = False
        self._was_pinned = False
        self.picture = Picture(is_exact=settings.actuator.kind in _COUNTED, is_published=isinstance(actuator, Publish))
        self.reconciler = Reconciler(
            actuator, self.picture, clock=clock, log=self._log, objection=self._objection, tell=self._tell
        )

    def resume(self, past: Past) -> None:
        """Go on where an earlier process ended; before a scale-in a whole hold must be seen all the same."""
        now, wall = self._clock.now(), self._clock.wall()
        frozen_at = None
        if past.frozen_at is not None and 0 <= wall - past.frozen_at < FROZEN_FOR:
            frozen_at = now - (wall - past.frozen_at)
        self.scaler.resume(past.serial, frozen_at)
        if past.pinned is not None and past.pinned[1] > wall and self.scaler.mode == "live":
            self.scaler.pin(past.pinned[0], now + past.pinned[1] - wall)

    def resume_season(self, state: SeasonState) -> None:
        """Know the days that an earlier process saw."""
        try:
            self.scaler.season.resume(state)
        except ValueError as error:
            self._log.warning("season forgotten", why=str(error))

    # --- every second ----------------------------------------------------------------------------

    @property
    def signals(self) -> Signals:
        """The signals of the latest look; of a target that rests they are made when somebody reads them."""
        if self.is_resting:
            self._freshen()
        return self._signals

    def _freshen(self) -> None:
        latest = self._latest
        if latest.seen is not None and latest.count != self._looks:
            seen = latest.seen
            self._signals = self._meter.rest(
                seen.at - seen.age, latest.at, latest.count - self._looks, strain=seen.strain
            )
            self._looks = latest.count

    def stir(self) -> None:
        """Look at it again each time: what was so until the latest look may be so no longer."""
        if self.is_resting:
            self._freshen()
            self.is_resting = False
            if self._latest.seen is not None:
                self._meter.wake(self._latest.seen.at)

    def is_asleep(self, seen: Look | None) -> bool:
        """Whether nobody scales it, and no worker has said anything of it since the last look, which found it empty.

        Then one look in several is enough. Nothing is said of an upstream that has had nothing to do for long.
        """
        if seen is None or self.scaler.mode not in _WATCHED or not self.signals.signal_valid:
            return False
        loads = tuple(one.loads.get(self.name) for one in seen.living)
        said, self._said = self._said, loads
        if len(said) != len(loads) or any(one is not other for one, other in zip(said, loads, strict=True)):
            return False
        return not any(one is not None and (one.in_flight or one.queued) for one in loads)

    def rest(self, seen: Look, now: float) -> None:
        """Make this second's signals of the last ones."""
        self._signals = self._meter.rest(seen.at - seen.age, now, strain=seen.strain)
        self._looks = self._latest.count

    def look(self, seen: Look | None, now: float) -> None:
        """Make this second's signals, and see how a trial goes."""
        if seen is not None:
            if self._told is not None:
                self._tell_endpoints(self._told, seen)
            self.reported = reported(self.name, seen)
        view = self.actuator.view
        change = self.reconciler.look(view, patience(self._signals.cold_start_p90_s or self._cold_start))
        if change is not None:
            self._changed(change, view.changed_by, now)
        replicas = self.picture.replicas
        self._signals = self._meter.observe(None if seen is None else reading(self.name, seen, view, replicas), now)
        self._looks = self._latest.count
        self.scaler.room, self.scaler.owner = view.room, view.owner
        self._tell_admission(now)
        self.is_resting = self._may_rest()
        self._look_at_trial(now)

    def _look_at_trial(self, now: float) -> None:
        trial = self.trial
        if trial is None:
            return
        decision, seen = trial.decision, self.picture.number
        objection = self._objection(decision)
        if seen != decision.before:
            objection = f"there are {seen} by now, and no longer {decision.before}"
        verdict = trial.look(self.signals, now)
        if objection:
            self._give_up_trial(objection)
        elif verdict == "passed":
            self._end_trial()
            self._tell(decision, "trial_passed", "")
            self.reconciler.want(decision)
        elif verdict == "failed":
            self._call_off(decision, now, "with so much less admitted requests had to wait")

    def _changed(self, change: Change, by: str, now: float) -> None:
        """Another number was set from outside, which is the new start."""
        if not self._is_ours:
            return
        who = by or "somebody else"
        self._log.warning("replicas changed by others", before=change.before, after=change.after, by=who)
        self._ledger.write(
            {"kind": "changed", "target": self.name, "before": change.before, "replicas": change.after, "by": who}
        )
        self.scaler.changed(change.after - change.before, now)

    @property
    def _is_ours(self) -> bool:
        """Whether the number is ours to set, so that another one is news."""
        is_real = not isinstance(self.actuator, Publish)
        return self.scaler.mode in _CARRIED_OUT and self.scaler.owner is None and is_real

    def _may_rest(self) -> bool:
        """Whether nothing of it will change, and nobody decides on it."""
        return (
            self._latest.may_rest
            and self._meter.is_steady
            and self.scaler.mode == "off"
            and self._told is not None  # or its replicas may come and go without a worker's word
            and not self._has_promised
            and self.picture.state == "rest"
        )

    def _tell_admission(self, now: float) -> None:
        """Who waits is told what is coming, and a limit that was found follows the replicas that have come or gone."""
        signals = self.signals
        promise = None
        # what fails is no promise
        coming = None if self.picture.is_failing else self.picture.under_way
        is_asked = coming is not None
        replicas = signals.replicas
        if coming is not None and coming > replicas.desired:
            replicas = replace(replicas, desired=coming)
        if signals.signal_valid and (is_asked or signals.replicas.warming or self._coming.is_open):
            cold = signals.cold_start_p50_s, signals.cold_start_p90_s
            promise = self._coming.look(replicas, cold, now, is_asked=is_asked)
        if promise is not None:
            # told again at each look, so that a new worker hears of it, and nobody believes in a dead teller for long
            self._admission.expect(self.name, promise.wait, promise.growth, PROMISE)
            self._promised = promise.wait
        elif self._has_promised:
            self._admission.expect(self.name, 0.0, 1.0, 0.0)
        if promise is None:
            self._promised = None
        self._has_promised = self.scaler.is_queue_held = promise is not None
        scaler = self.scaler
        if scaler.mode in _CARRIED_OUT and scaler.settings.actuator.kind in _COUNTED and signals.signal_valid:
            ratio = self._ramp.look(signals.replicas.ready, now)
            if ratio is not None and self._meter.knows_slots:
                self._admission.rescale(self.name, ratio)

    def _tell_endpoints(self, actuator: Told, seen: Look) -> None:
        """Nobody counts these replicas but we: they are the endpoints that some worker asks."""
        asked = {
            url
            for worker in seen.living
            if self.name in worker.resilience
            for url, one in worker.resilience[self.name].endpoints.items()
            if url and one.in_rotation
        }
        actuator.tell(Replicas(ready=len(asked)))

    @property
    def asked(self) -> int | None:
        """The number that is on trial or being brought about; None when nothing is."""
        if self.trial is not None:
            return self.trial.decision.after
        return None if self.picture.wanted is None else self.picture.wanted.after

    @property
    def is_paused(self) -> bool:
        """Whether the number was set to 0 by hand where ``min`` is more: a pause, as an HPA has it."""
        has_none = self.picture.seen_at is not None and not self.picture.number
        return has_none and self.is_counted_elsewhere and self.scaler.settings.min > 0

    @property
    def is_counted_elsewhere(self) -> bool:
        """Whether its replicas are seen by another program, whose none is a fact and not a guess."""
        kind = self.scaler.settings.actuator.kind
        return kind in _COUNTED and kind != "pool"

    @property
    def wants_none(self) -> bool:
        """Whether nothing is there and nothing was asked for."""
        return not self.picture.number and not self.asked

    @property
    def vacancy(self) -> float | None:
        """In how many seconds the first replica will serve; None where one does, or nothing can be relied on."""
        signals = self.signals
        if self.scaler.mode not in _CARRIED_OUT or not signals.signal_valid or signals.replicas.ready or self.is_paused:
            return None
        if self.wants_none:
            return None if self.scaler.mode == "pinned" else signals.cold_start_p50_s
        return self._promised

    def start_first(self, now: float, reason: str) -> bool:
        """Ask for one replica where there is none; False when decisions are not carried out here."""
        if self.scaler.mode != "live" or not self.signals.signal_valid or self.is_paused:
            return False
        if not self.asked:
            self.scaler.order(1, reason)
            self.decide(now)
        return True

    @property
    def ages(self) -> dict[str, dict[str, float] | None]:
        """Wanted, asked and seen, each a number of replicas with its age in seconds; None for what there is not."""
        return self.picture.ages(self._clock.now())

    # --- every tick ------------------------------------------------------------------------------

    def decide(self, now: float) -> None:
        """One step of the scaler, and what follows from it."""
        self._is_known = self._is_known or bool(self.signals.signal_valid)
        if not self._is_known:
            return  # nobody knows how many replicas there are, so any number would be a guess
        scaler = self.scaler
        # days are those of the wall clock, which may be put right while we run
        scaler.time_of_day = self._clock.wall() - now
        was_frozen = scaler.frozen_at is not None
        scaler.is_paused = self.is_paused
        scaler.under_way = self.picture.under_way if self.trial is None else self.trial.decision.after
        decision = scaler.step(self.signals, now)
        for mark in scaler.marks:
            self.vetoes[mark.guard] = self.vetoes.get(mark.guard, 0) + 1
        if scaler.confirmed != self._confirmed:
            self._confirmed = scaler.confirmed
            self._note(self._confirmed, "confirmed", "its expected effect was there")
        if self._was_pinned and scaler.pinned is None:
            self._say("unpinned", detail="its time is over")
        self._was_pinned = scaler.pinned is not None
        if decision is not None:
            self._take(decision, now)
        elif self.trial is not None and scaler.wanted >= self.trial.decision.before:
            self._call_off(self.trial.decision, now, f"{scaler.wanted} are wanted by now: {scaler.reason}")
        self.reconciler.check()
        if (scaler.frozen_at is not None) != was_frozen:
            event, why = ("thawed", "its time is over") if was_frozen else ("frozen", "two decisions were undone")
            self._say(event, detail=why)

    def _take(self, decision: Decision, now: float) -> None:
        direction = "out" if decision.after > decision.before else "in"
        key = direction, decision.reason, decision.mode
        self.decisions[key] = self.decisions.get(key, 0) + 1
        self._records.add(decision, wall_text(self._clock.wall()))
        self._ledger.write({"kind": "decision", **json.decode(json.encode(decision))})
        self._log.info(
            "scaling decision",
            decision=decision.id,
            before=decision.before,
            after=decision.after,
            reason=decision.reason,
            mode=decision.mode,
        )
        if decision.undoes:
            self._note(decision.undoes, "undone", f"by {decision.id}: {decision.reason}")
        if decision.mode not in _CARRIED_OUT:
            return
        if self.trial is not None:
            self._tell(self.trial.decision, "superseded", f"by {decision.id}")
            self._end_trial()
        self.scaler.waits()
        if self._needs_trial(decision):
            self.reconciler.drop(f"by {decision.id}")
            self.trial = Trial(
                decision,
                self.signals,
                wait=self.scaler.settings.slo.wait,
                length=self.scaler.settings.hold,
                now=now,
            )
            self._tell(decision, "trial", f"no more than {self.trial.limit} in flight meanwhile")
            self._admission.cap(self.name, self.trial.limit, self.trial.until - now + CAP_MARGIN)
        else:
            self.reconciler.want(decision)

    def _needs_trial(self, decision: Decision) -> bool:
        """Whether it takes away what may still be needed, and the limit can show that first."""
        is_real = not isinstance(self.actuator, Publish)
        # to none only goes what nobody has asked for a whole hold, and a limit of none would show nothing
        is_in = 0 < decision.after < decision.before
        return is_in and self.signals.limit > 0 and is_real and not self._is_by_word(decision)

    def _end_trial(self) -> None:
        self.trial = None
        self._admission.cap(self.name, None, 0.0)

    def _call_off(self, decision: Decision, now: float, why: str) -> None:
        self._end_trial()
        self.scaler.called_off(decision, now)
        self._tell(decision, "called_off", why)

    def _give_up_trial(self, why: str) -> None:
        if self.trial is not None:
            decision = self.trial.decision
            self._end_trial()
            self._tell(decision, "given_up", why)

    # --- orders ----------------------------------------------------------------------------------

    def pin(self, replicas: int, seconds: float) -> None:
        """Hold the target at a number for so long, in (0, :data:`LONGEST_PIN`]; ValueError otherwise, and no pin."""
        if not 0.0 < seconds <= LONGEST_PIN:
            message = f"a pin holds for more than nothing and at most {LONGEST_PIN / 86400:.0f} days"
            raise ValueError(message)
        until = wall_text(self._clock.wall() + seconds)
        self.scaler.pin(replicas, self._clock.now() + seconds)
        self._was_pinned = True
        self._say("pinned", replicas=replicas, until=until)

    def unpin(self) -> None:
        """Decide again."""
        self.scaler.unpin()
        self._was_pinned = False
        self._say("unpinned")

    def thaw(self) -> None:
        """End a freeze."""
        self.scaler.thaw()
        self._say("thawed")

    def set_mode(self, mode: Mode) -> None:
        """Decide in another mode, until it is set again or the gateway starts anew."""
        self.stir()
        is_pinned = self.scaler.pinned is not None
        self.scaler.set_mode(mode, self._clock.now())
        if is_pinned:
            self._was_pinned = False
            self._say("unpinned", detail=f"the mode is {mode} now")
        self._say("mode", mode=mode)
        self._give_up_trial(f"the mode is {mode} now")
        self.reconciler.check()

    # --- what became of it -----------------------------------------------------------------------

    def _objection(self, decision: Decision) -> str:
        """Why a decision that no actuator has taken yet is void by now; empty when it still fits."""
        scaler = self.scaler
        if scaler.mode != decision.mode:
            return f"the mode is {scaler.mode} now"
        if decision.mode == "pinned" and (scaler.pinned is None or scaler.pinned[0] != decision.after):
            return "the pin is another now"
        if scaler.owner is not None:
            return f"{scaler.owner} scales it now"
        if decision.after < decision.before and not self._is_by_word(decision):
            return self._objection_to_less(decision)
        is_from_votes = not decision.undoes and decision.reason not in _BY_WORD
        if is_from_votes and self.picture.is_failing and scaler.wanted <= self.picture.number:
            return f"{scaler.wanted} are enough by now"
        return ""

    def _objection_to_less(self, decision: Decision) -> str:
        """What was true when a scale-in was decided may not be true any more."""
        signals = self.signals
        if not signals.signal_valid or signals.signal_age_s > STALE_TICKS * TICK:
            return "the numbers that it was decided on are too old"
        if self.trial is None and self.picture.is_failing and signals.queued >= 1:
            return "a queue stands by now"
        if self.trial is None and self.scaler.wanted > decision.after:
            return f"{self.scaler.wanted} are wanted by now"
        return ""

    @staticmethod
    def _is_by_word(decision: Decision) -> bool:
        """Whether that was said by hand, whatever the numbers are."""
        return decision.mode == "pinned" or decision.reason in _BY_WORD

    def _tell(self, decision: Decision, event: str, detail: str) -> None:
        if event in {"failed", "given_up", "called_off", "not_realised"}:
            self._log.warning("scaling decision not carried out", decision=decision.id, why=event, detail=detail)
        else:
            self._log.info("scaling decision told", decision=decision.id, event_word=event, detail=detail)
        if event == "carried_out":
            self.scaler.carried_out(decision, self._clock.now())
        elif event in {"given_up", "superseded"}:
            self.scaler.given_up(decision)
        replicas = decision.after if event == "carried_out" else self.picture.number
        self._note(decision.id, event, detail, replicas=replicas)

    def _note(self, identity: str, event: str, detail: str, **more: object) -> None:
        self._records.note(identity, Event(wall_text(self._clock.wall()), event, detail))
        self._ledger.write({"kind": event, "target": self.name, "id": identity, "detail": detail, **more})

    def _say(self, event: str, **fields: object) -> None:
        self._log.warning(f"scaling {event}", **fields)
        self._ledger.write({"kind": event, "target": self.name, **fields})

    def __repr__(self) -> str:
        return f"<Target {self.name} {self.scaler!r}>"
