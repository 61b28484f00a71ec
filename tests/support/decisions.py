"""Decisions and a log for whoever carries them out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway.core.clock import SystemClock
from gateway.scaling.decision import Decision, Expected
from gateway.telemetry.logs import make_log
from gateway.telemetry.settings import Log

if TYPE_CHECKING:
    from gateway.telemetry.logs import Logger


def decision(before: int, after: int, *, serial: int = 1, target: str = "app", t: float = 0.0) -> Decision:
    """A live one, as the loop makes it."""
    return Decision(
        id=f"{target}-{serial}",
        t=t,
        target=target,
        before=before,
        after=after,
        reason="demand",
        votes=(),
        guards=(),
        expected=Expected(by=t + 60, need=8.0 * after, slots=8.0, throughput=10.0),
        mode="live",
    )


class Lines:
    """The lines of a real log, kept."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []

    def put(self, line: bytes) -> None:
        """Take one line."""
        self.written.append(json.loads(line))

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events with this name."""
        return [line for line in self.written if line["event"] == name]


def kept_log() -> tuple[Logger, Lines]:
    """A log and what it has written."""
    lines = Lines()
    return make_log(Log(), process="test", clock=SystemClock(), lines=lines), lines  # type: ignore[arg-type]
