"""Every way a breaker can go, as a table; ``docs/breaker.md`` draws its diagram from it.

What is not in the table does not happen. ``python -m gateway.resilience.transitions`` prints the diagram.
"""

from __future__ import annotations

import sys
from typing import Final, Literal, NamedTuple

State = Literal["closed", "open", "half_open", "ramping", "forced_open", "forced_closed"]
STATES: Final[tuple[State, ...]] = ("closed", "open", "half_open", "ramping", "forced_open", "forced_closed")

Event = Literal[
    "failures",
    "nothing_succeeds",
    "slow_calls",
    "hanging_calls",
    "asked_to_wait",
    "time_is_up",
    "check_passed",
    "check_missing",
    "probe_failed",
    "probes_slow",
    "probe_lost",
    "probes_passed",
    "cap_reached",
    "ramp_over",
    "told_open",
    "told_half_open",
    "told_close",
    "force_open",
    "force_close",
    "reset",
]


class Row(NamedTuple):
    """Where a breaker goes, and the reason word for it."""

    state: State
    reason: str


TABLE: Final[dict[tuple[State, Event], Row]] = {
    # traffic flows until calls say that it must not
    ("closed", "failures"): Row("open", "failure_ratio"),
    ("closed", "nothing_succeeds"): Row("open", "consecutive"),
    ("closed", "slow_calls"): Row("open", "slow_ratio"),
    ("closed", "hanging_calls"): Row("open", "hanging"),
    ("closed", "asked_to_wait"): Row("open", "retry_after"),
    # nobody gets through until time is up, or a check sees the upstream well
    ("open", "time_is_up"): Row("half_open", "open_time"),
    ("open", "check_passed"): Row("half_open", "check_passed"),
    ("open", "check_missing"): Row("half_open", "check_missing"),
    # a few calls try
    ("half_open", "probe_failed"): Row("open", "probe_failed"),
    ("half_open", "probes_slow"): Row("open", "probe_slow"),
    ("half_open", "probe_lost"): Row("open", "probe_lost"),
    ("half_open", "asked_to_wait"): Row("open", "retry_after"),
    ("half_open", "probes_passed"): Row("ramping", "probes_passed"),
    # more and more of them, until the cap does not matter any more
    ("ramping", "failures"): Row("open", "failure_ratio"),
    ("ramping", "nothing_succeeds"): Row("open", "consecutive"),
    ("ramping", "slow_calls"): Row("open", "slow_ratio"),
    ("ramping", "hanging_calls"): Row("open", "hanging"),
    ("ramping", "asked_to_wait"): Row("open", "retry_after"),
    ("ramping", "cap_reached"): Row("closed", "ramped"),
    ("ramping", "ramp_over"): Row("closed", "ramp_time"),
    # aiobreaker's own methods; an operator's word stands above them
    ("closed", "told_open"): Row("open", "told"),
    ("half_open", "told_open"): Row("open", "told"),
    ("ramping", "told_open"): Row("open", "told"),
    ("closed", "told_half_open"): Row("half_open", "told"),
    ("open", "told_half_open"): Row("half_open", "told"),
    ("ramping", "told_half_open"): Row("half_open", "told"),
    ("open", "told_close"): Row("closed", "told"),
    ("half_open", "told_close"): Row("closed", "told"),
    ("ramping", "told_close"): Row("closed", "told"),
    # an operator's word
    ("closed", "force_open"): Row("forced_open", "forced"),
    ("open", "force_open"): Row("forced_open", "forced"),
    ("half_open", "force_open"): Row("forced_open", "forced"),
    ("ramping", "force_open"): Row("forced_open", "forced"),
    ("forced_closed", "force_open"): Row("forced_open", "forced"),
    ("closed", "force_close"): Row("forced_closed", "forced"),
    ("open", "force_close"): Row("forced_closed", "forced"),
    ("half_open", "force_close"): Row("forced_closed", "forced"),
    ("ramping", "force_close"): Row("forced_closed", "forced"),
    ("forced_open", "force_close"): Row("forced_closed", "forced"),
    ("open", "reset"): Row("closed", "reset"),
    ("half_open", "reset"): Row("closed", "reset"),
    ("ramping", "reset"): Row("closed", "reset"),
    ("forced_open", "reset"): Row("closed", "reset"),
    ("forced_closed", "reset"): Row("closed", "reset"),
}


class Transition(NamedTuple):
    """One step that a breaker took: at an instant, for a reason, by the breaker itself or by ``actor``.

    ``note`` is what an operator gave as the reason; empty when the breaker decided.
    """

    before: State
    after: State
    reason: str
    at: float
    actor: str = ""
    note: str = ""


def draw() -> str:
    """The table as a Mermaid state diagram; ways between the same two states share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, _), row in TABLE.items():
        words = arrows.setdefault((state, row.state), [])
        if row.reason not in words:
            words.append(row.reason)
    lines = ["stateDiagram-v2", "    [*] --> closed"]
    lines += [f"    {state} --> {after}: {', '.join(words)}" for (state, after), words in arrows.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(draw())
