"""The life of a pool process as a table (pure)."""

from __future__ import annotations

from typing import Final, Literal

State = Literal["spawning", "booting", "ready", "draining", "stopping", "dead"]

STATES: Final[tuple[State, ...]] = ("spawning", "booting", "ready", "draining", "stopping", "dead")

# spawning: has no process yet. booting: runs, has not answered its ready path. ready: gets traffic.
# draining: gets no new traffic. stopping: was told to end. dead: waits for its next start, or forever.
NEXT: Final[dict[State, frozenset[State]]] = {
    "spawning": frozenset({"booting", "dead"}),
    "booting": frozenset({"ready", "stopping", "dead"}),
    "ready": frozenset({"draining", "dead"}),
    "draining": frozenset({"stopping", "dead"}),
    "stopping": frozenset({"dead"}),
    "dead": frozenset({"spawning"}),
}


def after(state: State, new: State) -> State:
    """The new state; ValueError when the table does not lead there."""
    if new not in NEXT[state]:
        message = f"a pool process cannot go from {state} to {new}"
        raise ValueError(message)
    return new
