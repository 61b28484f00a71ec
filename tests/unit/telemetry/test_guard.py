"""What must go on goes on, and says what happened."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.telemetry.guard import SILENCE, Guard


class _Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at


class _Log:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})


def _fail() -> None:
    raise ValueError("once")


def test_the_next_call_has_its_turn() -> None:
    """A function that raises stops nobody else, and its name is logged with the error."""
    log, done = _Log(), []
    guard = Guard(log, _Clock())
    guard.call("first", _fail)
    guard.call("second", done.append, 1)
    assert done == [1]
    assert [(line["event"], line["callback"], str(line["exc_info"])) for line in log.lines] == [
        ("callback failed", "first", "once")
    ]


def test_a_fault_that_repeats_is_logged_now_and_then_with_its_count() -> None:
    """Fifty failures a second are one line in ten seconds; each place has its own."""
    log, clock = _Log(), _Clock()
    guard = Guard(log, clock)
    for _ in range(100):
        guard.call("tick", _fail)
    guard.call("other", _fail)
    clock.at = SILENCE
    guard.call("tick", _fail)
    assert [(line["callback"], line["also"]) for line in log.lines] == [("tick", 0), ("other", 0), ("tick", 99)]
    assert guard.faults == 102


async def test_a_loop_that_raises_begins_again() -> None:
    """It is run until it returns, however often it fails first, and a cancellation ends it."""
    guard = Guard(_Log(), _Clock())
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise ValueError("again")

    await asyncio.wait_for(guard.keep_going("work", work), 10)
    assert runs == 3
