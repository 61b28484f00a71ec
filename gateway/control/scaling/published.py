"""What is told of a target, as flat numbers and as data (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.control.scaling.feed import load_of
from gateway.signals.signals import SCHEMA
from gateway.telemetry.load import SHED_REASONS
from gateway.telemetry.snapshot import LoadSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.control.scaling.feed import Look
    from gateway.control.scaling.record import Record
    from gateway.control.scaling.target import Target


DEPENDENCY_STATES: Final = {"": 0, "upstream_failing": 1, "no_gain": 2, "breaker_open": 3}
"""What the number in ``dependency_state`` means: 0 is well, 3 asks nobody."""


def numbers(target: Target) -> dict[str, float]:
    """Name → finite number: the signals, and what became of them. The same names whatever happens.

    Beside them ``orca_…``, the means of what endpoints say of their own load, when they do.
    """
    scaler, found = target.scaler, target.signals.flat()
    for reason in SHED_REASONS:
        found.setdefault(f"shed_rps_{reason}", 0.0)
    low, high = scaler.band(target.signals)
    present = found["replicas_ready"] + found["replicas_warming"]
    wanted = max((vote.replicas for vote in scaler.votes), default=present)
    found["desired_replicas"] = present if scaler.desired is None else scaler.desired
    found["desired_replicas_lower"] = min(low, found["desired_replicas"])
    found["desired_replicas_upper"] = max(high, found["desired_replicas"])
    found["voted_replicas"] = wanted
    found["scale_out_useful"] = int(not scaler.useless)
    found["dependency_state"] = DEPENDENCY_STATES.get(scaler.dependency, 1)
    found["scaling_frozen"] = int(scaler.frozen_at is not None)
    regret = {"replica_seconds": 0.0, "violations": 0.0} if scaler.shadow is None else scaler.shadow.regret()
    found.update({f"shadow_regret_{name}": value for name, value in regret.items()})
    for name in {name for report in target.reported.values() for name in report}:
        said = [report[name] for report in target.reported.values() if name in report]
        found[f"orca_{name}"] = sum(said) / len(said)
    return found


def target_page(target: Target, generated_at: str) -> dict[str, Any]:
    """One target for GET /v1/signals/{target}; ``signals.NAME`` is a number that any metrics scaler can point into."""
    signals, scaler, view = target.signals, target.scaler, target.actuator.view
    return {
        "schema": SCHEMA,
        "target": target.name,
        "seq": signals.seq,
        "generated_at": generated_at,
        "age_ms": round(signals.signal_age_s * 1000),
        "signals": numbers(target),
        "endpoints": target.reported,
        "scaling": {
            "mode": scaler.mode,
            "actuator": scaler.settings.actuator.kind,
            "reason": scaler.reason,
            "votes": scaler.votes,
            "ceilings": scaler.ceilings,
            "guards": scaler.marks,
            "useless": scaler.useless,
            "dependency": scaler.dependency,
            "under_way": target.asked,
            "picture": target.ages,
            "trial": None if target.trial is None else target.trial.decision.id,
            "owner": view.owner,
            "problem": target.reconciler.problem or view.problem,
        },
    }


def record_page(record: Record) -> dict[str, Any]:
    """One scaling decision for GET /v1/decisions."""
    return {"wall": record.wall, "decision": record.decision, "fate": record.fate}


def queue_page(targets: Iterable[Target], seen: Look | None) -> Mapping[str, Mapping[str, int]]:
    """The counts of an interceptor of KEDA's http-add-on (its ``pkg/queue/queue_counts.go``), by namespace/name.

    ``Concurrency`` is what is there now, waiting or in flight, streams and tunnels too. ``RequestCount`` is how many
    ever arrived, retries included: the add-on divides its growth by the time itself.
    """
    found: dict[str, dict[str, int]] = {}
    for target in targets:
        actuator = target.scaler.settings.actuator
        load = LoadSnapshot() if seen is None else load_of(target.name, seen)
        counts = found.setdefault(
            f"{actuator.namespace}/{actuator.deployment or target.name}", {"Concurrency": 0, "RequestCount": 0}
        )
        counts["Concurrency"] += load.in_flight + load.queued
        counts["RequestCount"] += round(load.first_tries + load.retries)
    return found
