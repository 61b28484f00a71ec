"""A study in the terminal: a table, what would change, what was assumed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from gateway.simulate.scaling.oracle import WINDOW
from gateway.simulate.scaling.report import COLUMNS, cells

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.simulate.scaling.study import Study


def print_study(study: Study, console: Console) -> None:
    """Print it; every figure is the one in the page and in the data."""
    table = Table(title=study.title, title_justify="left", title_style="bold")
    table.add_column("policy")
    for column in COLUMNS:
        table.add_column(column.head, justify="right")
    least = min(ending.measures.violations for ending in study.endings)
    for ending in study.endings:
        figures = [Text(text) for text in cells(ending.measures)]
        if ending.measures.violations == least:
            figures[0].stylize("green")
        table.add_row(Text(ending.policy), *figures)
    console.print(table)
    hours = study.seconds / 3600
    console.print(
        f"{study.requests:,} requests in {hours:.3g} h, {study.highest_rate:,.0f} in the busiest second; "
        f"seed {study.seed}",
        markup=False,
    )
    number = f"{study.needed} replica" if study.needed == 1 else f"{study.needed} replicas"
    console.print(
        f"the oracle knows all of it ahead and has in every {WINDOW} s the fewest replicas that keep the objective, at "
        f"most {number}; ÷ oracle is the cost beside those",
        markup=False,
    )
    for title, lines in (("what would change", study.differences), ("assumed", study.notes)):
        if lines:
            console.print(title, style="bold")
        for line in lines:
            console.print(f"  - {line}", markup=False)
