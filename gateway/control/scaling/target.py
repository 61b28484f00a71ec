"""One upstream's loop in the control process: look every second, decide every tick, have it carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import json
from msgspec.structs import replace

from gateway.actuators.publish import Publish
from gateway.control.scaling.carrier import Carrier
from gateway.control.scaling.feed import reading, reported
from gateway.control.scaling.inforce import objective
from gateway.control.scaling.ledger import wall_text
from gateway.control.scaling.record import Event
from gateway.control.scaling.trial import Trial
from gateway.scaling.guards.calm import STALE_TICKS
from gateway.scaling.scaler import FROZEN_FOR, TICK, Scaler
from gateway.signals.meter import LONGEST, Meter
from gateway.signals.reading import Replicas
from gateway.signals.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.actuators.actuator import Actuator
    from gateway.control.scaling.feed import Look
    from gateway.control.scaling.ledger import Ledger
    from gateway.control.scaling.past import Past
    from gateway.control.scaling.record import Records
    from gateway.core.clock import Clock
    from gateway.scaling.decision import Decision
    from gateway.scaling.settings import Mode, ScalingSettings
    from gateway.telemetry.logs import Logger

CAP_MARGIN: Final = 5.0
"""Seconds that workers hold a trial's limit beyond its end, should nobody tell them that it is over."""
_CARRIED_OUT: Final = frozenset({"live", "pinned"})


class Target:
    """One upstream's signals and decisions.

    ``cap(limit, seconds)`` bounds what may be in flight in the whole gateway for so long; None lifts it.
    """

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
        cap: Callable[[int | None, float], None],
    ) -> None:
        self.name = name
        self.actuator = actuator
        self.scaler = Scaler(settings, name)
        self.reported: dict[str, dict[str, float]] = {}
        """What endpoints say of their own load, by URL."""
        self.signals = Signals(at=clock.now(), signal_age_s=LONGEST)
        self.trial: Trial | None = None
        self.decisions: dict[tuple[str, str, str], int] = {}
        """Made so far, by direction, reason and mode."""
        self.vetoes: dict[str, int] = {}
        """Ticks at which a guard changed a plan, by guard."""
        self._meter = Meter(objective(settings))
        self._clock = clock
        self._log = log.bind(upstream=name)
        self._ledger = ledger
        self._records = records
        self._cap = cap
        self._confirmed = ""
        self._is_known = False
        self._was_pinned = False
        self.carrier = Carrier(actuator, log=self._log, may_shrink=self._may_shrink, tell=self._tell)

    def resume(self, past: Past) -> None:
        """Go on where an earlier process ended; before a scale-in a whole hold must be seen all the same."""
        now, wall = self._clock.now(), self._clock.wall()
        frozen_at = None
        if past.frozen_at is not None and 0 <= wall - past.frozen_at < FROZEN_FOR:
            frozen_at = now - (wall - past.frozen_at)
        self.scaler.resume(past.serial, frozen_at)
        if past.pinned is not None and past.pinned[1] > wall and self.scaler.mode == "live":
            self.scaler.pin(past.pinned[0], now + past.pinned[1] - wall)

    # --- every second ----------------------------------------------------------------------------

    def look(self, seen: Look | None, now: float) -> None:
        """Make this second's signals, and see how a trial goes."""
        view = self.actuator.view
        if isinstance(self.actuator, Publish) and seen is not None:
            self._tell_endpoints(self.actuator, seen)
            view = self.actuator.view
        if seen is not None:
            self.reported = reported(self.name, seen)
        asked = self.asked
        replicas = view.replicas if asked is None else replace(view.replicas, desired=asked)
        self.signals = self._meter.observe(None if seen is None else reading(self.name, seen, view, replicas), now)
        self.scaler.room, self.scaler.owner = view.room, view.owner
        trial = self.trial
        if trial is not None:
            verdict = trial.look(self.signals, now)
            if verdict == "passed":
                self._end_trial()
                self._tell(trial.decision, "trial_passed", "")
                self.carrier.submit(trial.decision)
            elif verdict == "failed":
                self._call_off(trial.decision, now)

    def _tell_endpoints(self, actuator: Publish, seen: Look) -> None:
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
        return self.carrier.asked if self.trial is None else self.trial.decision.after

    # --- every tick ------------------------------------------------------------------------------

    def decide(self, now: float) -> None:
        """One step of the scaler, and what follows from it."""
        self._is_known = self._is_known or bool(self.signals.signal_valid)
        if not self._is_known:
            return  # nobody knows how many replicas there are, so any number would be a guess
        scaler = self.scaler
        was_frozen = scaler.frozen_at is not None
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
        if self._needs_trial(decision):
            self.trial = Trial(
                decision,
                self.signals,
                wait=self.scaler.settings.slo.wait,
                length=self.scaler.settings.hold,
                now=now,
            )
            self._tell(decision, "trial", f"no more than {self.trial.limit} in flight meanwhile")
            self._cap(self.trial.limit, self.trial.until - now + CAP_MARGIN)
        else:
            self.carrier.submit(decision)

    def _needs_trial(self, decision: Decision) -> bool:
        """Whether it takes away what may still be needed, and the limit can show that first."""
        is_asked_for = decision.mode == "pinned" or decision.reason in {"ordered", "above_max"}
        is_real = not isinstance(self.actuator, Publish)
        return decision.after < decision.before and self.signals.limit > 0 and is_real and not is_asked_for

    def _end_trial(self) -> None:
        self.trial = None
        self._cap(None, 0.0)

    def _call_off(self, decision: Decision, now: float) -> None:
        self._end_trial()
        self.scaler.called_off(decision, now)
        self._tell(decision, "called_off", "with so much less admitted requests had to wait")

    # --- orders ----------------------------------------------------------------------------------

    def pin(self, replicas: int, seconds: float) -> None:
        """Hold the target at a number for so long."""
        self.scaler.pin(replicas, self._clock.now() + seconds)
        self._was_pinned = True
        self._say("pinned", replicas=replicas, until=wall_text(self._clock.wall() + seconds))

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
        if mode != "live":
            self.carrier.drop()
            if self.trial is not None:
                self._tell(self.trial.decision, "given_up", "the mode is another now")
                self._end_trial()
        self.scaler.set_mode(mode, self._clock.now())
        self._say("mode", mode=mode)

    # --- what became of it -----------------------------------------------------------------------

    def _may_shrink(self) -> bool:
        signals = self.signals
        return bool(signals.signal_valid) and signals.signal_age_s <= STALE_TICKS * TICK and signals.queued < 1

    def _tell(self, decision: Decision, event: str, detail: str) -> None:
        if event in {"failed", "given_up", "called_off"}:
            self._log.warning("scaling decision not carried out", decision=decision.id, why=event, detail=detail)
        else:
            self._log.info("scaling decision told", decision=decision.id, event_word=event, detail=detail)
        self._note(decision.id, event, detail, replicas=decision.before)

    def _note(self, identity: str, event: str, detail: str, **more: object) -> None:
        self._records.note(identity, Event(wall_text(self._clock.wall()), event, detail))
        self._ledger.write({"kind": event, "target": self.name, "id": identity, "detail": detail, **more})

    def _say(self, event: str, **fields: object) -> None:
        self._log.warning(f"scaling {event}", **fields)
        self._ledger.write({"kind": event, "target": self.name, **fields})

    def __repr__(self) -> str:
        return f"<Target {self.name} {self.scaler!r}>"
