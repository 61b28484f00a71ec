"""Active checks of endpoints, made once for the whole gateway, whatever the number of workers.

Every endpoint of an upstream with a ``health`` table is asked in turn. While one worker's breaker for an endpoint is
open, it is asked too, table or not (by a connection when there is no path), so that no request has to find
out whether it has come back.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

import aiohttp

from gateway.upstream.address import parse_address
from gateway.upstream.rise_fall import RiseFall
from gateway.upstream.settings import EndpointSettings, Health

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from gateway.telemetry.guard import Guard
    from gateway.upstream.address import Address

_BAD: Final = 400
_LARGEST: Final = 64 * 1024
# What is asked while a breaker is open and no table says more: a connection.
_UNWRITTEN: Final = Health()


class Checks:
    """Checks the endpoints of one upstream.

    ``report`` is called with (url, is_up, has_passed) when the judgement changes, and after each check while the
    endpoint is troubled, that is while a breaker is open.
    """

    def __init__(
        self, health: Health | None, *, rng: Random, guard: Guard, report: Callable[[str, bool, bool], None]
    ) -> None:
        self._health = health
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
        pause = float(health.interval) * self._rng.random()
        while True:
            if self._health is None:
                await troubled.wait()
                pause = float(health.fast_interval)
            try:
                async with asyncio.timeout(pause):
                    await _set_from_unset(troubled)
            except TimeoutError:
                pass
            has_passed = await check(address, health, self._hosts.get(url))
            if (self._health is not None and judgement.note(has_passed=has_passed)) or troubled.is_set():
                self._report(url, judgement.is_up, has_passed)
            is_calm = judgement.is_up and judgement.is_certain and not troubled.is_set()
            pause = float(health.interval if is_calm else health.fast_interval) * (0.9 + 0.2 * self._rng.random())


async def _set_from_unset(event: asyncio.Event) -> None:
    """Wait until it becomes set; for ever when it is already."""
    if event.is_set():
        await asyncio.Event().wait()
    await event.wait()


async def check(address: Address, health: Health, host: str | None = None) -> bool:
    """Whether one check passes: the whole answer within the timeout, with a status below 400.

    ``host`` is the endpoint's name where its address is a number: in TLS and in the Host field.
    """
    try:
        async with asyncio.timeout(health.timeout):
            if health.path is None:
                return await _connects(address)
            return await _answers(address, health.path, host)
    except (TimeoutError, OSError, aiohttp.ClientError, ValueError):
        return False


async def _connects(address: Address) -> bool:
    if address.path:
        _, writer = await asyncio.open_unix_connection(address.path)
    else:
        _, writer = await asyncio.open_connection(address.host, address.port)
    writer.close()
    return True


async def _answers(address: Address, path: str, host: str | None) -> bool:
    # A connection of its own for every check: a kept one would not see that nobody can connect any more.
    connector = aiohttp.UnixConnector(address.path) if address.path else aiohttp.TCPConnector(force_close=True)
    base = f"{address.scheme}://{address.authority}"
    fields = {} if host is None else {"Host": address._replace(host=host).authority}
    async with (
        aiohttp.ClientSession(connector=connector, auto_decompress=False) as session,
        session.get(base + path, allow_redirects=False, headers=fields, server_hostname=host) as response,
    ):
        async for piece in response.content.iter_chunked(_LARGEST):
            if len(piece) >= _LARGEST:
                break  # enough to know that it answers
        return response.status < _BAD
