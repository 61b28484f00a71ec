"""What a data plane does when an endpoint leaves: it finishes what it has there, begins nothing, and says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.upstream.settings import EndpointSettings
from tests.support.client import connected
from tests.support.running import until
from tests.support.upstreams import ask, gateway_before, head, origins

if TYPE_CHECKING:
    from gateway.telemetry.snapshot import ResilienceSnapshot
    from tests.support.origin import Exchange, Origin
    from tests.support.plane import RunningGateway


def url(origin: Origin) -> str:
    return f"http://127.0.0.1:{origin.port}"


def told(gateway: RunningGateway) -> ResilienceSnapshot:
    return gateway.snapshot().resilience["origin"]


def leave_only(gateway: RunningGateway, *left: Origin, order: int = 1, warm: tuple[str, ...] = ()) -> None:
    endpoints = [EndpointSettings(url(one)) for one in left]
    gateway.plane.set_endpoints("origin", endpoints, order=order, warm=warm)


async def test_what_is_in_flight_is_finished_and_told() -> None:
    """A request at an endpoint that left is answered, counted as under way until then, and nothing new goes there."""
    may_answer = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await exchange.read_body()
        await may_answer.wait()
        await exchange.answer(b"late")

    async with origins(2) as (first, second), gateway_before([first, second], timeouts={"head": "20s"}) as gateway:
        leave_only(gateway, first, order=1)
        first.on("/slow", slow)
        async with connected(gateway.port) as client:
            await client.send(head("POST", "/slow", b"body"))
            await until(lambda: first.asked("/slow"))
            leave_only(gateway, second, order=2)
            assert (told(gateway).order, told(gateway).departing) == (2, {url(first): 1})
            for _ in range(5):
                assert (await ask(gateway)).status == 200
            assert len(second.requests) == 5
            assert told(gateway).departing == {url(first): 1}
            may_answer.set()
            assert (await client.answer("POST")).body == b"late"
        await until(lambda: not told(gateway).departing)
        await until(lambda: not first.open_connections)
        assert len(first.requests) == 1


async def test_idle_connections_are_closed_by_us() -> None:
    """An endpoint that leaves loses its idle connections, before it can close them under a request."""
    async with origins(2) as (first, second), gateway_before([first, second]) as gateway:
        leave_only(gateway, first, order=1)
        assert (await ask(gateway)).status == 200
        assert first.open_connections == 1
        assert told(gateway).endpoints[url(first)].served == 1
        leave_only(gateway, second, order=2)
        await until(lambda: not first.open_connections)
        await until(lambda: not told(gateway).departing)
        assert gateway.snapshot().upstream_opened == 1
        leave_only(gateway, first, order=3)
        assert (await ask(gateway)).status == 200
        assert told(gateway).endpoints[url(first)].served == 1  # it counts anew
        await until(lambda: gateway.snapshot().upstream_opened == 2)


async def test_a_broken_answer_counts_as_one_connection_less() -> None:
    """Answers on connections that closed are counted, those that were not complete are not."""

    async def close(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.answer(b"last", fields=b"Connection: close\r\n")

    async with origins(1) as (origin,), gateway_before([origin]) as gateway:
        origin.on("/close", close)
        for _ in range(3):
            assert (await ask(gateway, path="/close")).body == b"last"
        assert told(gateway).endpoints[url(origin)].served == 3


async def test_a_tunnel_is_under_way() -> None:
    """An endpoint that left is not idle while a tunnel is open there."""

    async def switch(exchange: Exchange) -> None:
        await exchange.wire.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        await exchange.wait_until_abandoned()

    async with origins(2) as (first, second), gateway_before([first, second]) as gateway:
        leave_only(gateway, first, order=1)
        first.on("/tunnel", switch)
        async with connected(gateway.port) as client:
            await client.send(head("GET", "/tunnel", fields=b"Connection: upgrade\r\nUpgrade: echo\r\n"))
            await until(lambda: gateway.snapshot().connections.count(("client", "tunnel", 1)))
            leave_only(gateway, second, order=2)
            await asyncio.sleep(0.5)  # longer than anything looks at it
            assert told(gateway).departing == {url(first): 1}
        await until(lambda: not told(gateway).departing)


async def test_who_is_warm_has_its_whole_weight_at_once() -> None:
    """A newcomer begins with a tenth of its weight, a warm one with all of it."""
    async with origins(3) as (first, cold, warm), gateway_before([first], slow_start="300ms") as gateway:
        await asyncio.sleep(0.4)  # those that come together at the start need not spare one another
        leave_only(gateway, first, cold, warm, order=1, warm=(url(warm),))
        shares = {name: one.share for name, one in told(gateway).endpoints.items()}
        assert shares[url(warm)] == shares[url(first)] == 1.0
        assert shares[url(cold)] < 1.0
