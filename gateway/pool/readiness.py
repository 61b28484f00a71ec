"""Asks a process whether it is ready."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp

if TYPE_CHECKING:
    from gateway.pool.settings import Ready

_PAUSE: Final = 0.05
_BAD: Final = 400


async def answers(session: aiohttp.ClientSession, url: str, ready: Ready) -> bool:
    """Whether GET ``ready.path`` answers 2xx or 3xx within ``ready.timeout``; asks again every 50 ms."""
    try:
        async with asyncio.timeout(ready.timeout):
            while not await _is_ready(session, url + ready.path):  # noqa: ASYNC110 - nobody tells us
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        return False
    return True


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, allow_redirects=False) as response:
            return response.status < _BAD
    except (aiohttp.ClientError, OSError, ValueError):
        return False
