"""What an earlier process left in the ledger, target by target (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.control.scaling.wall import wall_seconds, wall_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


_OPEN: Final = 8
"""Decisions of one target of which it may still be heard that they were carried out."""


class Past(NamedTuple):
    """The last state of one target; walls are seconds since the epoch."""

    serial: int = 0
    """Of its last decision."""
    replicas: int | None = None
    """The number that was carried out last, or that others have set since; not one on trial, or one that failed."""
    frozen_at: float | None = None
    pinned: tuple[int, float] | None = None
    """A number and until when."""


class Pasts:
    """The last state of every target, line by line."""

    def __init__(self) -> None:
        self.states: dict[str, Past] = {}
        self._goals: dict[str, dict[str, int]] = {}  # each target's latest decisions that are to be carried out, by id

    def take(self, record: Mapping[str, object]) -> None:
        """One more line; one that makes no sense changes nothing."""
        target = record.get("target")
        if isinstance(target, str):
            try:
                found = self._after(target, self.states.get(target, Past()), record)
            except (ValueError, TypeError, KeyError, OverflowError):
                return
            self.states[target] = found

    def lines(self) -> Iterator[dict[str, object]]:
        """The state of each target as a line, from which :meth:`take` makes the same again."""
        for target, past in self.states.items():
            yield {
                "kind": "state",
                "target": target,
                "serial": past.serial,
                "replicas": past.replicas,
                "frozen": None if past.frozen_at is None else wall_text(past.frozen_at),
                "pinned": None if past.pinned is None else [past.pinned[0], wall_text(past.pinned[1])],
            }

    def _after(self, target: str, past: Past, record: Mapping[str, object]) -> Past:
        match record.get("kind"):
            case "decision":
                return self._decided(target, past, record)
            case "carried_out":
                return past._replace(replicas=self._goals[target][str(record["id"])])
            case "changed" | "trial" | "called_off" | "given_up":
                return past._replace(replicas=_count(record["replicas"]))
            case "state":
                return _state(record)
            case _:
                return _ordered(past, record)

    def _decided(self, target: str, past: Past, record: Mapping[str, object]) -> Past:
        identity = str(record["id"])
        if record.get("mode") in {"live", "pinned"}:
            goals = self._goals.setdefault(target, {})
            goals[identity] = _count(record["to"])
            if len(goals) > _OPEN:
                del goals[next(iter(goals))]
        return past._replace(serial=max(past.serial, int(identity.rpartition("-")[2])))


def _ordered(past: Past, record: Mapping[str, object]) -> Past:
    match record.get("kind"):
        case "frozen":
            return past._replace(frozen_at=wall_seconds(record["wall"]))
        case "thawed":
            return past._replace(frozen_at=None)
        case "pinned":
            return past._replace(pinned=(_count(record["replicas"]), wall_seconds(record["until"])))
        case "unpinned":
            return past._replace(pinned=None)
        case _:
            return past


def last_states(records: Iterable[Mapping[str, object]]) -> dict[str, Past]:
    """The last state of every target in these records, oldest first."""
    pasts = Pasts()
    for record in records:
        pasts.take(record)
    return pasts.states


def _state(record: Mapping[str, object]) -> Past:
    replicas, frozen, pinned = record["replicas"], record["frozen"], record["pinned"]
    return Past(
        _count(record["serial"]),
        None if replicas is None else _count(replicas),
        None if frozen is None else wall_seconds(frozen),
        None if not isinstance(pinned, list) else (_count(pinned[0]), wall_seconds(pinned[1])),
    )


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        message = f"expected a number of replicas; got {value!r}"
        raise TypeError(message)
    return value
