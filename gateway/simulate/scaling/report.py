"""An HTML page about stories: what was simulated, a table, and curves for each; nothing from outside.

Every cell with a figure has the whole of it in ``data-value``, so that the page can be checked against the data.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.simulate.scaling.drawing import NEEDED, Line, colours, plot

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.simulate.scaling.measures import Measures
    from gateway.simulate.scaling.story import Ending
    from gateway.simulate.scaling.study import Study

_STYLE: Final = """
:root{color-scheme:light dark;--page:#fff;--text:#1c2430;--soft:#5b6675;--line:#dde2e9;--band:#f5f7fa;--needed:#1c2430;
--bad:#b42318;--good:#157347;--c0:#0b66c3;--c1:#c2410c;--c2:#15803d;--c3:#8b2fc9;--c4:#a16207;--c5:#0e7490;--c6:#be185d;
--c7:#64748b}
@media(prefers-color-scheme:dark){:root{--page:#12161c;--text:#e4e9f0;--soft:#9aa6b5;--line:#2c3440;--band:#1a2029;
--needed:#e4e9f0;--bad:#ff8a7a;--good:#5fd39a;--c0:#5aa9ff;--c1:#ff9256;--c2:#52c47c;--c3:#c58bff;--c4:#e0b040;
--c5:#4cc3d9;--c6:#ff7eb6;--c7:#a3b1c2}}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1040px;padding:1.2rem 1rem 3rem;
color:var(--text);background:var(--page)}h1{font-size:1.5rem;line-height:1.25;margin:.4rem 0 .8rem}
h2{font-size:1.15rem;margin:2rem 0 .4rem}p{margin:.4rem 0}ul{margin:.4rem 0;padding-left:1.2rem}
.wide{overflow-x:auto;margin:.8rem 0 1.2rem}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{font-weight:600;color:var(--soft);font-size:.86rem}th:first-child,td:first-child{text-align:left;position:sticky;
left:0;background:var(--page)}.words td{white-space:normal;text-align:left}dl{display:grid;gap:.5rem;margin:.8rem 0;
grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr))}dl div{background:var(--band);border-radius:8px;
padding:.5rem .75rem}dt{color:var(--soft);font-size:.82rem}dd{margin:0;font-weight:600;overflow-wrap:anywhere}
figure{margin:1.1rem 0 0}figcaption{display:flex;flex-wrap:wrap;gap:.1rem 1rem;font-size:.92rem}
figcaption span{color:var(--soft)}figcaption i{display:inline-block;width:1.2rem;height:3px;margin-right:.35rem;
vertical-align:middle;border-radius:2px}svg{display:block;width:100%;height:auto;min-width:0}
svg text{fill:var(--soft);font-size:10px}svg .grid{stroke:var(--line)}svg polyline{fill:none;stroke-width:1.5;
stroke-linejoin:round}
svg .needed{stroke-dasharray:4 3;stroke-width:1.2}.no{color:var(--bad);font-weight:600}.yes{color:var(--good)}
@media(max-width:600px){svg text{font-size:17px}svg polyline{stroke-width:2}}
"""


class Column(NamedTuple):
    """A column of the table of measures: its head, which measure, and how it is written."""

    head: str
    measure: str
    form: str


COLUMNS: Final = (
    Column("violations, %", "violations", ".3f"),
    Column("shed, %", "shed", ".3f"),
    Column("cost ÷ oracle", "cost", ".2f"),
    Column("replica hours", "replica_hours", ".1f"),
    Column("operations/day", "operations", ".0f"),
    Column("flips/day", "flips", ".0f"),
    Column("peak", "peak", "d"),
)


def study_page(study: Study) -> str:
    """The page of one study."""
    facts = {
        "trace": study.trace,
        "length": _length(study.seconds),
        "requests": f"{study.requests:,}",
        "busiest second": f"{study.highest_rate:,.0f} requests",
        "the oracle needs": f"up to {study.needed} replicas",
        "replicas": f"{study.site.least} to {study.site.most}"
        + (f", {study.site.standby} on standby" if study.site.standby else ""),
        "one replica": f"{study.site.slots} slots, {study.site.work.mean:g} s {study.site.work.name}",
        "cold start": f"{study.site.cold_start:g} s",
        "objective": f"wait ≤ {study.site.wait:g} s for {100 * (1 - study.site.risk):g} %",
        "seed": str(study.seed),
    }
    parts = ["<dl>"]
    parts += [f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items()]
    parts.append("</dl>")
    if study.differences:
        parts += [
            "<h2>What would change</h2><ul>",
            *(f"<li>{escape(each)}</li>" for each in study.differences),
            "</ul>",
        ]
    parts += [_measures(study.endings), _drawings(study.endings)]
    if study.notes:
        parts += ["<h2>What was assumed</h2><ul>", *(f"<li>{escape(each)}</li>" for each in study.notes), "</ul>"]
    parts.append(f"<p>{escape(_TRUST)}</p>")
    return _whole(study.title, parts)


_TRUST: Final = (
    "Cost is of replica time paid for, as a multiple of what an oracle pays that knows every ten seconds ahead and "
    "changes for nothing. A violation is a request that waited longer than the objective or was shed. The pool is a "
    "fluid in steps of a second: the order of the policies should hold elsewhere, the figures need not."
)


def page(title: str, note: str, stories: Mapping[str, Sequence[Ending]], rows: Sequence[Sequence[str]] = ()) -> str:
    """A page of several stories; ``rows`` is a table to put first, its first row the head."""
    parts = [f"<p>{escape(note)}</p>"]
    if rows:
        parts.append(_table(rows))
    for name, endings in stories.items():
        parts += [f"<h2>{escape(name)}</h2>", _measures(endings), _drawings(endings)]
    return _whole(title, parts)


def _whole(title: str, parts: Sequence[str]) -> str:
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>",
            *parts,
            "</body></html>\n",
        )
    )


def cells(measures: Measures) -> list[str]:
    """The figures of one policy as they are written in tables."""
    return [format(getattr(measures, column.measure), column.form) for column in COLUMNS]


def _measures(endings: Sequence[Ending]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in ("policy", *(column.head for column in COLUMNS)))
    rows = []
    for ending in endings:
        figures = "".join(
            f'<td data-value="{float(getattr(ending.measures, column.measure))!r}">{text}</td>'
            for column, text in zip(COLUMNS, cells(ending.measures), strict=True)
        )
        rows.append(f"<tr><td>{escape(ending.policy)}</td>{figures}</tr>")
    return f'<div class="wide"><table class="measures"><tr>{head}</tr>{"".join(rows)}</table></div>'


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows[1:])
    return f'<div class="wide"><table class="words"><tr>{head}</tr>{body}</table></div>'


def _cell(text: str) -> str:
    mark = {"NO": ' class="no"', "yes": ' class="yes"'}.get(text, "")
    return f"<td{mark}>{escape(text)}</td>"


def _drawings(endings: Sequence[Ending]) -> str:
    drawn = {ending.policy: ending.curves for ending in endings if ending.curves is not None}
    if not drawn:
        return ""
    first = next(iter(drawn.values()))
    colour = colours(list(drawn))
    step = first.step

    def lines(name: str) -> list[Line]:
        return [Line(policy, colour[policy], getattr(curves, name)) for policy, curves in drawn.items()]

    each = f"each {step:g} s"
    # the policy "oracle" is one cold start early; this is what it follows
    best = Line("needed", NEEDED, first.best)
    return "".join(
        (
            plot("arrivals, per second", [Line("arrivals", "--c0", first.arrivals)], step),
            plot("replicas paid for", [*lines("replicas"), best], step, is_stair=True),
            plot(f"longest queue delay, seconds, {each}", lines("wait"), step, floor=0.1),
            plot(f"violations, requests, {each}", lines("violations"), step),
            plot("cost so far, replica hours", lines("cost"), step),
        )
    )


def _length(seconds: int) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds} seconds"
