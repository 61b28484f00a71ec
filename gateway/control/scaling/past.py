"""What an earlier process left in the ledger, target by target (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.control.scaling.ledger import wall_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Past(NamedTuple):
    """The last state of one target; walls are seconds since the epoch."""

    serial: int = 0
    """Of its last decision."""
    replicas: int | None = None
    """The last number that was really asked for."""
    frozen_at: float | None = None
    pinned: tuple[int, float] | None = None
    """A number and until when."""


def last_states(records: Iterable[Mapping[str, object]]) -> dict[str, Past]:
    """The last state of every target in these records, oldest first; records that make no sense change nothing."""
    found: dict[str, Past] = {}
    for record in records:
        target = record.get("target")
        if isinstance(target, str):
            try:
                found[target] = _after(found.get(target, Past()), record)
            except (ValueError, TypeError, KeyError):
                continue
    return found


def _after(past: Past, record: Mapping[str, object]) -> Past:
    kind = record.get("kind")
    if kind == "decision":
        serial = int(str(record["id"]).rpartition("-")[2])
        past = past._replace(serial=max(past.serial, serial))
        if record.get("mode") in {"live", "pinned"}:
            past = past._replace(replicas=_count(record["to"]))
    elif kind in {"called_off", "given_up"}:
        past = past._replace(replicas=_count(record["replicas"]))
    elif kind == "frozen":
        past = past._replace(frozen_at=wall_seconds(record["wall"]))
    elif kind == "thawed":
        past = past._replace(frozen_at=None)
    elif kind == "pinned":
        past = past._replace(pinned=(_count(record["replicas"]), wall_seconds(record["until"])))
    elif kind == "unpinned":
        past = past._replace(pinned=None)
    return past


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        message = f"expected a number of replicas; got {value!r}"
        raise TypeError(message)
    return value
