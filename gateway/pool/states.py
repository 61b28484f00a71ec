"""The life of a pool process as a table (pure)."""

from __future__ import annotations

from typing import Final, Literal

State = Literal[
    "spawning",
    "booting",
    "warming",
    "standby",
    "ready",
    "draining",
    "stopping",
    "quarantined",
    "dead",
]

STATES: Final[tuple[State, ...]] = (
    "spawning",
    "booting",
    "warming",
    "standby",
    "ready",
    "draining",
    "stopping",
    "quarantined",
    "dead",
)

# spawning: shall have a process as soon as it is its turn. booting: runs, has not answered its ready path yet.
# warming: is sent warm-up requests. standby: could serve, and gets no traffic. ready: gets traffic. draining: gets
# no new traffic, finishes what it has. stopping: was told to end. quarantined: died too often in a row, is tried
# again much later. dead: waits for its next start, or is gone.
NEXT: Final[dict[State, frozenset[State]]] = {
    "spawning": frozenset({"booting", "dead"}),
    "booting": frozenset({"warming", "stopping", "dead"}),
    "warming": frozenset({"standby", "ready", "stopping", "dead"}),
    "standby": frozenset({"ready", "draining", "dead"}),
    "ready": frozenset({"standby", "draining", "dead"}),
    "draining": frozenset({"stopping", "dead"}),
    "stopping": frozenset({"dead"}),
    "quarantined": frozenset({"spawning", "dead"}),
    "dead": frozenset({"spawning", "quarantined"}),
}


def after(state: State, new: State) -> State:
    """The new state; ValueError when the table does not lead there."""
    if new not in NEXT[state]:
        message = f"a pool process cannot go from {state} to {new}"
        raise ValueError(message)
    return new


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> spawning"]
    lines += [f"    {state} --> {new}" for state in STATES for new in STATES if new in NEXT[state]]
    return "\n".join([*lines, "    dead --> [*]"])
