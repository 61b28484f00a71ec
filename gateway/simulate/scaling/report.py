"""An HTML page about stories: a table, and for each story its curves as inline SVG; nothing from outside."""

from __future__ import annotations

from html import escape
from itertools import cycle
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.simulate.scaling.story import Ending

_COLOURS: Final = ("#0b6bcb", "#c2410c", "#15803d", "#7e22ce", "#b45309", "#0e7490", "#be123c", "#4b5563")
_WIDTH: Final = 960
_HEIGHT: Final = 170
_LEFT: Final = 62
_BOTTOM: Final = 22
_STYLE: Final = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:1060px;padding:0 1rem;color:#1f2937;background:#fff}
table{border-collapse:collapse;margin:.6rem 0 1.4rem}th,td{padding:.25rem .7rem;border-bottom:1px solid #e5e7eb;
text-align:right;white-space:nowrap}th:first-child,td:first-child{text-align:left}h2{margin-top:2.4rem}
h3{margin:1.2rem 0 .2rem;font-size:1rem}svg{display:block;width:100%;height:auto}.key span{margin-right:1.1rem}
.key i{display:inline-block;width:1.4rem;height:3px;margin-right:.35rem;vertical-align:middle}
.no{color:#b91c1c;font-weight:600}.yes{color:#15803d}
"""


def page(title: str, note: str, stories: Mapping[str, Sequence[Ending]], rows: Sequence[Sequence[str]] = ()) -> str:
    """The whole page; ``rows`` is a table to put first, its first row the head."""
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1><p>{escape(note)}</p>",
    ]
    if rows:
        parts.append(_table(rows))
    for name, endings in stories.items():
        parts += [f"<h2>{escape(name)}</h2>", _table(_measures(endings)), _drawings(endings)]
    parts.append("</body></html>\n")
    return "".join(parts)


def _measures(endings: Sequence[Ending]) -> list[list[str]]:
    rows = [["policy", "violations, %", "shed, %", "cost ÷ oracle", "operations/day", "flips/day", "peak"]]
    for ending in endings:
        found = ending.measures
        rows.append(
            [
                ending.policy,
                f"{found.violations:.3f}",
                f"{found.shed:.3f}",
                f"{found.cost:.2f}",
                f"{found.operations:.0f}",
                f"{found.flips:.1f}",
                str(found.peak),
            ]
        )
    return rows


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows[1:])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    mark = {"NO": ' class="no"', "yes": ' class="yes"'}.get(text, "")
    return f"<td{mark}>{escape(text)}</td>"


def _drawings(endings: Sequence[Ending]) -> str:
    drawn = [(ending.policy, ending.curves) for ending in endings if ending.curves is not None]
    if not drawn:
        return ""
    first = drawn[0][1]
    replicas = {"oracle": first.best} | {name: curves.replicas for name, curves in drawn}
    return "".join(
        (
            _plot("arrivals, per second", {"arrivals": first.arrivals}, first.step),
            _plot("replicas paid for", replicas, first.step),
            _plot("highest queue delay, seconds", {name: each.wait for name, each in drawn}, first.step),
            _plot("violations, per second", {name: each.violations for name, each in drawn}, first.step),
            _plot("cost so far, replica hours", {name: each.cost for name, each in drawn}, first.step),
        )
    )


def _plot(title: str, lines: Mapping[str, Sequence[float]], step: float) -> str:
    """One set of axes with a line for each name; the vertical axis begins at 0."""
    highest = max((max(values) for values in lines.values() if values), default=0.0) or 1.0
    count = max(len(values) for values in lines.values())
    wide, tall = _WIDTH - _LEFT - 8, _HEIGHT - _BOTTOM - 8
    parts = [f'<h3>{escape(title)}</h3><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">']
    for share in (0.0, 0.5, 1.0):
        y = 8 + tall * (1 - share)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" font-size="11" text-anchor="end" fill="#4b5563">'
            f"{highest * share:.4g}</text>"
        )
    hours = count * step / 3600
    for part in range(5):
        x = _LEFT + wide * part / 4
        anchor = "end" if part == 4 else "middle"  # noqa: PLR2004 - the last of five
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - 6}" font-size="11" text-anchor="{anchor}" fill="#4b5563">'
            f"{hours * part / 4:.3g} h</text>"
        )
    key = []
    # a policy has one colour in every plot, whether the oracle is drawn beside it or not
    colours = dict(zip((name for name in lines if name != "oracle"), cycle(_COLOURS), strict=False))
    for name, values in lines.items():
        colour = colours.get(name, "#111827")
        points = " ".join(
            f"{_LEFT + wide * place / max(count - 1, 1):.1f},{8 + tall * (1 - value / highest):.1f}"
            for place, value in enumerate(values)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
        key.append(f'<span><i style="background:{colour}"></i>{escape(name)}</span>')
    return "".join(parts) + "</svg>" + f'<div class="key">{"".join(key)}</div>'
