"""Texts of the configuration as regular expressions of ECMA 262, in which JSON Schema has its patterns (pure).

They say what the parser says (:mod:`gateway.core.units`, :mod:`gateway.config.formats`), as far as an expression can. A
text with a variable is right, for nobody knows what it will be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.config.formats import EXPRESSIONS
from gateway.core.units import AutoSeconds, Rate, Size

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = r"\$\{"
_DAYS: Final = 365
_DURATIONS: Final = {"ms": _DAYS * 86_400_000, "s": _DAYS * 86_400, "m": _DAYS * 1440, "h": _DAYS * 24, "d": _DAYS}
_BYTES: Final = 2**53
_SIZES: Final = {
    unit: _BYTES // size
    for unit, size in (
        *(("B", 1), ("kB", 10**3), ("MB", 10**6), ("GB", 10**9)),
        *(("KiB", 2**10), ("MiB", 2**20), ("GiB", 2**30)),
    )
}
_RATES: Final = {"s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86_400 * 10**6}
_NOT_ZERO: Final = "(?=[^1-9]*[1-9])"


def of_quantity(kind: type, *, may_be_zero: bool) -> str:
    """The pattern of a duration, a size or a rate within its bounds."""
    if kind is Rate:
        found = _quantity(_RATES, 12, 3, r"\s*/\s*")
    elif kind is Size:
        found = _quantity(_SIZES, 18, 9, r"\s*")
    else:
        found = _quantity(_DURATIONS, 18, 9, r"\s*")
    sign = "" if may_be_zero else _NOT_ZERO
    auto = "^auto$|" if kind is AutoSeconds else ""
    return rf"{auto}^\s*{sign}(?:{found})\s*$|{VARIABLE}"


def of_format(name: str) -> str | None:
    """The pattern of a text in this format; None where no expression says it."""
    found = EXPRESSIONS.get(name)
    if found is None:
        return None
    return rf"^(?:{found.pattern})$|{VARIABLE}".replace(r"\Z", "")


def _quantity(units: Mapping[str, int], digits: int, places: int, between: str) -> str:
    fraction = rf"(?:\.[0-9]{{1,{places}}})?"
    none = rf"(?:\.0{{1,{places}}})?"
    parts = []
    for unit, most in units.items():
        zeros = f"0{{0,{digits - len(str(most))}}}"
        parts.append(f"{zeros}(?:(?:{_below(most)}){fraction}|{most}{none}){between}{unit}")
    return "|".join(parts)


def _below(most: int) -> str:
    """Whole numbers below ``most``, with leading zeros or without."""
    text = str(most)
    parts = [f"[0-9]{{1,{len(text) - 1}}}"] if len(text) > 1 else []
    for place, digit in enumerate(text):
        if digit != "0":
            rest = len(text) - place - 1
            parts.append(f"{text[:place]}[0-{int(digit) - 1}]" + (f"[0-9]{{{rest}}}" if rest else ""))
    return "|".join(parts)
