"""Where the numbers come from."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.core.clock import Clock

OLD: Final = 30.0
"""Seconds after which nobody may act on what was published."""


class Source(Protocol):
    """Signals by target, flat: names as in :meth:`gateway.signals.signals.Signals.flat`, and ``desired_replicas``."""

    def targets(self) -> Collection[str]:
        """The names of all targets, whether anything is known of them or not."""

    def flat(self, target: str) -> Mapping[str, float] | None:
        """All signals as of now, ``seq`` and ``signal_valid`` among them; None when nothing is known yet."""

    async def changed(self, target: str, seq: float) -> None:
        """Return as soon as the target's ``seq`` is another one, at once when it is already; -1 stands for none."""


class Board:
    """The latest signals, and whoever waits for others.

    ``publish`` may be called between two ticks with the same signals in a newer state, as when the first request comes
    after a silence: whoever waits is woken each time. What was published grows old by itself, so a publisher that died
    is noticed.
    """

    def __init__(self, targets: Collection[str], clock: Clock) -> None:
        self._clock = clock
        self._targets = tuple(targets)
        self._seq = 0
        self._latest: dict[str, tuple[float, dict[str, float]]] = {}
        self._waiting: dict[str, asyncio.Event] = {name: asyncio.Event() for name in self._targets}

    def targets(self) -> Collection[str]:
        """The names of all targets."""
        return self._targets

    def publish(self, target: str, flat: Mapping[str, float]) -> None:
        """These are the signals now; KeyError for a target that is none."""
        event = self._waiting[target]
        self._seq += 1
        self._latest[target] = (self._clock.now(), {**flat, "seq": float(self._seq)})
        self._waiting[target] = asyncio.Event()
        event.set()

    def flat(self, target: str) -> Mapping[str, float] | None:
        """What was published last, as old as it is now."""
        found = self._latest.get(target)
        if found is None:
            return None
        at, flat = found
        age = flat.get("signal_age_s", 0.0) + self._clock.now() - at
        is_valid = flat.get("signal_valid", 0.0) if age <= OLD else 0.0
        return {**flat, "signal_age_s": age, "signal_valid": is_valid}

    async def changed(self, target: str, seq: float) -> None:
        """Wait until something else was published than what had this ``seq``; -1 stands for nothing."""
        while True:
            found = self._latest.get(target)
            if (found[1]["seq"] if found else -1.0) != seq:
                return
            await self._waiting[target].wait()

    def __repr__(self) -> str:
        return f"<Board {len(self._latest)} of {len(self._targets)} targets>"
