"""Asks a process whether it is ready, and warms it up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.checks.pace import pause
from gateway.checks.question import Finding, ask
from gateway.checks.settings import Question
from gateway.upstream.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.checks.settings import Ready
    from gateway.core.clock import Clock
    from gateway.pool.settings import WarmUp

_FIRST: Final = 0.05
_LONGEST: Final = 1.0
_PATIENCE: Final = 5.0
"""Seconds for one answer at least; who has been waited for longer may take as long again."""


class Readiness(NamedTuple):
    """Whether a process is ready, and what its last answer was; None when it was never asked."""

    is_ready: bool
    last: Finding | None


class Asker:
    """Asks one process, at ``url``."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._address = parse_address(url)
        self._clock = clock

    async def until_ready(self, ready: Ready, on_answer: Callable[[Finding], None]) -> Readiness:
        """Ask until it passes ``ready.passes`` times in a row, ``ready.timeout`` at most.

        Asked after 50 ms and then ever more slowly, up to once a second. ``on_answer`` hears each answer that does not
        pass.
        """
        passed = 0
        last: Finding | None = None
        began = self._clock.now()
        try:
            async with asyncio.timeout(ready.timeout):
                while True:
                    lasted = self._clock.now() - began
                    last = await ask(self._address, ready, max(_PATIENCE, lasted))
                    if last.has_passed:
                        passed += 1
                        if passed >= ready.passes:
                            return Readiness(is_ready=True, last=last)
                    else:
                        passed = 0
                        on_answer(last)
                    await asyncio.sleep(_FIRST if last.has_passed else pause(lasted, _FIRST, _LONGEST))
        except TimeoutError:
            return Readiness(is_ready=False, last=last)

    async def warms_up(self, warm_up: WarmUp, ready: Ready) -> Finding | None:
        """None when all warm-up requests were answered, with whatever status, within ``warm_up.timeout``."""
        question = Question(path=warm_up.path, host=ready.host, headers=ready.headers)
        try:
            async with asyncio.timeout(warm_up.timeout):
                for _ in range(warm_up.requests):
                    found = await ask(self._address, question, warm_up.timeout)
                    if not found.status:
                        return found
        except TimeoutError:
            return Finding(has_passed=False, answered=f"not all answered within {warm_up.timeout}")
        return None
