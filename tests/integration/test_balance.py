"""Who is asked, through a real gateway."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from gateway.core.clock import ManualClock
from gateway.resilience.breaker import Breaker
from gateway.resilience.page import Page
from gateway.resilience.route import RouteBreakers
from gateway.resilience.standing import Standing
from gateway.upstream.group import UpstreamGroup
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
    """Equal endpoints are asked, also without any load, and also one whose first answer was late by chance.

    Time is what the test says: the late answer takes 0.3 s, all others none.
    """
    clock = ManualClock(1000.0)

    async def late(exchange: Exchange) -> None:
        some[0].default = echo
        clock.advance(0.3)
        await echo(exchange)

    async with origins(3) as some, gateway_before(some, clock=clock, balance=balance) as gateway:
        some[0].default = late
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


async def test_what_is_learned_is_the_time_to_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long body makes neither its endpoint nor its page slow: balancer, breakers and page hear when the head came."""
    heard: dict[str, float] = {}

    def note(name: str, place: int, method: Any) -> Any:
        def noted(self: object, *args: Any, **named: Any) -> Any:
            heard[name] = named["seconds"] if place < 0 else args[place]
            return method(self, *args, **named)

        return noted

    for name, kind, method, place in (
        ("balancer", Standing, "note", 1),
        ("endpoint's breaker", Breaker, "report", 2),
        ("upstream's breaker", UpstreamGroup, "leave", 2),
        ("page", Page, "note", 0),
        ("route's breakers", RouteBreakers, "note", -1),
    ):
        monkeypatch.setattr(kind, method, note(name, place, getattr(kind, method)))
    go_on = asyncio.Event()

    async def slowly(exchange: Exchange) -> None:
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        await go_on.wait()
        await exchange.wire.send(b"def")

    config: dict[str, Any] = {"breaker": {"mode": "enforce"}, "timeouts": {"idle": "30s", "head": "30s"}}
    async with origins(2) as some, gateway_before(some, **config) as gateway:
        for route in gateway.plane._groups["origin"].routes:
            route.is_active = True  # as when something failed of late
        some[0].default = some[1].default = slowly
        clock = gateway.plane.clock
        async with connected(gateway.port) as client:
            began_at = clock.now()
            await client.send(head("GET"))
            await client.wire.until(b"\r\n\r\n")
            took = clock.now() - began_at
            await asyncio.sleep(took + 0.02)
            go_on.set()
            assert await client.wire.exactly(6) == b"abcdef"
            await gateway.settle()
    assert len(heard) == 5
    assert max(heard.values()) <= took
