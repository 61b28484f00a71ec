"""What an endpoint says of its own load, in the response field ``endpoint-load-metrics`` (pure).

The names are those of ORCA, the Open Request Cost Aggregation of xDS (``xds.data.orca.v3.OrcaLoadReport``), as JSON
(``JSON {"cpu_utilization": 0.3}``) or as text (``TEXT cpu_utilization=0.3,named_metrics.queue=5``). The binary form is
passed over. What is wrong is left out: a report is a hint, and its sender may be of any age.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Final

from msgspec import MsgspecError, json

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST: Final = 32
"""Numbers that are kept of one endpoint."""
LONGEST: Final = 16 * 1024
"""Bytes of a report that is read; a longer one is passed over."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}\Z")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])[A-Z]")


def read_report(field: bytes) -> dict[str, float]:
    """The numbers of a field's value by their flat names, such as ``named_metrics.queue``; all finite, none below 0."""
    if len(field) > LONGEST:
        return {}
    text = field.decode("ascii", "replace").strip()
    kind, _, rest = text.partition(" ")
    if kind == "JSON":
        pairs: Iterable[tuple[str, object]] = _of_json(rest)
    elif kind == "TEXT":
        pairs = _of_text(rest)
    else:
        return {}
    found: dict[str, float] = {}
    for name, value in pairs:
        key = _HUMP.sub(lambda hump: "_" + hump[0].lower(), name)
        number = _number(value)
        if number is not None and _NAME.match(key) and len(found) < MOST:
            found[key] = number
    return found


def _of_json(text: str) -> Iterable[tuple[str, object]]:
    try:
        report = json.decode(text)
    except (MsgspecError, RecursionError):  # arrays in arrays, thousands deep
        return
    if isinstance(report, dict):
        for name, value in report.items():
            if isinstance(value, dict):
                yield from ((f"{name}.{inner}", each) for inner, each in value.items())
            else:
                yield name, value


def _of_text(text: str) -> Iterable[tuple[str, object]]:
    for pair in text.split(","):
        name, equals, value = pair.partition("=" if "=" in pair else ":")
        if equals:
            yield name.strip(), value.strip()


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) and number >= 0 else None
