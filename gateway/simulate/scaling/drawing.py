"""Curves as inline SVG that takes its colours from the page around it, so that it is readable in light and dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLOURS: Final = 8
"""Colours that the page has, as ``--c0`` and so on; what was needed has ``--needed``."""
NEEDED: Final = "--needed"
_WIDTH: Final = 720
_HEIGHT: Final = 214
_LEFT: Final = 56
_RIGHT: Final = 10
_TOP: Final = 14
_BOTTOM: Final = 26
_WIDE: Final = _WIDTH - _LEFT - _RIGHT
_TALL: Final = _HEIGHT - _TOP - _BOTTOM
_NICE: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
# steps of the axis of time, in seconds
_STEPS: Final = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)


class Line(NamedTuple):
    """One curve: its name, the page's colour for it, and a value for each step."""

    name: str
    colour: str
    values: Sequence[float]


def plot(title: str, lines: Sequence[Line], step: float, *, is_stair: bool = False, floor: float = 0.0) -> str:
    """One set of axes with all lines; the vertical axis begins at 0 and ends at ``floor`` at least."""
    count = max(len(line.values) for line in lines)
    highest = max((max(line.values) for line in lines if line.values), default=0.0)
    distance, top = _nice_top(max(highest, floor) or 1.0)
    name = escape(title, quote=True)
    parts = [
        f"<figure><figcaption><b>{escape(title)}</b>{_key(lines)}</figcaption>",
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}">',
    ]
    value = 0.0
    while value <= top * 1.0001:
        y = _TOP + _TALL * (1 - value / top)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>'
        )
        value += distance
    parts += _times(count * step)
    for line in reversed(lines):  # the first one lies on top
        points = _stair(line.values, count, top) if is_stair else _points(line.values, count, top)
        mark = ' class="needed"' if line.colour == NEEDED else ""
        parts.append(f'<polyline{mark} points="{points}" style="stroke:var({line.colour})"/>')
    parts.append("</svg></figure>")
    return "".join(parts)


def _key(lines: Sequence[Line]) -> str:
    if len(lines) == 1:
        return ""
    return "".join(f'<span><i style="background:var({line.colour})"></i>{escape(line.name)}</span>' for line in lines)


def _points(values: Sequence[float], count: int, top: float) -> str:
    last = max(count - 1, 1)
    return " ".join(
        f"{_LEFT + _WIDE * place / last:.1f},{_TOP + _TALL * (1 - value / top):.1f}"
        for place, value in enumerate(values)
    )


def _stair(values: Sequence[float], count: int, top: float) -> str:
    """Counts stay as they are until they change; a slope between them would show what never was."""
    points: list[str] = []
    before = None
    for place, value in enumerate(values):
        x, y = _LEFT + _WIDE * place / max(count - 1, 1), _TOP + _TALL * (1 - value / top)
        if before is None or value != before[0]:
            if before is not None:
                points.append(f"{x:.1f},{before[1]:.1f}")
            points.append(f"{x:.1f},{y:.1f}")
            before = (value, y)
    if before is not None:
        points.append(f"{_WIDTH - _RIGHT},{before[1]:.1f}")
    return " ".join(points)


def _times(seconds: float) -> list[str]:
    step = next((each for each in _STEPS if seconds / each <= 8), _STEPS[-1])  # noqa: PLR2004 - marks that fit
    unit, name = (3600, "h") if step >= 3600 else (60, "min") if step >= 60 else (1, "s")  # noqa: PLR2004
    parts, instant = [], 0
    while instant <= seconds:
        x = _LEFT + _WIDE * instant / seconds
        anchor = "end" if x > _WIDTH - 40 else "middle"
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_HEIGHT - _BOTTOM}" y2="{_HEIGHT - _BOTTOM + 4}"/>'
            f'<text x="{x:.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{instant / unit:g} {name}</text>'
        )
        instant += step
    return parts


def _nice_top(highest: float) -> tuple[float, float]:
    """A round distance of marks and the round top above the highest value, three to five marks below it."""
    size = 10.0 ** len(str(int(highest / 4))) / 10 if highest >= 4 else _small(highest / 4)  # noqa: PLR2004
    mark = next(size * nice for nice in _NICE if size * nice >= highest / 4)
    marks = int(highest / mark - 1e-9) + 1
    return mark, mark * marks


def _small(value: float) -> float:
    size = 1.0
    while size > value:
        size /= 10
    return size


def _number(value: float) -> str:
    return f"{value / 1000:g} k" if value >= 10_000 else f"{value:.4g}"  # noqa: PLR2004 - five digits are too wide


def colours(names: Sequence[str]) -> Mapping[str, str]:
    """One colour for each name, the same in every plot."""
    return {name: f"--c{place % COLOURS}" for place, name in enumerate(names)}
