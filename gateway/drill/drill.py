"""One drill: the load sent, the gateway watched, until it is over or somebody ends it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.drill.client import Client, write_request
from gateway.drill.shape import arrivals
from gateway.drill.tally import Tally
from gateway.drill.verdict import verdict
from gateway.drill.watch import Watch
from gateway.upstream.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from gateway.core.clock import Clock
    from gateway.drill.client import Answer, Ask
    from gateway.drill.shape import Phase
    from gateway.drill.verdict import Verdict
    from gateway.drill.watch import Told

PATIENCE: Final = 10.0
"""Seconds that a request waits for its answer before it counts as failed."""
_TURN: Final = 0.002
_SHOW: Final = 0.25


class Drill:
    """Sends ``load`` to ``url`` and asks ``admin`` what it sees; ``run`` once."""

    def __init__(  # noqa: PLR0913 - a drill has many sides
        self,
        url: str,
        load: Sequence[Phase],
        *,
        admin: str | None,
        path: str = "/",
        host: str = "",
        upstream: str = "",
        patience: float = PATIENCE,
        rng: Random,
        clock: Clock,
    ) -> None:
        self.url = url
        self.load = load
        self.tally = Tally()
        self._address = parse_address(url)
        self._request = write_request(path, host or self._address.authority)
        self._admin = admin
        self._upstream = upstream
        self._watch: Watch | None = None
        self._patience = patience
        self._rng = rng
        self._clock = clock
        self._begin: float | None = None
        self._ended_at: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since it began; 0 before."""
        return 0.0 if self._begin is None else self._clock.now() - self._begin

    @property
    def signals(self) -> dict[str, float]:
        """What the gateway said last of the upstream; empty when nothing."""
        return {} if self._watch is None else self._watch.signals

    @property
    def decisions(self) -> list[Told]:
        """Scaling decisions since the beginning, the newest first."""
        return [] if self._watch is None else self._watch.decisions

    @property
    def replicas(self) -> list[int]:
        """Ready replicas at every look."""
        return [] if self._watch is None else [ready for _, ready in self._watch.replicas]

    @property
    def problem(self) -> str:
        """Why nothing is known from the gateway itself; empty when it is."""
        if self._watch is None:
            return "no admin address: only what clients see is known"
        return self._watch.problem

    async def run(self, stop: asyncio.Event, show: Callable[[], None]) -> None:
        """Send all of it, or until ``stop``; ``show`` is called four times a second."""
        client = Client(self._address, clock=self._clock, patience=self._patience)
        watching = None
        if self._admin is not None:
            self._watch = Watch(self._admin, self._clock, upstream=self._upstream)
            await self._watch.look()
            watching = asyncio.create_task(self._watch.keep_looking(), name="watch")
        showing = asyncio.create_task(self._keep_showing(show), name="show")
        try:
            await self._send_all(client, stop)
            while client.waiting and not stop.is_set():
                client.expire()
                await asyncio.sleep(_TURN)
        finally:
            for task in (watching, showing):
                if task is not None:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
            # whoever still waits was sent away by us, and tells nothing about the service
            self._ended_at = self.elapsed
            await client.close()

    async def _send_all(self, client: Client, stop: asyncio.Event) -> None:
        begin = self._clock.now()
        self._begin = begin
        done = partial(self._done, begin)
        for due in arrivals(self.load, self._rng):
            while (ahead := begin + due - self._clock.now()) > 0:
                client.expire()
                if stop.is_set():
                    return
                await asyncio.sleep(min(ahead, _SHOW))
            client.send(self._request, begin + due, done)
            self.tally.send(due, self.elapsed)
            if self.elapsed - due > _TURN:
                # behind: let answers in before the next one
                await asyncio.sleep(0)
                if stop.is_set():
                    return
        rest = self.load[-1].end - self.elapsed
        if rest > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await stop.wait()

    def _done(self, begin: float, ask: Ask, answer: Answer) -> None:
        if self._ended_at is None:
            self.tally.take(ask.due - begin, self._clock.now() - begin, answer)

    async def _keep_showing(self, show: Callable[[], None]) -> None:
        while True:
            show()
            await asyncio.sleep(_SHOW)

    def verdict(self) -> Verdict:
        """What it came to; after ``run``."""
        end = self.load[-1].end
        return verdict(self.tally, self.load, until=end if self._ended_at is None else min(self._ended_at, end))
