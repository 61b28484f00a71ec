"""A line in the log for every step of a breaker, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.telemetry.flood import Flood

if TYPE_CHECKING:
    from gateway.resilience.transitions import Transition


class Steps:
    """Writes what breakers do: at most 20 lines a second for each upstream, then how many more there were."""

    __slots__ = ("_flood", "_log")

    def __init__(self, log: Any) -> None:  # noqa: ANN401 - structlog's loggers have no common type
        self._log = log
        self._flood = Flood()

    def note(self, upstream: str, step: Transition, **whose: str) -> None:
        """A breaker went from one state to another; ``whose`` names its endpoint, or its route and page."""
        if self._flood.is_over(upstream, step.at):
            self._finish(upstream)
        if self._flood.is_allowed(upstream, step.at):
            write = self._log.info if step.after in {"closed", "ramping"} else self._log.warning
            write(
                "breaker",
                upstream=upstream,
                **{name: word for name, word in whose.items() if word},
                before=step.before,
                after=step.after,
                reason=step.reason,
            )

    def sweep(self, now: float) -> None:
        """Tell of the lines that were left out in the seconds that are over."""
        for upstream in self._flood.over(now):
            self._finish(upstream)

    def _finish(self, upstream: str) -> None:
        suppressed = self._flood.finish(upstream)
        if suppressed:
            self._log.warning("breaker steps suppressed", upstream=upstream, suppressed=suppressed)
