"""A drill as it happens: a picture for a terminal, or one line a second for a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gateway.drill.shape import phase_at
from gateway.drill.watch import STATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from gateway.drill.drill import Drill
    from gateway.drill.tally import Present

_BARS: Final = " ▁▂▃▄▅▆▇█"
_SHOWN: Final = 6
_WORDS: Final = 5


class Screen:
    """Draws one drill; remembers the last minute for its small curves."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill
        self._offered: list[float] = []
        self._served: list[float] = []
        self._second = -1

    def picture(self) -> RenderableType:
        """All of it at this moment."""
        drill = self._drill
        now = drill.elapsed
        present = drill.tally.present(now)
        if int(now) > self._second:
            self._second = int(now)
            self._offered = [*self._offered[-59:], present.offered]
            self._served = [*self._served[-59:], present.served]
        phase = phase_at(drill.load, now)
        title = f"{drill.url}  {phase.name}, {phase.rate(min(now, phase.end)):.0f}/s wanted"
        return Panel(
            Group(
                self._progress(now),
                self._figures(present),
                self._curves(),
                self._refusals(),
                self._replicas(),
                self._decisions(),
            ),
            title=title,
            title_align="left",
            subtitle=f"{now:.0f} of {drill.load[-1].end:.0f} s, Ctrl-C ends it",
        )

    def line(self) -> str:
        """One line for a log."""
        drill = self._drill
        now = drill.elapsed
        present = drill.tally.present(now)
        parts = [
            f"{now:5.1f}s {phase_at(drill.load, now).name:<5}",
            f"offered={present.offered:.0f}/s served={present.served:.0f}/s refused={present.refused:.0f}/s",
            f"failed={present.failed:.0f}/s p50={1000 * present.p50:.0f}ms p99={1000 * present.p99:.0f}ms",
        ]
        signals = drill.signals
        if signals:
            parts.append(f"limit={signals.get('limit', 0):.0f} queued={signals.get('queued', 0):.0f}")
            replicas = [f"{state}:{signals.get(f'replicas_{state}', 0):.0f}" for state in STATES]
            parts.append("replicas=" + ",".join(each for each in replicas if not each.endswith(":0")))
        if drill.decisions:
            newest = drill.decisions[0]
            parts.append(f"decision={newest.id}:{newest.before}->{newest.after}:{newest.reason}")
        return "  ".join(parts)

    def _progress(self, now: float) -> Table:
        # a bar ends no line, a row does
        table = Table.grid(expand=True)
        end = self._drill.load[-1].end
        table.add_row(ProgressBar(total=end, completed=min(now, end)))
        return table

    def _figures(self, present: Present) -> Table:
        table = Table.grid(padding=(0, 3))
        signals = self._drill.signals
        table.add_row(
            _pair("offered", f"{present.offered:.0f}/s"),
            _pair("goodput", f"{present.served:.0f}/s", "green"),
            _pair("refused", f"{present.refused:.0f}/s", "yellow" if present.refused else "dim"),
            _pair("failed", f"{present.failed:.0f}/s", "bold red" if present.failed else "dim"),
            _pair("p50", f"{1000 * present.p50:.0f} ms"),
            _pair("p99", f"{1000 * present.p99:.0f} ms"),
            _pair("limit", f"{signals['limit']:.0f}" if "limit" in signals else "?"),
            _pair("queued", f"{signals['queued']:.0f}" if "queued" in signals else "?"),
        )
        return table

    def _curves(self) -> Table:
        top = max((*self._offered, *self._served, 1.0))
        table = Table.grid(padding=(0, 1))
        table.add_row(Text("offered", "dim"), Text(_bars(self._offered, top)))
        table.add_row(Text("goodput", "dim"), Text(_bars(self._served, top), "green"))
        return table

    def _refusals(self) -> Text:
        words = self._drill.tally.words
        text = Text("refused  ", "dim")
        refused = words["refused"].most_common(_WORDS)
        text.append(", ".join(f"{word} {count}" for word, count in refused) or "none", "yellow" if refused else "dim")
        for outcome in ("failed", "misdirected", "not_sent"):
            if words[outcome]:
                found = words[outcome].most_common(_WORDS)
                text.append(f"   {outcome}  ", "dim")
                text.append(", ".join(f"{word} {count}" for word, count in found), "bold red")
        return text

    def _replicas(self) -> Text:
        signals = self._drill.signals
        if not signals:
            return Text(self._drill.problem or "the admin address has not answered yet", "dim")
        text = Text("replicas ", "dim")
        for state in STATES:
            count = int(signals.get(f"replicas_{state}", 0))
            if count or state == "ready":
                text.append(f"{'█' * min(count, 30)} {count} {state}  ", "green" if state == "ready" else "cyan")
        text.append(
            f"wanted {signals.get('desired_replicas', 0):.0f}, pressure {signals.get('pressure', 0):.2f}", "dim"
        )
        return text

    def _decisions(self) -> Table:
        table = Table.grid(padding=(0, 2))
        decisions = self._drill.decisions[:_SHOWN]
        if not decisions:
            table.add_row(Text("no decision yet", "dim"))
        for each in decisions:
            style = "bold" if each.after > each.before else ""
            table.add_row(
                Text(each.id, "dim"),
                Text(f"{each.before} → {each.after}", style),
                Text(each.reason),
                Text(each.mode if each.mode != "live" else "", "yellow"),
                Text(each.fate.replace("_", " "), "dim"),
            )
        return table


def _pair(name: str, value: str, style: str = "bold") -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, style))


def _bars(values: Sequence[float], top: float) -> str:
    return "".join(_BARS[min(round(value / top * (len(_BARS) - 1)), len(_BARS) - 1)] for value in values)
