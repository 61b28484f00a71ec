"""Names of endpoints, looked up again and again, once for the whole gateway.

A name with several addresses is several endpoints, which share its weight. Several names of one address are as many
endpoints, because each has its own host (for TLS and Host) and its own weight; all but the first of the file wear
their name behind the URL: ``https://192.0.2.1:443#b.example``. What has the same address and the same host is one
endpoint with the sum of the weights. Where a name has both kinds of addresses, those of IPv4 are taken: networks
without IPv6 routes still hand out its addresses. A resolver that fails changes nothing: the last good set stays.
``localhost`` and addresses are left as they are.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

import aiodns

from gateway.core.clock import SystemClock
from gateway.telemetry.guard import Guard
from gateway.upstream.address import parse_address
from gateway.upstream.settings import EndpointSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from gateway.telemetry.logs import Logger
    from gateway.upstream.settings import Dns

_LOOKUP: Final = 5.0


class Found(NamedTuple):
    """The addresses of one name, sorted, and for how many seconds they are good."""

    addresses: tuple[str, ...]
    ttl: float


class Names:
    """Follows the names among the endpoints of one upstream; ``on_change`` gets all its endpoints, resolved."""

    def __init__(
        self,
        endpoints: Sequence[str | EndpointSettings],
        dns: Dns,
        *,
        rng: Random,
        log: Logger,
        on_change: Callable[[tuple[EndpointSettings, ...]], None],
    ) -> None:
        self._endpoints = [one if isinstance(one, EndpointSettings) else EndpointSettings(one) for one in endpoints]
        self._dns = dns
        self._rng = rng
        self._log = log
        self._guard = Guard(log, SystemClock())
        self._on_change = on_change
        self._known: dict[str, tuple[str, ...]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._resolver: aiodns.DNSResolver | None = None

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names to look up, in the order of the file."""
        found = (parse_address(one.url).host for one in self._endpoints)
        return tuple(dict.fromkeys(host for host in found if host and not _is_fixed(host)))

    def start(self) -> None:
        """Begin to look up, if there is a name."""
        if self.hosts:
            self._resolver = aiodns.DNSResolver(
                nameservers=list(self._dns.servers) or None, timeout=_LOOKUP / 2, tries=2
            )
            self._tasks = [
                asyncio.create_task(
                    self._guard.keep_going(f"name {host}", partial(self._follow, host)), name=f"name {host}"
                )
                for host in self.hosts
            ]

    async def stop(self) -> None:
        """Look nothing up any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._resolver is not None:
            await self._resolver.close()
            self._resolver = None

    async def _follow(self, host: str) -> None:
        is_failing = False
        while True:
            pause = float(self._dns.min_ttl)
            try:
                async with asyncio.timeout(_LOOKUP):
                    found = await self._look_up(host)
            except (TimeoutError, aiodns.error.DNSError) as error:
                if not is_failing:
                    self._log.warning("name not resolved", name=host, error=str(error), kept=self._known.get(host, ()))
                is_failing = True
            else:
                is_failing = False
                pause = min(max(found.ttl, pause), float(self._dns.max_ttl))
                if found.addresses and found.addresses != self._known.get(host):
                    self._known[host] = found.addresses
                    self._on_change(self._resolved())
            await asyncio.sleep(pause * (1 + 0.1 * self._rng.random()))

    async def _look_up(self, host: str) -> Found:
        assert self._resolver is not None  # noqa: S101 - started
        result = await self._resolver.getaddrinfo(host, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM)
        wanted = socket.AF_INET if any(node.family == socket.AF_INET for node in result.nodes) else socket.AF_INET6
        nodes = [node for node in result.nodes if node.family == wanted]
        addresses = {node.addr[0].decode("ascii") for node in nodes}
        return Found(tuple(sorted(addresses)), min((float(node.ttl) for node in nodes), default=0.0))

    def _resolved(self) -> tuple[EndpointSettings, ...]:
        """All endpoints, names replaced by their addresses where these are known."""
        found: dict[str, EndpointSettings] = {}
        for one in self._endpoints:
            address = parse_address(one.url)
            addresses = self._known.get(address.host)
            if not addresses:
                _add(found, one)
                continue
            for ip in addresses:
                host = f"[{ip}]" if ":" in ip else ip
                url = f"{address.scheme}://{host}:{address.port}"
                _add(found, EndpointSettings(url, one.weight / len(addresses), one.host or address.host))
        return tuple(found.values())


def _add(found: dict[str, EndpointSettings], one: EndpointSettings) -> None:
    """Put an endpoint beside those that were found before."""
    for url in (one.url, f"{one.url}#{one.host or parse_address(one.url).host}"):
        before = found.get(url)
        if before is None:
            found[url] = EndpointSettings(url, one.weight, one.host)
            return
        if before.host == one.host:
            found[url] = EndpointSettings(url, before.weight + one.weight, one.host)
            return


def _is_fixed(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        ip_address(host)
        return True
    return False
