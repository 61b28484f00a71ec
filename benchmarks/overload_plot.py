"""Goodput and the 99th percentile over time, a line for each proxy, as plain SVG.

One row of two charts for each scenario. The value at an instant is the mean of the rounds for goodput and their
median for latency; marks say when load or service changed. Latency is drawn on a logarithmic axis.
"""

from __future__ import annotations

import math
from html import escape
from statistics import fmean, median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.overload_figures import timeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.overload_scenarios import Scenario
    from benchmarks.overload_trial import Trial

_STEP = 0.5
_WIDTH, _HEIGHT = 430, 170
_LEFT, _TOP, _GAP = 60, 70, 60
_LOWEST, _HIGHEST = 0.005, 1.0
# ours first; told apart also by those who do not see red and green as two colours (Okabe & Ito 2008)
_COLOURS = ("#d55e00", "#999999", "#0072b2", "#56b4e9", "#009e73", "#cc79a7", "#e6a000")

Point = tuple[float, float | None]


class _Chart(NamedTuple):
    left: float
    top: float
    seconds: float
    lowest: float
    highest: float
    is_logarithmic: bool

    def x(self, second: float) -> float:
        return self.left + _WIDTH * second / self.seconds

    def y(self, value: float) -> float:
        low, high = self.lowest, self.highest
        value = min(max(value, low), high)
        part = math.log(value / low) / math.log(high / low) if self.is_logarithmic else (value - low) / (high - low)
        return self.top + _HEIGHT * (1 - part)


def draw(stories: Sequence[tuple[Scenario, Sequence[Trial]]], names: Sequence[str]) -> str:
    """The picture of all trials."""
    width = 2 * (_LEFT + _WIDTH) + 20
    height = _TOP + len(stories) * (_HEIGHT + _GAP)
    font = 'font-family="sans-serif" font-size="11"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {font}>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *_legend(names),
    ]
    for number, (scenario, trials) in enumerate(stories):
        parts += _row(scenario, trials, names, _TOP + number * (_HEIGHT + _GAP))
    return "\n".join([*parts, "</svg>", ""])


def _legend(names: Sequence[str]) -> Iterator[str]:
    for number, name in enumerate(names):
        x = _LEFT + number * 120
        yield f'<path d="M{x} 16h22" stroke="{_colour(number)}" stroke-width="{_weight(number)}"/>'
        yield f'<text x="{x + 27}" y="20">{escape(name)}</text>'


def _row(scenario: Scenario, trials: Sequence[Trial], names: Sequence[str], top: float) -> Iterator[str]:
    goodput, latency = {}, {}
    for name in names:
        rounds = [timeline(trial.seen, _STEP, scenario.seconds) for trial in trials if trial.peer == name]
        if rounds:
            columns = list(zip(*rounds, strict=True))
            goodput[name] = [fmean(each.goodput for each in column) for column in columns]
            latency[name] = [_median([each.quantile(0.99) for each in column]) for column in columns]
    most = max((value for line in goodput.values() for value in line), default=1.0)
    left = _Chart(_LEFT, top, scenario.seconds, 0, math.ceil(max(most, 1) / 100) * 100, is_logarithmic=False)
    right = _Chart(2 * _LEFT + _WIDTH, top, scenario.seconds, _LOWEST, _HIGHEST, is_logarithmic=True)
    yield f'<text x="{_LEFT}" y="{top - 24}" font-weight="bold">{escape(scenario.title)}</text>'
    yield from _frame(left, scenario, "goodput, 1/s", [(v, f"{v:g}") for v in _ticks(left.highest)])
    marks = [(0.01, "10 ms"), (0.03, "30 ms"), (0.1, "100 ms"), (0.3, "300 ms"), (1.0, "1 s")]
    yield from _frame(right, scenario, "p99 of the served", marks)
    for number in reversed(range(len(names))):  # ours last, above the others
        if names[number] in goodput:
            yield _line(left, goodput[names[number]], number)
            yield _line(right, latency[names[number]], number)


def _frame(chart: _Chart, scenario: Scenario, label: str, marks: Sequence[tuple[float, str]]) -> Iterator[str]:
    yield f'<text x="{chart.left}" y="{chart.top - 8}" fill="#666">{escape(label)}</text>'
    for value, text in marks:
        y = chart.y(value)
        yield f'<path d="M{chart.left} {y:.1f}h{_WIDTH}" stroke="#e4e4e4"/>'
        yield f'<text x="{chart.left - 5}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    for second in range(0, int(scenario.seconds) + 1, 5 if scenario.seconds > 12 else 2):
        yield f'<text x="{chart.x(second):.1f}" y="{chart.top + _HEIGHT + 14}" text-anchor="middle">{second} s</text>'
    for instant in _turns(scenario):
        yield f'<path d="M{chart.x(instant):.1f} {chart.top}v{_HEIGHT}" stroke="#888" stroke-dasharray="2 3"/>'


def _turns(scenario: Scenario) -> list[float]:
    """The instants at which load or service change."""
    ends: list[float] = []
    end = 0.0
    for phase in scenario.clients.phases[:-1]:
        end += phase.seconds
        ends.append(end)
    return ends + [change.at for change in scenario.changes]


def _line(chart: _Chart, values: Sequence[float | None], number: int) -> str:
    path, pen = [], "M"
    for index, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        path.append(f"{pen}{chart.x((index + 0.5) * _STEP):.1f} {chart.y(value):.1f}")
        pen = "L"
    return f'<path d="{"".join(path)}" fill="none" stroke="{_colour(number)}" stroke-width="{_weight(number)}"/>'


def _ticks(highest: float) -> list[float]:
    step = 100 if highest <= 600 else 200 if highest <= 1200 else 1000
    return [float(value) for value in range(0, int(highest) + 1, step)]


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _weight(number: int) -> float:
    return 1.4 if number else 2.4
