"""A place in the limit is held while the service works for a request, and not while something else is waited for.

Each shape is held by as many clients as the limit has places, and more; a plain request must pass all the same.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.client import Client, connected
from tests.support.origin import running_origin
from tests.support.plane import running_gateway

if TYPE_CHECKING:
    from tests.support.origin import Exchange, Origin
    from tests.support.plane import RunningGateway

_PLACES = 4
_MANY = 10
_PLAIN = b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"
_ASK = b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n"


def _config(**upstream: Any) -> dict[str, Any]:
    return {
        "gateway": {"timeouts": {"body_idle": "20s", "head": "20s"}, "limits": {"body": "64MiB"}},
        "upstreams": {
            "origin": {
                "limit": {"kind": "fixed", "initial": _PLACES},
                "queue": {"max_wait": "20s"},
                "timeouts": {"head": "20s", "idle": "20s"},
                **upstream,
            }
        },
    }


async def _events(exchange: Exchange) -> None:
    await exchange.wire.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n: hi\n\r\n"
    )
    await exchange.wait_until_abandoned()


async def _long_body(exchange: Exchange) -> None:
    await exchange.wire.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
    )
    await exchange.wait_until_abandoned()


async def _tunnel(exchange: Exchange) -> None:
    await exchange.wire.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n")
    await exchange.wait_until_abandoned()


async def _big(exchange: Exchange) -> None:
    await exchange.answer(b"x" * 8_000_000)
    await exchange.wait_until_abandoned()


async def _never(exchange: Exchange) -> None:
    await exchange.wait_until_abandoned()


_SHAPES = {
    "event streams": (_events, _ASK),
    "long bodies": (_long_body, _ASK),
    "tunnels": (_tunnel, _ASK[:-2] + b"Connection: Upgrade\r\nUpgrade: foo\r\n\r\n"),
    "slow readers": (_big, _ASK),
    "slow uploads": (_never, b"PUT /held HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\nx"),
    "slow small uploads": (_never, b"PUT /held HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nx"),
    "chunked uploads": (_never, b"PUT /held HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"),
}


async def _hold(gateway: RunningGateway, stack: AsyncExitStack, raw: bytes, count: int = _MANY) -> list[Client]:
    clients = []
    for _ in range(count):
        client = await stack.enter_async_context(connected(gateway.port, receive_buffer=4096))
        await client.send(raw)
        clients.append(client)
    return clients


@pytest.mark.parametrize("shape", _SHAPES)
async def test_more_of_them_than_places_hold_up_no_plain_request(origin: Origin, shape: str) -> None:
    """Ten beside four places: plain requests are answered, and afterwards every place and count is back."""
    behaviour, raw = _SHAPES[shape]
    origin.on("/held", behaviour)
    async with running_gateway(origin.port, _config()) as gateway:
        async with AsyncExitStack() as stack:
            await _hold(gateway, stack, raw)
            plain = await stack.enter_async_context(connected(gateway.port))
            for _ in range(3):
                await plain.send(_PLAIN)
                assert (await plain.answer(within=15)).status == 200
            if shape != "slow small uploads":  # those have not been admitted at all
                async with asyncio.timeout(15):
                    while len(origin.asked("/held")) < _MANY:
                        await asyncio.sleep(0.01)
        await gateway.settle()
        gate = gateway.plane.gates["origin"]
        assert (gate.in_flight, gate.streams, gate.queue.count) == (0, 0, 0)
        load = gateway.snapshot().loads["origin"]
        assert (load.in_flight, load.streams) == (0, 0)
        endpoint = gateway.plane._groups["origin"].endpoints[0]
        assert (endpoint.in_flight, endpoint.streams) == (0, 0)


@pytest.mark.parametrize("shape", ["event streams", "tunnels", "slow readers"])
async def test_a_limit_for_each_endpoint_lets_them_go_too(origin: Origin, shape: str) -> None:
    """The endpoint's own limit does not count them either."""
    behaviour, raw = _SHAPES[shape]
    origin.on("/held", behaviour)
    config = _config(limit={"kind": "fixed", "initial": _PLACES, "per": "endpoint"})
    async with running_gateway(origin.port, config) as gateway, AsyncExitStack() as stack:
        await _hold(gateway, stack, raw)
        plain = await stack.enter_async_context(connected(gateway.port))
        await plain.send(_PLAIN)
        assert (await plain.answer(within=15)).status == 200


async def test_streams_are_counted_and_can_be_bounded(origin: Origin) -> None:
    """With room for two streams the third keeps its place; they are held slots in the signals."""
    origin.on("/held", _events)
    config = _config(limit={"kind": "fixed", "initial": _PLACES, "streams": 2})
    async with running_gateway(origin.port, config) as gateway, AsyncExitStack() as stack:
        for client in await _hold(gateway, stack, _ASK, 3):
            await client.wire.until(b": hi\n")
        gate = gateway.plane.gates["origin"]
        assert (gate.streams, gate.in_flight) == (2, 1)
        snapshot = gateway.snapshot()
        assert snapshot.gates["origin"].streams == 2
        assert snapshot.loads["origin"].streams == 3


async def test_after_a_slow_upload_the_place_is_held_again(origin: Origin) -> None:
    """While it trickles it holds none; when it is complete the service works for it, and others wait."""
    go_on = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await exchange.read_body()
        await go_on.wait()
        await exchange.answer(b"done")

    origin.on("/held", slow)
    config = _config(limit={"kind": "fixed", "initial": 1})
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        gate = gateway.plane.gates["origin"]
        await client.send(b"PUT /held HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx")
        async with asyncio.timeout(10):
            while not gate.streams:
                await asyncio.sleep(0.01)
        assert gate.in_flight == 0
        await client.send(b"x" * 99_999)
        async with asyncio.timeout(10):
            while gate.streams:
                await asyncio.sleep(0.01)
        assert gate.in_flight == 1
        async with connected(gateway.port) as plain:
            await plain.send(_PLAIN)
            async with asyncio.timeout(10):
                while not gate.queue.count:
                    await asyncio.sleep(0.01)
            go_on.set()
            assert (await client.answer()).body == b"done"
            assert (await plain.answer()).status == 200


async def test_a_stream_teaches_nothing(origin: Origin) -> None:
    """Neither a limit that adapts nor the usual latency hears of an answer that was a stream."""
    origin.on("/held", _events)
    config = _config(limit={"kind": "adaptive"})
    async with running_gateway(origin.port, config) as gateway:
        async with AsyncExitStack() as stack:
            for client in await _hold(gateway, stack, _ASK, 3):
                await client.wire.until(b": hi\n")
        await gateway.settle()
        gate = gateway.plane.gates["origin"]
        assert (gate.latency, gate.changes, gate.streams) == (0.0, {}, 0)


_BODY = bytes(range(256)) * 4000


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [10, 64 * 1024, 1_000_000])
async def test_a_route_that_buffers_sends_only_whole_uploads(origin: Origin, framing: str, size: int) -> None:
    """Nothing reaches the service before the last byte is here; then all of it does, and the file is gone."""
    config = {**_config(), "routes": {"all": {"upstream": "origin", "buffer_request": "10MiB"}}}
    body = _BODY[:size]
    if framing == "length":
        raw = b"PUT /case HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (size, body)
    else:
        raw = b"PUT /case HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (size, body)
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        await client.send(raw[:-1])
        await asyncio.sleep(0.1)
        assert not origin.requests
        assert gateway.plane.gates["origin"].in_flight == 0
        await client.send(raw[-1:])
        assert (await client.answer(within=15)).json["length"] == size
    assert bytes(origin.requests[0].body) == body


async def test_an_upload_larger_than_the_buffer_goes_on_as_a_stream(origin: Origin) -> None:
    """It begins when the buffer is full, and no byte is lost or doubled."""
    config = {**_config(), "routes": {"all": {"upstream": "origin", "buffer_request": "100KiB"}}}
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        await client.send(b"PUT /case HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(_BODY))
        await client.send(_BODY[:300_000])
        async with asyncio.timeout(10):
            while not origin.requests:
                await asyncio.sleep(0.01)
        await client.send(_BODY[300_000:])
        assert (await client.answer(within=15)).json["length"] == len(_BODY)
    assert bytes(origin.requests[0].body) == _BODY


async def test_a_buffered_upload_is_sent_again_where_that_is_safe(origin: Origin) -> None:
    """A PUT whose endpoint closed without an answer goes to the next one whole, from the buffer."""

    async def closes(exchange: Exchange) -> None:
        await exchange.wire.exactly(1000)
        exchange.wire.close()

    async with running_origin() as other:
        origin.default = closes
        endpoints = [f"http://127.0.0.1:{origin.port}", f"http://127.0.0.1:{other.port}"]
        config = {
            **_config(endpoints=endpoints, retry={"attempts": 3}, balance="round_robin"),
            "routes": {"all": {"upstream": "origin", "buffer_request": "10MiB"}},
        }
        async with running_gateway(origin.port, config) as gateway:
            for _ in range(2):
                async with connected(gateway.port) as client:
                    await client.send(b"PUT /case HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(_BODY))
                    await client.send(_BODY)
                    assert (await client.answer(within=15)).json["length"] == len(_BODY)
        assert all(bytes(request.body) == _BODY for request in other.requests)
        assert origin.requests


async def test_expectations_are_met_at_once_where_the_route_buffers(origin: Origin) -> None:
    """The body is wanted before admission, so its client is asked for it."""
    config = {**_config(), "routes": {"all": {"upstream": "origin", "buffer_request": "10MiB"}}}
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        await client.send(b"PUT /case HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert (await client.wire.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        assert not origin.requests
        await client.send(b"abc")
        assert (await client.answer()).json["length"] == 3


async def test_a_full_disk_loses_no_upload(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no file can be written the upload goes on as a stream."""

    def fails() -> None:
        raise OSError("no space")

    monkeypatch.setattr("gateway.http.spool.tempfile.TemporaryFile", fails)
    config = {**_config(), "routes": {"all": {"upstream": "origin", "buffer_request": "10MiB"}}}
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        await client.send(b"PUT /case HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(_BODY))
        await client.send(_BODY)
        assert (await client.answer(within=15)).json["length"] == len(_BODY)
    assert bytes(origin.requests[0].body) == _BODY
