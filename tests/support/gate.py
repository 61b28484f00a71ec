"""Before a gate: an upstream that is kept busy, and clients that come to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.support.client import Client, connected

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from tests.support.origin import Exchange, Origin
    from tests.support.plane import RunningGateway

GET = b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n"


def limited(limit: int = 1, **queue: Any) -> dict[str, Any]:
    """A configuration in which so many may be in flight, and the others wait long."""
    return {
        "upstreams": {
            "origin": {
                "limit": {"kind": "fixed", "initial": limit},
                "queue": {"max_wait": "20s", **queue},
                "timeouts": {"head": "20s", "idle": "20s"},
            }
        },
        "gateway": {"timeouts": {"head": "20s", "body_idle": "20s", "keepalive": "20s"}},
    }


class Hold:
    """An origin behaviour that answers when it is told to, and counts what it holds."""

    def __init__(self, origin: Origin) -> None:
        self.held = 0
        self.most = 0
        self._go = asyncio.Semaphore(0)
        origin.default = self.behave

    async def behave(self, exchange: Exchange) -> None:
        """Take the request, and answer with its target when released."""
        await exchange.read_body()
        self.held += 1
        self.most = max(self.most, self.held)
        await self._go.acquire()
        self.held -= 1
        await exchange.answer(exchange.request.target)

    def release(self, count: int = 1) -> None:
        """Answer so many, whether they are here or still to come."""
        for _ in range(count):
            self._go.release()


def queued(gateway: RunningGateway) -> int:
    """How many wait in the queue."""
    return gateway.plane.gates["origin"].queue.count


async def connect_all(stack: AsyncExitStack, gateway: RunningGateway, count: int) -> list[Client]:
    """So many clients, connected until the stack ends."""
    return [await stack.enter_async_context(connected(gateway.port)) for _ in range(count)]
