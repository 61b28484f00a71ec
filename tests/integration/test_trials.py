"""An endpoint that does not end its answers comes back by copies of requests, and costs no client more."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.support.client import connected
from tests.support.origin import Exchange, echo
from tests.support.running import until
from tests.support.upstreams import ask, gateway_before, head, origins
from tests.support.wire import Ended

if TYPE_CHECKING:
    from tests.support.origin import Origin
    from tests.support.plane import RunningGateway

SETTINGS: dict[str, Any] = {
    "timeouts": {"idle": "30s"},
    "balance": "round_robin",
    "outlier": {"ejected_for": "200ms", "max_ejected_for": "400ms"},
    "retry": {"budget": {"ratio": 0.5, "min_per_second": 10}},
}


async def _half(exchange: Exchange) -> None:
    """The head and a half of the body, and then nothing."""
    await exchange.read_body()
    await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ")
    await exchange.wait_until_abandoned()


def _kinds(origin: Origin) -> list[bool]:
    """Of each request that came: whether it was a copy."""
    return [bool(request.value(b"X-Gateway-Attempt")) for request in origin.asked("/case")]


async def _leave_out(gateway: RunningGateway, some: list[Origin]) -> None:
    """Let a few clients wait too long at the first origin, which is left out then."""
    for _ in range(36):
        await ask(gateway)
    some[0].default = _half
    waiting = [asyncio.create_task(ask(gateway)) for _ in range(18)]
    await until(lambda: gateway.plane.snapshot().resilience["origin"].endpoints[_url(some[0])].ejections)
    for task in waiting:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*waiting)


def _url(origin: Origin) -> str:
    return f"http://127.0.0.1:{origin.port}"


async def test_nobody_waits_at_an_endpoint_that_still_drips() -> None:
    """After the sentence it gets copies alone, each after a longer one; and every client is answered elsewhere."""
    async with origins(3) as some, gateway_before(some, **SETTINGS) as gateway:
        await _leave_out(gateway, some)
        seen = len(_kinds(some[0]))
        while len(_kinds(some[0])) < seen + 2:
            assert (await ask(gateway)).status == 200
        assert all(_kinds(some[0])[seen:])
        snapshot = gateway.plane.snapshot().resilience["origin"].endpoints[_url(some[0])]
        assert ("stuck", "enforce") in {(reason, mode) for reason, mode, _ in snapshot.ejections}


async def test_a_copy_that_is_answered_brings_it_back() -> None:
    """Healed, it answers one copy, and gets requests again; what was held is given back."""
    async with origins(3) as some, gateway_before(some, **SETTINGS) as gateway:
        await _leave_out(gateway, some)
        some[0].default = echo
        seen = len(_kinds(some[0]))
        while False not in _kinds(some[0])[seen:]:
            assert (await ask(gateway)).status == 200
        assert _kinds(some[0])[seen:] == [True, False]
        await until(lambda: not any(gateway.plane.snapshot().in_flight.values()))
        snapshot = gateway.plane.snapshot()
        assert not snapshot.resilience["origin"].endpoints[_url(some[0])].in_flight
        # the copy is an attempt, and nobody's good answer
        assert snapshot.resilience["origin"].attempts["success"] == snapshot.loads["origin"].good + 1


async def test_who_breaks_answers_off_comes_back_by_a_copy_too() -> None:
    """Failures that no second attempt can hide are not tried out on clients again."""

    async def break_off(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ")
        exchange.wire.reset()

    async with origins(3) as some, gateway_before(some, **SETTINGS) as gateway:
        some[0].default = break_off
        url = _url(some[0])
        while not gateway.plane.snapshot().resilience["origin"].endpoints[url].ejections:
            with suppress(Ended):
                await ask(gateway)
        seen = len(_kinds(some[0]))
        while len(_kinds(some[0])) < seen + 2:
            assert (await ask(gateway)).status == 200
        assert all(_kinds(some[0])[seen:])


async def test_an_answer_that_ends_nowhere_says_nothing() -> None:
    """A copy of an event stream is late like the stream itself, so it does not speak against the endpoint."""

    async def go_on(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await exchange.wait_until_abandoned()

    async with origins(3) as some, gateway_before(some, **SETTINGS) as gateway:
        await _leave_out(gateway, some)
        standing = gateway.plane._groups["origin"].endpoints[0].standing
        sentences = standing.times
        for origin in some:
            origin.default = go_on
        seen = len(_kinds(some[0]))
        while len(_kinds(some[0])) == seen:
            async with connected(gateway.port) as client:
                await client.send(head("GET"))
                await asyncio.sleep(0.05)
        await until(lambda: not standing.is_on_trial, within=10.0)
        assert standing.times == sentences


async def test_what_is_not_safe_is_never_copied() -> None:
    """With nothing but POSTs the endpoint waits for its trial, and no POST comes twice."""
    async with origins(3) as some, gateway_before(some, **SETTINGS) as gateway:
        await _leave_out(gateway, some)
        seen = sum(len(_kinds(one)) for one in some)
        for _ in range(50):
            assert (await ask(gateway, "POST", body=b"once")).status == 200
            await asyncio.sleep(0.02)
        assert sum(len(_kinds(one)) for one in some) == seen + 50
