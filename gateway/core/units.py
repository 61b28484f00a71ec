"""Durations, sizes and rates with units, as people write them in configuration files.

Inside the program all are SI: seconds as ``float``, bytes as ``int``, per second as ``float``. The
classes are plain numbers that remember how to read and print themselves.
"""

from __future__ import annotations

import re
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import Self

_DURATIONS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES: Final = {
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_PERIODS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATE: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,3})?)\s*/\s*([smhd])\Z")
# Beyond a million a second the time of one request comes near the precision of a monotonic clock.
_HIGHEST: Final = 1e6
_NUMBER: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([A-Za-z]+)\Z")


class Seconds(float):
    """A length of time in seconds, at least 0."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Seconds:
        """Read ``"500ms"``, ``"1.5s"``, ``"5m"``, ``"1h"`` or ``"2d"``; ValueError otherwise."""
        found = _NUMBER.match(text.strip())
        if found is None or found[2] not in _DURATIONS:
            message = f'expected a duration with a unit, such as "500ms", "30s" or "5m"; got "{text}"'
            raise ValueError(message)
        return cls(float(found[1]) * _DURATIONS[found[2]])

    def __str__(self) -> str:
        """The shortest text that :meth:`parse` reads back as the same length."""
        for unit in ("d", "h", "m", "s"):
            whole = float(self) / _DURATIONS[unit]
            if whole >= 1 and whole == int(whole):
                return f"{int(whole)}{unit}"
        milliseconds = f"{float(self) * 1000:.6f}".rstrip("0").rstrip(".")
        return "0s" if milliseconds == "0" else f"{milliseconds}ms"

    __repr__ = __str__


class AutoSeconds(Seconds):
    """A length of time, or ``auto``: infinite, for what follows from something else."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> AutoSeconds:
        """Read ``"auto"`` or what :meth:`Seconds.parse` reads; ValueError otherwise."""
        return cls(inf) if text == "auto" else cls(Seconds.parse(text))

    @property
    def is_auto(self) -> bool:
        """Whether no length was written."""
        return self == inf

    def __str__(self) -> str:
        """The shortest text that :meth:`parse` reads back."""
        return "auto" if self.is_auto else super().__str__()

    __repr__ = __str__


class Size(int):
    """A number of bytes, at least 0."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read ``"512B"``, ``"64KiB"``, ``"1.5MiB"`` or ``"10MB"``; ValueError otherwise."""
        found = _NUMBER.match(text.strip())
        if found is None or found[2] not in _SIZES:
            message = f'expected a size with a unit, such as "512B", "64KiB" or "10MB"; got "{text}"'
            raise ValueError(message)
        return cls(round(float(found[1]) * _SIZES[found[2]]))

    def __str__(self) -> str:
        """The shortest text that :meth:`parse` reads back as the same size."""
        for unit in ("GiB", "MiB", "KiB"):
            if self and self % _SIZES[unit] == 0:
                return f"{int(self) // _SIZES[unit]}{unit}"
        return f"{int(self)}B"

    __repr__ = __str__


class Rate(float):
    """A number per second, above 0; ``count`` and ``period`` are what was written ("1000/m": 1000 in 60 s)."""

    __slots__ = ("count", "period")

    count: float
    period: float

    def __new__(cls, count: float, period: float = 1.0) -> Self:
        """``count`` in each ``period`` of seconds."""
        rate = super().__new__(cls, count / period)
        rate.count = count
        rate.period = period
        return rate

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read ``"50/s"``, ``"1000/m"``, ``"10/h"`` or ``"2.5/s"``; ValueError otherwise."""
        found = _RATE.match(text.strip())
        count = float(found[1]) if found else 0.0
        if found is None or not 0 < count / _PERIODS[found[2]] <= _HIGHEST:
            message = f'expected a rate above 0 and up to 1000000/s, such as "50/s", "1000/m" or "10/h"; got "{text}"'
            raise ValueError(message)
        return cls(count, _PERIODS[found[2]])

    def __str__(self) -> str:
        """What was written, in its shortest form."""
        unit = next(unit for unit, period in _PERIODS.items() if period == self.period)
        return f"{self.count:.3f}".rstrip("0").rstrip(".") + f"/{unit}"

    __repr__ = __str__
