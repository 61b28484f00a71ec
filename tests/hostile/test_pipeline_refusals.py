"""Requests behind one that is refused while its connection stays open."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.client import connected
from tests.support.plane import running_gateway
from tests.support.running import until
from tests.support.upstreams import head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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


@asynccontextmanager
async def _full(origin: Origin) -> AsyncIterator[int]:
    """The port of a gateway with one place and one to wait in, both of them taken until the block ends."""
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
            try:
                yield gateway.port
            finally:
                release.set()
            assert (await first.answer()).status == 200
            assert (await second.answer()).status == 200


@pytest.mark.parametrize("size", [5, 20_000, 40_000])
async def test_what_came_with_a_request_that_is_refused_is_answered(origin: Origin, size: int) -> None:
    """A POST is refused when its body is here, its connection stays open, and the requests behind it have their turn."""
    async with _full(origin) as port, connected(port) as client:
        await client.send(head("POST", "/a", b"x" * size) + head("GET", "/b") * 3)
        assert [(await client.answer()).status for _ in range(4)] == [503] * 4


@pytest.mark.parametrize("seed", range(5))
async def test_however_a_pipeline_of_refused_requests_is_cut_each_has_its_answer(origin: Origin, seed: int) -> None:
    """With bodies and without, in pieces of any length: as many answers as requests, and all of one kind."""
    rng = random.Random(seed)
    async with _full(origin) as port:
        for _ in range(10):
            sizes = [rng.choice((0, 0, 1, 9, 500, 16_384, 30_000)) for _ in range(12)]
            stream = b"".join(head("POST" if size else "GET", "/a", b"x" * size) for size in sizes)
            cuts = sorted(rng.randrange(len(stream)) for _ in range(rng.choice((0, 3, 40))))
            async with connected(port) as client:
                await client.send_split(stream, cuts)
                assert [(await client.answer()).status for _ in sizes] == [503] * len(sizes)
