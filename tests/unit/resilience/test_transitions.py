"""The table of a breaker's states, and the picture of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from gateway.resilience.transitions import STATES, TABLE, draw

DOC = Path(__file__).parents[3] / "docs" / "breaker.md"


def test_the_documented_diagram_is_the_tables() -> None:
    """Documentation cannot drift from the breaker."""
    found = re.search(r"```mermaid\n(.*?)```", DOC.read_text(), re.DOTALL)
    assert found is not None
    assert found[1] == draw()


def test_the_module_prints_the_diagram() -> None:
    """Whoever changes the table runs it and pastes."""
    printed = subprocess.run(
        [sys.executable, "-m", "gateway.resilience.transitions"], check=True, capture_output=True, text=True
    )
    assert printed.stdout == draw()


def test_every_state_can_be_reached_and_left() -> None:
    """From each state there is a way to every other."""
    for start in STATES:
        reached = {start}
        while True:
            more = {row.state for (state, _), row in TABLE.items() if state in reached} - reached
            if not more:
                break
            reached |= more
        assert reached == set(STATES), start


def test_only_an_operator_leaves_a_forced_state() -> None:
    """What was forced is not ended by calls, checks or time."""
    events = {event for state, event in TABLE if state.startswith("forced")}
    assert events == {"force_open", "force_close", "reset"}


def test_no_row_stays_where_it_is() -> None:
    """A transition is a change."""
    assert not [key for key, row in TABLE.items() if key[0] == row.state]


def test_every_reason_is_documented() -> None:
    """A word that an operator meets can be looked up."""
    text = DOC.read_text()
    assert not [row.reason for row in TABLE.values() if row.reason not in text]
