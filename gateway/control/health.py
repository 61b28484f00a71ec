"""Active checks of endpoints, made once for the whole gateway, whatever the number of workers.

Every endpoint of an upstream with a ``health`` table is asked in turn. While one worker's breaker for an endpoint is
open, it is asked too, table or not (by a connection when there is no table), so that no request has to find
out whether it has come back: soon at first, then ever more slowly up to ``interval``.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.checks.pace import pause as until_next
from gateway.checks.question import ask
from gateway.checks.rise_fall import RiseFall
from gateway.checks.settings import Health
from gateway.upstream.address import parse_address
from gateway.upstream.settings import EndpointSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from gateway.checks.question import Finding
    from gateway.core.clock import Clock
    from gateway.telemetry.guard import Guard

# What is asked while a breaker is open and no table says more: a connection.
_UNWRITTEN: Final = Health(kind="tcp")


class Checks:
    """Checks the endpoints of one upstream.

    ``report`` is called with (url, is_up, finding) when the judgement changes, and after each check while the
    endpoint is troubled, that is while a breaker is open.
    """

    def __init__(
        self,
        health: Health | None,
        *,
        rng: Random,
        clock: Clock,
        guard: Guard,
        report: Callable[[str, bool, Finding], None],
    ) -> None:
        self._health = health
        self._clock = clock
        self._guard = guard
        self._rng = rng
        self._report = report
        self._watched: dict[str, asyncio.Task[None]] = {}
        self._judgements: dict[str, RiseFall] = {}
        self._troubled: dict[str, asyncio.Event] = {}
        self._hosts: dict[str, str | None] = {}

    @property
    def down(self) -> tuple[str, ...]:
        """The endpoints that are down by their checks."""
        return tuple(url for url, judgement in self._judgements.items() if not judgement.is_up)

    def set_endpoints(self, endpoints: Iterable[str | EndpointSettings]) -> None:
        """Check these from now on, and no others."""
        self._hosts = {
            one.url if isinstance(one, EndpointSettings) else one: getattr(one, "host", None) for one in endpoints
        }
        urls = self._hosts
        for url in [one for one in self._watched if one not in urls]:
            self._watched.pop(url).cancel()
            self._judgements.pop(url)
            self._troubled.pop(url)
        for url in urls:
            if url not in self._watched:
                health = self._health or _UNWRITTEN
                self._judgements[url] = RiseFall(health.rise, health.fall)
                self._troubled[url] = asyncio.Event()
                self._watched[url] = asyncio.create_task(
                    self._guard.keep_going(f"check {url}", partial(self._watch, url)), name=f"check {url}"
                )

    def set_troubled(self, urls: Iterable[str]) -> None:
        """These have an open breaker in some worker now; the others have none."""
        present = set(urls)
        for url, event in self._troubled.items():
            if url in present:
                event.set()
            else:
                event.clear()

    async def stop(self) -> None:
        """Check nothing any more."""
        tasks = list(self._watched.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watched.clear()

    async def _watch(self, url: str) -> None:
        health = self._health or _UNWRITTEN
        address = parse_address(url)
        judgement = self._judgements[url]
        troubled = self._troubled[url]
        interval, fast_interval = float(health.interval), float(health.fast_interval)
        pause = interval * self._rng.random()
        since = self._clock.now()
        while True:
            if self._health is None and not troubled.is_set():
                await troubled.wait()
                since, pause = self._clock.now(), fast_interval
            try:
                async with asyncio.timeout(pause):
                    await _set_from_unset(troubled)
                    since = self._clock.now()
            except TimeoutError:
                pass
            found = await ask(address, health, float(health.timeout), self._hosts.get(url))
            was_up = judgement.is_up
            if (self._health is not None and judgement.note(has_passed=found.has_passed)) or troubled.is_set():
                self._report(url, judgement.is_up, found)
            now = self._clock.now()
            is_calm = judgement.is_up and judgement.is_certain and not troubled.is_set()
            if is_calm or judgement.is_up is not was_up or found.has_passed is not judgement.is_up:
                since = now
            pause = interval if is_calm else until_next(now - since, fast_interval, interval)
            pause *= 0.9 + 0.2 * self._rng.random()


async def _set_from_unset(event: asyncio.Event) -> None:
    """Wait until it becomes set; for ever when it is already."""
    if event.is_set():
        await asyncio.Event().wait()
    await event.wait()
