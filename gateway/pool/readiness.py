"""Asks a process whether it is ready, and warms it up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp

if TYPE_CHECKING:
    from gateway.pool.settings import Ready, WarmUp

_PAUSE: Final = 0.05
_BAD: Final = 400
_PATIENCE: Final = aiohttp.ClientTimeout(total=5)


class Asker:
    """Asks one process, at ``url``; a connection of its own for each question, so that none is left when it ends."""

    def __init__(self, url: str) -> None:
        path = url.removeprefix("unix:")
        self._is_unix = path != url
        self._path = path
        self._base = "http://localhost" if self._is_unix else url

    async def answers(self, ready: Ready) -> bool:
        """Whether GET ``ready.path`` answers 2xx or 3xx ``ready.passes`` times in a row within ``ready.timeout``.

        Asked every 50 ms.
        """
        passed = 0
        try:
            async with asyncio.timeout(ready.timeout), self._session() as session:
                while True:
                    status = await _status(session, self._base + ready.path)
                    passed = passed + 1 if 0 < status < _BAD else 0
                    if passed >= ready.passes:
                        return True
                    await asyncio.sleep(_PAUSE)
        except TimeoutError:
            return False

    async def warms_up(self, warm_up: WarmUp) -> bool:
        """Whether all warm-up requests were answered, with whatever status, within ``warm_up.timeout``."""
        try:
            async with asyncio.timeout(warm_up.timeout), self._session(aiohttp.ClientTimeout()) as session:
                for _ in range(warm_up.requests):
                    if not await _status(session, self._base + warm_up.path):
                        return False
        except TimeoutError:
            return False
        return True

    def _session(self, timeout: aiohttp.ClientTimeout = _PATIENCE) -> aiohttp.ClientSession:
        connector = (
            aiohttp.UnixConnector(self._path, force_close=True)
            if self._is_unix
            else aiohttp.TCPConnector(force_close=True)
        )
        return aiohttp.ClientSession(connector=connector, timeout=timeout)


async def _status(session: aiohttp.ClientSession, url: str) -> int:
    """The status of a GET, answered as a whole; 0 when there is no answer."""
    try:
        async with session.get(url, allow_redirects=False) as response:
            await response.read()
            return response.status
    except (aiohttp.ClientError, OSError, ValueError):
        return 0
