"""What must go on goes on: an exception in one callback stops nothing else, and is logged.

Timers, looks and loops that run for as long as the process does are called through here. A fault that repeats is
logged once and then every :data:`SILENCE` seconds, with how often it came meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.core.clock import Clock

SILENCE: Final = 10.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0


class Guard:
    """Calls functions by name; ``faults`` counts the exceptions that ended here."""

    def __init__(self, log: Any, clock: Clock) -> None:  # noqa: ANN401 - structlog's loggers have no common type
        self._log = log
        self._clock = clock
        self._quiet_until: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}
        self.faults = 0

    def call(self, name: str, function: Callable[..., object], *arguments: object) -> None:
        """Call it; what it raises is logged under this name and goes no further."""
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001 - what goes on after it is the point
            self.note(name, error)

    def note(self, name: str, error: BaseException) -> None:
        """Count and log a fault, unless the same place has failed a moment ago."""
        self.faults += 1
        now = self._clock.now()
        if now < self._quiet_until.get(name, now):
            self._unsaid[name] = self._unsaid.get(name, 0) + 1
            return
        self._quiet_until[name] = now + SILENCE
        self._log.error("callback failed", callback=name, also=self._unsaid.pop(name, 0), exc_info=error)

    async def keep_going(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run ``work`` until it returns; when it raises, begin it again after a pause that grows to ten seconds."""
        pause = _FIRST_PAUSE
        while True:
            begun = self._clock.now()
            try:
                await work()
            except Exception as error:  # noqa: BLE001
                self.note(name, error)
            else:
                return
            if self._clock.now() - begun > SILENCE:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
