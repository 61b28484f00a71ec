"""What is asked for, and what we answer: numbers in, numbers out (pure).

A trigger's metadata: ``target``, the upstream (may be left out where there is one only); ``metric``, one name or
several with commas, ``wanted_slots`` by default; ``targetSize``, how much of it one replica shall have; ``activation``,
above which offered requests per second, requests in flight, open streams or queued requests count as activity, 0 by
default.
"""

from __future__ import annotations

from difflib import get_close_matches
from math import ceil, floor, isfinite
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from gateway.keda.messages import Amount

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

WANTED: Final = "wanted_slots"
"""demand_slots + backlog_slots: an autoscaler takes the highest of several metrics, and these two want to be added."""
SHARE: Final = 0.9
"""Of a replica's slots; an autoscaler does nothing about the last tenth (its tolerance)."""
_ACTIVITY: Final = ("offered_rps", "inflight", "streams", "queued")
_LARGEST: Final = 1e12
_KEYS: Final = frozenset({"target", "metric", "targetSize", "activation"})
# what KEDA itself reads from a trigger's metadata and hands on
_KEDA: Final = frozenset({"scalerAddress", "enableTLS", "unsafeSsl", "tlsCertFile", "metricType"})

Why = Literal["not_found", "invalid", "unavailable"]


class Unanswerable(Exception):
    """A question without an answer, and whose turn it is: the asker's (not_found, invalid), or time's (unavailable)."""

    def __init__(self, why: Why, detail: str) -> None:
        super().__init__(detail)
        self.why: Why = why
        self.detail = detail


class Wanted(Struct, frozen=True):
    """What one trigger asks for."""

    target: str
    metrics: tuple[str, ...] = (WANTED,)
    size: float | None = None
    activation: float = 0.0


def read_wanted(metadata: Mapping[str, str], targets: Collection[str]) -> Wanted:
    """What a trigger's metadata mean; raises :class:`Unanswerable`."""
    for key in metadata:
        close = get_close_matches(key, _KEYS, 1)
        if key not in _KEYS and key not in _KEDA and close:
            raise Unanswerable("invalid", f'unknown key "{key}"; did you mean "{close[0]}"?')
    target = metadata.get("target") or _only(targets)
    if target not in targets:
        known = ", ".join(sorted(targets)) or "none"
        raise Unanswerable("not_found", f'no target "{target}" is scaled here; there is {known}')
    names = tuple(name for each in metadata.get("metric", "").split(",") if (name := each.strip()))
    size = metadata.get("targetSize", "")
    return Wanted(
        target,
        names or (WANTED,),
        _number("targetSize", size, above=0.0) if size else None,
        _number("activation", metadata.get("activation") or "0"),
    )


def _only(targets: Collection[str]) -> str:
    if len(targets) == 1:
        return next(iter(targets))
    raise Unanswerable("invalid", f'name one of {", ".join(sorted(targets)) or "none"} as "target"')


def _number(key: str, text: str, above: float | None = None) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 <= number <= _LARGEST or number == above:
        rule = "a number above 0" if above is not None else "a number of at least 0"
        raise Unanswerable("invalid", f'"{key}" must be {rule}; got "{text}"')
    return number


def is_valid(flat: Mapping[str, float] | None) -> bool:
    """Whether these signals may be acted on."""
    return flat is not None and flat.get("signal_valid", 0) == 1


def is_active(wanted: Wanted, flat: Mapping[str, float] | None) -> bool:
    """Whether there is anything to do; true while nobody knows, or the last replica would go for want of data."""
    if flat is None or not is_valid(flat):
        return True
    return any(not flat.get(name, float("nan")) <= wanted.activation for name in _ACTIVITY)


def values(wanted: Wanted, flat: Mapping[str, float] | None, metric: str = "") -> tuple[Amount, ...]:
    """How much of each metric there is; an empty ``metric`` means all that the trigger names."""
    if metric and metric not in wanted.metrics:
        raise Unanswerable("not_found", f'no metric "{metric}" here; there is {", ".join(wanted.metrics)}')
    if flat is None or not is_valid(flat):
        age = "" if flat is None else f"; they are {flat.get('signal_age_s', 0.0):.0f} s old"
        raise Unanswerable("unavailable", f'there are no valid signals of "{wanted.target}" now{age}')
    return tuple(_value(name, flat) for name in ((metric,) if metric else wanted.metrics))


def _value(name: str, flat: Mapping[str, float]) -> Amount:
    found = flat["demand_slots"] + flat["backlog_slots"] if name == WANTED else _signal(name, flat)
    if not isfinite(found):
        raise Unanswerable("unavailable", f'"{name}" is not known now')
    amount = min(max(0.0, found), _LARGEST)
    return Amount(name, amount, ceil(amount))


def _signal(name: str, flat: Mapping[str, float]) -> float:
    if name not in flat:
        close = get_close_matches(name, [WANTED, *flat], 1)
        hint = f'; did you mean "{close[0]}"?' if close else ""
        raise Unanswerable("invalid", f'there is no signal "{name}"{hint}')
    return flat[name]


def sizes(wanted: Wanted, flat: Mapping[str, float] | None, slots: float | None) -> tuple[Amount, ...]:
    """How much of each metric one replica shall have; ``slots`` is K as announced, None while it is unknown."""
    return tuple(_size(wanted, name, flat, slots) for name in wanted.metrics)


def _size(wanted: Wanted, name: str, flat: Mapping[str, float] | None, slots: float | None) -> Amount:
    if name != WANTED and flat is not None:
        _signal(name, flat)
    if wanted.size is not None:
        size = wanted.size
    elif name.endswith("_slots"):
        if slots is None:
            detail = f'the slots of a replica of "{wanted.target}" are not known yet; "targetSize" would say them'
            raise Unanswerable("unavailable", detail)
        size = SHARE * slots
    elif name == "desired_replicas" or name.startswith("replicas_"):
        size = 1.0
    else:
        raise Unanswerable("invalid", f'"{name}" needs a "targetSize": how much of it one replica shall have')
    return Amount(name, size, max(1, floor(size)))
