"""The table of the zoo, and the cells that break a law."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Final

from benchmarks.zoo.cells import WHY
from benchmarks.zoo.services import UNBOUNDED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.zoo.cells import Cell
    from benchmarks.zoo.laws import Verdict

_SPECIAL: Final = (
    "own backlog",
    "knee",
    "one slow endpoint",
    "pool",
    "slow clients",
    "step",
    "stream",
    "polls",
    "restart",
    "bursts",
    "auto",
    "to 8",
    "cold",
    "three times",
)


def group(cell: Cell) -> str:
    """What a cell is summed up under."""
    if "clients" in cell.name and "slow" not in cell.name:
        return f"closed loops, {'unbounded' if cell.slots == UNBOUNDED else 'below' if cell.law == 'harm' else 'above'}"
    for word in _SPECIAL:
        if word in cell.name:
            return f"{word}, {'below' if cell.law == 'harm' else 'above'}"
    if cell.slots == UNBOUNDED:
        return "unbounded, open"
    size = "c < 8" if cell.slots < 8 else "c = 8" if cell.slots == 8 else "c > 8"
    load = cell.name.rsplit(", ", 1)[1]
    return f"{size}, {load}"


def show(cells: Iterable[tuple[Cell, Verdict]]) -> str:
    """The table of groups, and the cells that break a law."""
    groups: dict[str, list[tuple[Cell, Verdict]]] = {}
    for cell, verdict in cells:
        groups.setdefault(group(cell), []).append((cell, verdict))
    lines = [
        f"{'cells':34}{'n':>4}{'lost %':>9}{'p99 x':>8}{'early %':>9}{'late %':>8}{'broken':>8}{'unexplained':>12}"
    ]
    for name, each in sorted(groups.items()):
        verdicts = [verdict for _, verdict in each]
        broken = [cell for cell, verdict in each if verdict.broken]
        is_harm = each[0][0].law == "harm"
        ratio = fmean(v.p99 / v.p99_without if v.p99_without else 1.0 for v in verdicts)
        lines.append(
            f"{name:34}{len(each):4}"
            + (f"{100 * fmean(v.lost for v in verdicts):9.2f}{ratio:8.2f}{'':17}" if is_harm else
               f"{'':17}{100 * fmean(v.early for v in verdicts):9.1f}{100 * fmean(v.late for v in verdicts):8.1f}")
            + f"{len(broken):8}{sum(not cell.why for cell in broken):12}"
        )  # fmt: skip
    lines.append("")
    for each in groups.values():
        for cell, verdict in each:
            if verdict.broken:
                numbers = f"early {100 * verdict.early:.0f} % late {100 * verdict.late:.0f} %"
                if cell.law == "harm":
                    numbers = f"lost {100 * verdict.lost:.2f} % p99 {verdict.p99:.3f} s ({verdict.p99_without:.3f})"
                below = f" below {verdict.below}" if verdict.below else ""
                why = f" [{cell.why}]" if cell.why else ""
                lines.append(f"{cell.name:58} {'+'.join(verdict.broken):16} {numbers}{below}{why}")
    lines += ["", *(f"[{kind}] {text}" for kind, text in WHY.items() if kind)]
    return "\n".join(lines)
