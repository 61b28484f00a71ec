"""A decision told in words: who wanted it, who tamed it, what it should bring and what became of it (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import ValidationError, convert

from gateway.control.scaling.record import Event, Record
from gateway.scaling.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_ANALYZERS: Final = {
    "demand": "the offered load, what chance needs beside it, and its usual growth",
    "backlog": "the queue, drained in a second",
    "trend": "the forecast for when a new replica would be ready",
    "burn": "the objective is being missed",
    "dependency": "something that all replicas lean on",
    "cost": "the hourly budget",
    "gateway": "the gateway itself is full",
}
_GUARDS: Final = {
    "min_max": "the bounds",
    "steps": "the longest step",
    "starts": "the most starts at once",
    "machine": "memory and processors of the machine",
    "budget": "the budget",
    "dependency": "scaling out would not help",
    "calm": "scaling in needs a calm target and fresh numbers",
    "pause": "none by hand is a pause",
    "freeze": "a freeze or a pin",
    "owner": "somebody else scales this target",
}
_MODES: Final = {
    "live": "live: it was to be carried out",
    "pinned": "pinned: the number that somebody chose",
    "shadow": "shadow: nothing was to change",
}
_EVENTS: Final = {
    "trial": "was tried first",
    "trial_passed": "the trial passed",
    "called_off": "was called off",
    "carried_out": "was carried out",
    "failed": "failed",
    "not_realised": "has not come about",
    "given_up": "was given up",
    "superseded": "gave way",
    "undone": "was undone",
    "confirmed": "was confirmed",
}


def story(record: Record) -> Iterator[tuple[str, str]]:
    """Label and text, line by line."""
    decision = record.decision
    word = "out" if decision.after > decision.before else "in"
    yield "decision", f"{decision.id}: scale {decision.target} {word}, {decision.before} -> {decision.after} replicas"
    yield "when", record.wall
    yield "because", decision.reason
    yield "mode", _MODES.get(decision.mode, decision.mode)
    for vote in decision.votes:
        said = f"{vote.replicas} ({vote.reason})"
        if vote.kind == "ceiling":
            yield f"at most, {vote.analyzer}", f"{said}: {_ANALYZERS.get(vote.analyzer, '')}"
        else:
            yield f"wanted by {vote.analyzer}", f"{said}: {_ANALYZERS.get(vote.analyzer, '')}"
    for mark in decision.guards:
        yield f"guard {mark.guard}", f"{mark.before} -> {mark.after} ({mark.reason}): {_GUARDS.get(mark.guard, '')}"
    expected = decision.expected
    within = max(expected.by - decision.t, 0.0)
    yield "expected", f"{expected.need:.1f} slots, {expected.slots:.1f} for each replica, within {within:.0f} s"
    yield "served before", f"{expected.throughput:.1f} requests/s"
    if decision.undoes:
        yield "undoes", decision.undoes
    for event in record.fate:
        yield _EVENTS.get(event.event, event.event), f"{event.wall} {event.detail}".rstrip()
    if not record.fate and decision.mode == "shadow":
        yield "became", "nothing, which is what shadow means"
    elif not record.fate:
        yield "became", "nothing yet"


def from_ledger(identity: str, records: Iterable[Mapping[str, object]]) -> Record | None:
    """The decision with this id and what became of it, from a ledger's records; None when it is not there."""
    found: Record | None = None
    for line in records:
        if line.get("id") != identity:
            continue
        if line.get("kind") == "decision":
            try:
                found = Record(str(line["wall"]), convert(line, Decision))
            except (ValidationError, KeyError):
                continue
        elif found is not None:
            found.fate.append(Event(str(line.get("wall", "")), str(line.get("kind", "")), str(line.get("detail", ""))))
    return found
