"""Names of endpoints, looked up again and again, once for the whole gateway.

A name with several addresses is several endpoints, which share its weight. Several names of one address are as many
endpoints, because each has its own host (for TLS and Host) and its own weight; all but the first of the file wear
their name behind the URL: ``https://192.0.2.1:443#b.example``. What has the same address and the same host is one
endpoint with the sum of the weights. Where a name has addresses of both families, one family is taken: see
:mod:`gateway.control.families`. A resolver that fails changes nothing: the last good set stays, for each family.
``localhost`` and addresses are left as they are.

Every look-up has a resolver of its own, which costs 0.1 ms: c-ares keeps answers, also that there is none, for as long
as their records say, which is longer than ``max_ttl`` allows, and nothing but a new one makes it forget them.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

import aiodns

from gateway.control.families import Addresses, choose, count_accepting
from gateway.core.clock import SystemClock
from gateway.telemetry.guard import Guard
from gateway.upstream.address import is_loopback_name, parse_address
from gateway.upstream.settings import EndpointSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from gateway.telemetry.logs import Logger
    from gateway.upstream.settings import Dns

_LOOKUP: Final = 5.0
_RESOLUTION_DELAY: Final = 0.5
"""RFC 8305 §3 waits 50 ms for the other family, because a user waits; here no request does."""
_NONE: Final = frozenset({aiodns.error.ARES_ENODATA, aiodns.error.ARES_ENOTFOUND})
"""The name is known and has no address of this family, or is not known."""


class Found(NamedTuple):
    """Addresses of one name and one family, sorted, and for how many seconds they are good; or why there is none."""

    addresses: tuple[str, ...]
    ttl: float
    why: str = ""


class Names:
    """Follows the names among the endpoints of one upstream; ``on_change`` gets all its endpoints, resolved.

    ``turns`` bounds how many look-ups are under way at once, for all upstreams.
    """

    def __init__(  # noqa: PLR0913 - everything from outside comes in here
        self,
        endpoints: Sequence[str | EndpointSettings],
        dns: Dns,
        *,
        turns: asyncio.Semaphore,
        rng: Random,
        log: Logger,
        on_change: Callable[[tuple[EndpointSettings, ...]], None],
    ) -> None:
        self._endpoints = [one if isinstance(one, EndpointSettings) else EndpointSettings(one) for one in endpoints]
        self._dns = dns
        self._turns = turns
        self._rng = rng
        self._log = log
        self._guard = Guard(log, SystemClock())
        self._on_change = on_change
        self._known: dict[str, tuple[str, ...]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.lost: set[str] = set()
        """Names that cannot be resolved now and never could be."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names to look up, in the order of the file."""
        found = (parse_address(one.url).host for one in self._endpoints)
        return tuple(dict.fromkeys(host for host in found if host and not _is_fixed(host)))

    def start(self) -> None:
        """Begin to look up, if there is a name."""
        if self.hosts:
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

    async def _follow(self, host: str) -> None:
        is_failing = False
        family = 0
        by_family = Addresses()
        ports = tuple(
            dict.fromkeys(
                address.port
                for address in (parse_address(one.url) for one in self._endpoints)
                if address.host == host and not address.path
            )
        )
        while True:
            pause = float(self._dns.min_ttl)
            async with self._turns:
                v4, v6 = await self._look_up(host)
            found = [one for one in (v4, v6) if isinstance(one, Found)]
            if not any(one.addresses for one in found):
                if not is_failing:
                    error = "; ".join(
                        dict.fromkeys(one.why if isinstance(one, Found) else str(one) for one in (v4, v6))
                    )
                    self._log.warning("name not resolved", name=host, error=error, kept=self._known.get(host, ()))
                is_failing = True
                if host not in self._known:
                    self.lost.add(host)
            else:
                self.lost.discard(host)
                if is_failing:
                    self._log.info("name resolved again", name=host)
                is_failing = False
                by_family = Addresses(
                    v4.addresses if isinstance(v4, Found) else by_family.v4,
                    v6.addresses if isinstance(v6, Found) else by_family.v6,
                )
                ttl = min(one.ttl for one in found if one.addresses)
                if by_family.is_both:
                    accepted_4 = await count_accepting(by_family.v4, ports)
                    accepted_6 = await count_accepting(by_family.v6, ports)
                    family = choose(accepted_4, accepted_6, family)
                    if not accepted_4 and not accepted_6:
                        ttl = 0.0  # what begins to listen is found soon
                pause = min(max(ttl, pause), float(self._dns.max_ttl))
                addresses = by_family.of(family)
                if addresses != self._known.get(host):
                    self._known[host] = addresses
                    self._on_change(self._resolved())
            await asyncio.sleep(pause * (1 + 0.1 * self._rng.random()))

    async def _look_up(self, host: str) -> list[Found | Exception]:
        """What is found of IPv4 and of IPv6; neither waits long for the other once it has addresses."""
        resolver = aiodns.DNSResolver(nameservers=list(self._dns.servers) or None, timeout=_LOOKUP / 2, tries=2)
        asking = [
            asyncio.create_task(_look_up_one(resolver, host, family)) for family in (socket.AF_INET, socket.AF_INET6)
        ]
        try:
            done, waiting = await asyncio.wait(asking, timeout=_LOOKUP, return_when=asyncio.FIRST_COMPLETED)
            if waiting:
                has_addresses = any(isinstance(found := one.result(), Found) and found.addresses for one in done)
                await asyncio.wait(waiting, timeout=_RESOLUTION_DELAY if has_addresses else _LOOKUP)
            return [one.result() if one.done() else TimeoutError("no answer in time") for one in asking]
        finally:
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            await resolver.close()

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


async def _look_up_one(resolver: aiodns.DNSResolver, host: str, family: socket.AddressFamily) -> Found | Exception:
    try:
        result = await resolver.getaddrinfo(host, family=family, type=socket.SOCK_STREAM)
    except aiodns.error.DNSError as error:
        if error.args and error.args[0] in _NONE:
            return Found((), 0.0, str(error.args[-1]))
        return error
    addresses = {node.addr[0].decode("ascii") for node in result.nodes}
    return Found(tuple(sorted(addresses)), min((float(node.ttl) for node in result.nodes), default=0.0))


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
    if is_loopback_name(host):
        return True
    with suppress(ValueError):
        ip_address(host)
        return True
    return False
