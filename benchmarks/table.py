"""Ratios, targets, and how both are printed."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.peers import OURS

if TYPE_CHECKING:
    from collections.abc import Sequence


class Target(NamedTuple):
    """What our figure must be, as a multiple of a peer's (or absolute, when ``peer`` is None)."""

    peer: str | None
    bound: float
    is_ceiling: bool = False

    def __str__(self) -> str:
        """As it is printed: the sign and the bound."""
        return f"{'≤' if self.is_ceiling else '≥'} {self.bound:g}"


class Row(NamedTuple):
    """One thing measured: its figures by proxy, one a round, in the unit that the name says."""

    name: str
    figures: dict[str, list[float]]
    targets: tuple[Target, ...] = ()
    digits: int = 0
    note: str = ""

    def value(self, proxy: str) -> float | None:
        """The median of the rounds; None when this proxy was not measured."""
        rounds = self.figures.get(proxy)
        return median(rounds) if rounds else None

    def ratio(self, target: Target) -> float | None:
        """Our figure as the target counts it; None when one side was not measured.

        None also when the peer's figure is not above zero, as an added latency may come out on a noisy
        machine: a multiple of that says nothing.
        """
        ours = self.value(OURS)
        if ours is None or target.peer is None:
            return ours
        theirs = self.value(target.peer)
        return ours / theirs if theirs is not None and theirs > 0 else None

    def is_met(self, target: Target) -> bool | None:
        """Whether the target is reached; None when nobody can say."""
        ratio = self.ratio(target)
        if ratio is None:
            return None
        return ratio <= target.bound if target.is_ceiling else ratio >= target.bound


def print_rows(rows: Sequence[Row], proxies: Sequence[str], title: str = "medians of interleaved rounds") -> None:
    """Print one table: what, ours, each peer, ratio, target, met."""
    table = Table(title=title)
    table.add_column("what")
    for name in proxies:
        table.add_column(name, justify="right")
    for name in ("ratio", "target", "met?"):
        table.add_column(name)
    for row in rows:
        values = (row.value(name) for name in proxies)
        table.add_row(
            row.name,
            *("–" if value is None else f"{value:,.{row.digits}f}" for value in values),
            "\n".join(_ratio_text(row, target) for target in row.targets),
            "\n".join(str(target) for target in row.targets),
            "\n".join({None: "–", True: "yes", False: "NO"}[row.is_met(target)] for target in row.targets),
        )
    console = Console(width=160)
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.name}: {row.note}")


def _ratio_text(row: Row, target: Target) -> str:
    ratio = row.ratio(target)
    if ratio is None:
        return "–"
    return f"{ratio:.2f}" if target.peer is None else f"{ratio:.2f}× {target.peer}"


def to_data(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The rows as plain data for a JSON file, every round included."""
    return [
        {
            "name": row.name,
            "rounds": row.figures,
            "medians": {name: row.value(name) for name in row.figures},
            "targets": [
                {"peer": t.peer, "target": str(t), "ratio": row.ratio(t), "met": row.is_met(t)} for t in row.targets
            ],
            "note": row.note,
        }
        for row in rows
    ]
