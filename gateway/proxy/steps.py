"""A line in the log whenever an upstream, or a part of it, is left alone or asked again; within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.telemetry.flood import Flood

if TYPE_CHECKING:
    from gateway.resilience.transitions import Transition


class Steps:
    """Writes what breakers and ejections do: 20 lines a second for each upstream, then how many more there were."""

    __slots__ = ("_flood", "_log")

    def __init__(self, log: Any) -> None:  # noqa: ANN401 - structlog's loggers have no common type
        self._log = log
        self._flood = Flood()

    def note(self, upstream: str, step: Transition, **whose: str) -> None:
        """A breaker went from one state to another; ``whose`` names its endpoint, or its route and page."""
        if self._may_write(upstream, step.at):
            write = self._log.info if step.after in {"closed", "ramping"} else self._log.warning
            write(
                "breaker",
                upstream=upstream,
                **{name: word for name, word in whose.items() if word},
                before=step.before,
                after=step.after,
                reason=step.reason,
                **({"actor": step.actor, "note": step.note} if step.actor else {}),
            )

    def note_ejection(  # noqa: PLR0913, PLR0917 - a line
        self, upstream: str, endpoint: str, reason: str, mode: str, seconds: float, now: float
    ) -> None:
        """An endpoint does much worse than its peers and is left out for so long, or would be in shadow."""
        if self._may_write(upstream, now):
            self._log.warning(
                "endpoint ejected",
                upstream=upstream,
                endpoint=endpoint,
                reason=reason,
                mode=mode,
                seconds=round(seconds, 3),
            )

    def note_return(self, upstream: str, endpoint: str, now: float) -> None:
        """An ejection is over, and the endpoint is asked again."""
        if self._may_write(upstream, now):
            self._log.info("endpoint returned", upstream=upstream, endpoint=endpoint)

    def note_panic(self, upstream: str, *, is_panicking: bool, in_rotation: int, endpoints: int, now: float) -> None:
        """So few endpoints are in rotation that all are asked; or there are enough again."""
        if self._may_write(upstream, now):
            write = self._log.warning if is_panicking else self._log.info
            event = "panic: all endpoints are asked" if is_panicking else "panic over"
            write(event, upstream=upstream, in_rotation=in_rotation, endpoints=endpoints)

    def _may_write(self, upstream: str, now: float) -> bool:
        if self._flood.is_over(upstream, now):
            self._finish(upstream)
        return self._flood.is_allowed(upstream, now)

    def sweep(self, now: float) -> None:
        """Tell of the lines that were left out in the seconds that are over."""
        for upstream in self._flood.over(now):
            self._finish(upstream)

    def _finish(self, upstream: str) -> None:
        suppressed = self._flood.finish(upstream)
        if suppressed:
            self._log.warning("steps suppressed", upstream=upstream, suppressed=suppressed)
