"""Requests behind one that is refused while its connection stays open."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.client import connected
from tests.support.plane import running_gateway
from tests.support.running import until
from tests.support.upstreams import head

if TYPE_CHECKING:
    from tests.support.origin import Exchange, Origin

FULL: dict[str, Any] = {
    "upstreams": {
        "origin": {
            "limit": {"kind": "fixed", "initial": 1},
            "queue": {"max_length": 1, "max_wait": "20s"},
            "timeouts": {"head": "20s"},
        }
    }
}


@pytest.mark.parametrize("size", [5, 20_000, 40_000])
async def test_what_came_with_a_request_that_is_refused_is_answered(origin: Origin, size: int) -> None:
    """A POST is refused when its body is here, its connection stays open, and the requests behind it have their turn."""
    release = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await release.wait()
        await exchange.answer(b"slow")

    origin.on("/slow", slow)
    async with running_gateway(origin.port, FULL) as gateway:
        gate = gateway.plane.gates["origin"]
        async with connected(gateway.port) as first, connected(gateway.port) as second:
            await first.send(head("GET", "/slow"))
            await until(lambda: gate.in_flight == 1)
            await second.send(head("GET", "/slow"))
            await until(lambda: gate.queue.count == 1)
            async with connected(gateway.port) as client:
                await client.send(head("POST", "/a", b"x" * size) + head("GET", "/b") * 3)
                assert [(await client.answer()).status for _ in range(4)] == [503] * 4
            release.set()
            assert (await first.answer()).status == 200
            assert (await second.answer()).status == 200
