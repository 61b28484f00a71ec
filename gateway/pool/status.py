"""What can be said of one place in a pool."""

from __future__ import annotations

from msgspec import Struct

from gateway.pool.states import State


class ProcessStatus(Struct, frozen=True):
    """One place; ``pid`` and ``port`` are 0 and ``endpoint`` is empty while it has no process.

    ``reason`` is why it is in this state, ``since`` for how many seconds, ``age`` how long its process has run. ``rss``
    in bytes and ``cpu`` in seconds are of the process and all below it, ``requests`` are complete answers; ``restarts``
    are of the place. ``detail`` says more of why it is not ready: what it answered, and what to set.
    """

    name: str
    state: State
    pid: int
    port: int
    restarts: int
    endpoint: str = ""
    reason: str = ""
    since: float = 0.0
    age: float = 0.0
    rss: int = 0
    cpu: float = 0.0
    in_flight: int = 0
    requests: int = 0
    detail: str = ""
