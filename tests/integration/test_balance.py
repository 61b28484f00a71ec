"""Who is asked, through a real gateway."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.support.client import connected
from tests.support.origin import Exchange, echo
from tests.support.upstreams import ask, gateway_before, head, origins


async def test_a_key_stays_at_its_endpoint() -> None:
    """ring_hash: the requests of one tenant meet the same endpoint, those of many spread."""
    async with origins(3) as some, gateway_before(some, balance="ring_hash", hash_key="header:x-tenant") as gateway:
        for _ in range(3):
            for tenant in range(30):
                async with connected(gateway.port) as client:
                    await client.send(head("GET", fields=b"X-Tenant: %d\r\n" % tenant))
                    assert (await client.answer()).status == 200
    homes = [Counter(request.value(b"X-Tenant") for request in one.asked("/case")) for one in some]
    assert all(set(home.values()) <= {3} for home in homes)
    assert all(homes)


@pytest.mark.parametrize("balance", ["p2c", "least_in_flight", "round_robin"])
async def test_everybody_is_asked(balance: str) -> None:
    """Equal endpoints get about as much, also without any load."""
    async with origins(3) as some, gateway_before(some, balance=balance) as gateway:
        for _ in range(90):
            await ask(gateway)
    assert min(len(one.requests) for one in some) >= 12


async def test_a_slow_endpoint_gets_less() -> None:
    """Whoever answers twenty times slower than its peers is hardly asked, although it fails at nothing."""

    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(0.2)
        await echo(exchange)

    async def usual(exchange: Exchange) -> None:
        await asyncio.sleep(0.01)
        await echo(exchange)

    async with origins(3) as some, gateway_before(some) as gateway:
        some[0].default = slow
        some[1].default = some[2].default = usual
        for _ in range(40):
            await asyncio.gather(*(ask(gateway) for _ in range(6)))
    assert len(some[0].requests) < 40


async def test_a_weight_counts() -> None:
    """Four times the weight is about four times the requests."""
    async with origins(2) as some:
        endpoints = [
            {"url": f"http://127.0.0.1:{some[0].port}", "weight": 4.0},
            {"url": f"http://127.0.0.1:{some[1].port}", "weight": 1.0},
        ]
        async with gateway_before(some, endpoints=endpoints, balance="round_robin") as gateway:
            for _ in range(50):
                await ask(gateway)
    assert [len(one.requests) for one in some] == [40, 10]
