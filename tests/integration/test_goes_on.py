"""An accident in one callback of a worker ends nothing else, and keeps nothing alive."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import pytest

from gateway.admission.gate import Gate
from gateway.http.upstream import UpstreamConnection
from gateway.proxy.exchange import Exchange
from tests.support.client import connected
from tests.support.plane import HASTY, running_gateway

if TYPE_CHECKING:
    from tests.support.origin import Exchange as Asked
    from tests.support.origin import Origin

_HANG = b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n"


async def _never(exchange: Asked) -> None:
    await exchange.wait_until_abandoned()


async def test_an_exception_in_a_tick_does_not_end_the_deadlines(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One upstream's part of a turn fails: the turn goes on, so does the next, and the log says so."""
    origin.on("/hang", _never)
    good = Gate.tick

    def fails_once(self: Gate, now: float) -> None:
        monkeypatch.setattr(Gate, "tick", good)
        del self, now
        raise ValueError("an accident")

    with pytest.raises(AssertionError, match="callback failed"):
        async with running_gateway(origin.port, HASTY) as gateway:
            monkeypatch.setattr(Gate, "tick", fails_once)
            async with connected(gateway.port) as client:
                await client.send(_HANG)
                assert (await client.answer()).status == 504
            assert [event["callback"] for event in gateway.events if event["event"] == "callback failed"] == ["origin"]


async def test_a_deadline_that_raises_ends_its_own_connection_only(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is over, nothing leaks, and other deadlines of the same instant come."""
    origin.on("/hang", _never)
    good = UpstreamConnection.on_deadline

    def fails_once(self: UpstreamConnection, now: float) -> None:
        monkeypatch.setattr(UpstreamConnection, "on_deadline", good)
        del self, now
        raise ValueError("an accident")

    with pytest.raises(AssertionError, match="callback failed"):
        async with running_gateway(origin.port, HASTY) as gateway:
            monkeypatch.setattr(UpstreamConnection, "on_deadline", fails_once)
            async with connected(gateway.port) as one, connected(gateway.port) as other:
                await one.send(_HANG)
                await other.send(_HANG)
                statuses = {(await client.answer()).status for client in (one, other)}
            assert statuses == {502, 504}


async def test_a_load_report_of_nested_arrays_is_passed_over(origin: Origin) -> None:
    """Thousands of brackets in one response field do not keep a worker from reporting."""

    async def evil(exchange: Asked) -> None:
        await exchange.answer(b"ok", fields=b"endpoint-load-metrics: JSON " + b"[" * 5000 + b"\r\n")

    origin.default = evil
    async with running_gateway(origin.port) as gateway:
        async with connected(gateway.port) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.answer()).status == 200
        for _ in range(2):
            assert gateway.snapshot().resilience["origin"]


@pytest.mark.parametrize(
    ("raw", "config"),
    [
        (b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n", {"gateway": {"limits": {"body": "1KiB"}}}),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nVia: 1.1 gateway-test (all)\r\n\r\n", {}),
        (b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n", {"routes": {"all": {"match": {"path": "/only"}}}}),
    ],
    ids=["body", "loop", "route"],
)
async def test_refusals_keep_nothing_alive(origin: Origin, raw: bytes, config: dict[str, object]) -> None:
    """The same head refused 300 times leaves no request behind: an exception that is kept must not be raised."""
    async with running_gateway(origin.port, config) as gateway:
        for _ in range(300):
            async with connected(gateway.port) as client:
                await client.send(raw)
                assert (await client.answer()).status >= 400
        await asyncio.sleep(0.05)
        gc.collect()
        alive = sum(isinstance(one, Exchange) for one in gc.get_objects())
        assert alive < 20


@pytest.mark.parametrize("host", ["a..b.example", "x" * 70 + ".example"])
async def test_a_name_that_cannot_be_written_is_a_failure_of_its_endpoint(origin: Origin, host: str) -> None:
    """The client gets 502, and nothing stays in flight."""
    config = {"upstreams": {"origin": {"endpoints": [f"http://{host}:80"]}}}
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.json["reason"]) == (502, "dns_failed")


async def test_an_accident_while_connecting_ends_the_request(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever connecting raises: the client is answered, every place is back, and the log has the error."""
    from gateway.upstream.endpoint import Endpoint

    async def fails(self: Endpoint) -> UpstreamConnection:
        del self
        raise ValueError("an accident")

    monkeypatch.setattr(Endpoint, "connect", fails)
    with pytest.raises(AssertionError, match="task failed"):
        async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.answer()).status == 502
