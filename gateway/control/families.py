"""Which family of addresses, where a name has both (after RFC 8305, Happy Eyeballs).

A client that races both families for each connection hides a broken one from its user. Here the race is run beside the
path, at every look-up, so that no request waits for it: every address is connected to, and the family of which more
addresses accept becomes the endpoints; IPv6 among equals (RFC 6724 §2.1), but what serves already stays. So an AAAA
record without a route, a service that listens on one family only, and a network without IPv4 all are served.

Rejected: endpoints of both families at once. The same machine would be two of them, with twice its part of the load.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_PATIENCE: Final = 1.0
_MOST: Final = 16
"""Addresses of one family that are tried."""


class Addresses(NamedTuple):
    """The addresses of one name by family, sorted."""

    v4: tuple[str, ...] = ()
    v6: tuple[str, ...] = ()

    @property
    def is_both(self) -> bool:
        """Whether there is a choice."""
        return bool(self.v4 and self.v6)

    def of(self, family: int) -> tuple[str, ...]:
        """Those of family 4 or 6, or of the other one where there are none."""
        return (self.v6 or self.v4) if family == 6 else (self.v4 or self.v6)  # noqa: PLR2004 - its name


def choose(accepted_4: int, accepted_6: int, current: int) -> int:
    """The family, 4 or 6, by how many addresses of each accepted a connection; ``current`` is 0 at first.

    Where none accepted nothing is known: the current one stays, and at first it is IPv4, which more networks have.
    """
    if accepted_4 == accepted_6:
        return current or (6 if accepted_6 else 4)
    return 4 if accepted_4 > accepted_6 else 6


async def count_accepting(addresses: Iterable[str], ports: Iterable[int]) -> int:
    """How many of these addresses accept a connection on one of the ports within a second."""
    ports = tuple(ports)
    found = await asyncio.gather(*(_accepts(one, ports) for one in tuple(addresses)[:_MOST]))
    return sum(found)


async def _accepts(address: str, ports: tuple[int, ...]) -> bool:
    for port in ports:
        try:
            async with asyncio.timeout(_PATIENCE):
                _, writer = await asyncio.open_connection(address, port)
        except (TimeoutError, OSError):
            continue
        writer.close()
        return True
    return False
