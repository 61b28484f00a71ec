"""Several origins behind one gateway, and the few ways in which they fail that tests share."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.support.client import connected
from tests.support.origin import running_origin
from tests.support.plane import running_gateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.core.clock import Clock
    from tests.support.client import Answer
    from tests.support.origin import Exchange, Origin
    from tests.support.plane import RunningGateway

QUICK: dict[str, Any] = {"backoff": {"base": "1ms", "max": "2ms"}}


def head(method: str, path: str = "/case", body: bytes = b"", fields: bytes = b"") -> bytes:
    """A request; with a body it has a Content-Length."""
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return b"%b %b HTTP/1.1\r\nHost: a\r\n%b%b\r\n%b" % (method.encode(), path.encode(), length, fields, body)


@asynccontextmanager
async def origins(count: int) -> AsyncIterator[list[Origin]]:
    """So many origins, until the block ends."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running_origin()) for _ in range(count)]


@asynccontextmanager
async def gateway_before(
    some: list[Origin], *, clock: Clock | None = None, **upstream: Any
) -> AsyncIterator[RunningGateway]:
    """A gateway whose one upstream has these origins as endpoints and these settings."""
    endpoints = [f"http://127.0.0.1:{one.port}" for one in some]
    config = {"upstreams": {"origin": {"endpoints": endpoints, "breaker": {"mode": "off"}, **upstream}}}
    async with running_gateway(some[0].port, config, clock=clock) as gateway:
        yield gateway


async def ask(gateway: RunningGateway, method: str = "GET", path: str = "/case", body: bytes = b"") -> Answer:
    """One request on a connection of its own."""
    async with connected(gateway.port) as client:
        await client.send(head(method, path, body))
        return await client.answer(method)


async def refuse_by_status(exchange: Exchange) -> None:
    """Answer 500."""
    await exchange.read_body()
    await exchange.answer(b"broken", b"500 Internal Server Error")


async def reset_at_once(exchange: Exchange) -> None:
    """Break the connection off as soon as a request comes."""
    await exchange.read_body()
    exchange.wire.reset()


async def hang(exchange: Exchange) -> None:
    """Say nothing until the gateway leaves."""
    await exchange.wait_until_abandoned()
