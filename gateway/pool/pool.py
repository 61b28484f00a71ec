"""All processes of one upstream that the gateway runs itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp

from gateway.pool.process import PoolProcess, ProcessStatus
from gateway.upstream.settings import EndpointSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from gateway.core.clock import Clock
    from gateway.pool.settings import Pool
    from gateway.telemetry.logs import Logger


class ProcessPool:
    """Keeps ``settings.min`` processes running for ``upstream``.

    ``on_change`` is called with the upstream's name and its endpoints when these changed.
    """

    def __init__(  # noqa: PLR0913 - everything from outside comes in here
        self,
        upstream: str,
        settings: Pool,
        *,
        clock: Clock,
        rng: Random,
        log: Logger,
        on_change: Callable[[str, tuple[EndpointSettings, ...]], None],
    ) -> None:
        self.upstream = upstream
        self.endpoints: tuple[EndpointSettings, ...] = ()
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._log = log
        self._on_change = on_change
        self._processes: list[PoolProcess] = []
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        """Say how many of how many processes are ready."""
        return f"<ProcessPool {self.upstream} ready={len(self.endpoints)}/{self._settings.min}>"

    @property
    def processes(self) -> tuple[ProcessStatus, ...]:
        """What can be said of each process now."""
        return tuple(process.status for process in self._processes)

    def start(self) -> None:
        """Start the processes; they become ready in their own time."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=5), connector=aiohttp.TCPConnector(force_close=True)
        )
        for number in range(self._settings.min):
            process = PoolProcess(
                f"{self.upstream}-{number}",
                self._settings,
                session=self._session,
                clock=self._clock,
                rng=self._rng,
                log=self._log,
                on_change=self._on_process_change,
            )
            self._processes.append(process)
            process.start()

    async def stop(self) -> None:
        """End all processes at the same time, each within the drain timeout."""
        await asyncio.gather(*(process.stop() for process in self._processes))
        if self._session is not None:
            await self._session.close()

    def kill(self) -> None:
        """End all processes at once."""
        for process in self._processes:
            process.kill()

    def _on_process_change(self) -> None:
        endpoints = tuple(
            EndpointSettings(f"http://127.0.0.1:{process.port}")
            for process in self._processes
            if process.state == "ready"
        )
        if endpoints != self.endpoints:
            self.endpoints = endpoints
            self._on_change(self.upstream, endpoints)
