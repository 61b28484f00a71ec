"""An upload is taken no faster than its endpoint takes it, wherever it had to wait before."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from gateway.http.upstream import UpstreamConnection
from tests.support.client import connected
from tests.support.plane import running_gateway
from tests.support.running import until
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.client import Client
    from tests.support.plane import RunningGateway

_SIZE = 40_000_000
_PATIENT: dict[str, Any] = {
    "gateway": {"limits": {"body": "100MiB"}, "timeouts": {"body_idle": "20s"}},
    "upstreams": {
        "origin": {
            "timeouts": {"idle": "20s", "head": "20s"},
            "limit": {"kind": "fixed", "initial": 1},
            "queue": {"max_wait": "20s"},
        }
    },
}


def _held(gateway: RunningGateway) -> int:
    """Bytes that wait to be written to the endpoint."""
    endpoints = gateway.plane._groups["origin"].endpoints
    return max((one._transport.get_write_buffer_size() for each in endpoints for one in each._open), default=0)


@pytest.mark.parametrize("method", [b"PUT", b"POST"])
async def test_after_a_wait_in_the_queue(method: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The body that came meanwhile fills the endpoint's buffers at once: reading waits until they are empty again."""
    _shrink_buffers(monkeypatch)
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        listener.setblocking(False)
        async with running_gateway(listener.getsockname()[1], _PATIENT) as gateway:
            async with connected(gateway.port) as first, connected(gateway.port) as client:
                await first.send(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
                held = Wire((await loop.sock_accept(listener))[0])
                await held.until(b"\r\n\r\n")
                await client.send(method + b" /u HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % _SIZE)
                sending = asyncio.ensure_future(client.wire.send(b"x" * _SIZE))
                while not len(gateway.plane.door.departures):  # it waits, and reading is paused
                    await asyncio.sleep(0.005)
                await held.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                endpoint = Wire((await loop.sock_accept(listener))[0])
                for _ in range(60):
                    await asyncio.sleep(0.005)
                    assert _held(gateway) < 1_000_000
                assert not sending.done()
                await endpoint.until(b"\r\n\r\n")
                await asyncio.wait_for(endpoint.exactly(_SIZE), 30)  # and then all of it comes
                await sending
                await endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                assert (await client.answer()).status == 200
            endpoint.close()
            held.close()


async def test_an_answer_is_awaited_in_time_after_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that took an upload with a pause, and never answers, is a 504 by the head timeout."""
    _shrink_buffers(monkeypatch)
    config = {
        **_PATIENT,
        "upstreams": {
            "origin": {"timeouts": {"idle": "20s", "head": "300ms"}, "limit": {"kind": "fixed", "initial": 9}}
        },
    }
    async with _upload(config, 300_000) as (gateway, client, endpoint):
        async with asyncio.timeout(10):
            while not _held(gateway):
                await asyncio.sleep(0.002)
        await asyncio.wait_for(endpoint.exactly(300_000), 20)
        answer = await client.answer()
        assert (answer.status, answer.json["reason"]) == (504, "upstream_head_timeout")


async def test_a_client_is_not_late_with_what_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint pauses for longer than body_idle: that the body does not come on meanwhile is not its client's doing."""
    _shrink_buffers(monkeypatch)
    size = 3_000_000
    config = {**_PATIENT, "gateway": {"limits": {"body": "100MiB"}, "timeouts": {"body_idle": "2s"}}}
    async with _upload(config, size) as (gateway, client, endpoint):
        (connection,) = gateway.plane.door.connections
        await until(lambda: connection._is_reading_paused)
        due_at = connection.deadline
        await until(lambda: connection.deadline > due_at)  # it was looked at, and is given more time
        await asyncio.wait_for(endpoint.exactly(size), 30)
        await endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert (await client.answer()).status == 200


async def test_while_an_upload_is_coming_no_answer_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pause that the endpoint made up for, the rest of the body may take its time: the head timeout is not set."""
    _shrink_buffers(monkeypatch)
    size = 300_000
    async with _before_an_endpoint(_PATIENT) as (gateway, client, listener):
        await client.send(b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (size + 4))
        sending = asyncio.ensure_future(client.wire.send(b"x" * size))
        endpoint = Wire((await asyncio.get_running_loop().sock_accept(listener))[0])
        await endpoint.until(b"\r\n\r\n")
        (connection,) = gateway.plane._groups["origin"].endpoints[0]._open
        await until(lambda: connection.is_write_paused)
        await asyncio.wait_for(endpoint.exactly(size), 20)
        await sending
        await until(lambda: not connection.is_write_paused)
        assert connection.deadline == inf
        await client.send(b"last")
        await asyncio.wait_for(endpoint.exactly(4), 20)
        assert connection.deadline < inf
        await endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert (await client.answer()).status == 200
        endpoint.close()


async def test_an_endpoint_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No byte of an upload is taken for the idle timeout: 504 by that word, and not before."""
    _shrink_buffers(monkeypatch)
    config = {
        **_PATIENT,
        "upstreams": {
            "origin": {"timeouts": {"idle": "300ms", "head": "20s"}, "limit": {"kind": "fixed", "initial": 9}}
        },
    }
    async with _upload(config, 300_000) as (_, client, _endpoint):
        answer = await client.answer()
        assert (answer.status, answer.json["reason"]) == (504, "upstream_idle_timeout")


async def test_a_connection_with_bytes_still_to_be_taken_carries_no_other_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The request is complete, its answer early and whole: what the endpoint has not read would run into the next one."""
    _shrink_buffers(monkeypatch)
    head = b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with _before_an_endpoint(_PATIENT) as (gateway, client, listener):
        await client.send(head)
        endpoint = Wire((await asyncio.get_running_loop().sock_accept(listener))[0])
        await endpoint.until(b"\r\n\r\n")
        (connection,) = gateway.plane._groups["origin"].endpoints[0]._open
        async with asyncio.timeout(20):
            while _held(gateway) < 48 * 1024:  # so much may wait, and the client is still read from
                await client.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
                await asyncio.sleep(0.001)
        await client.send(b"8000\r\n" + b"x" * 0x8000 + b"\r\n0\r\n\r\n")
        await until(lambda: connection.is_write_paused)
        assert connection._is_request_done
        await endpoint.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert (await client.answer()).status == 200
        await gateway.settle()
        assert gateway.plane._groups["origin"].endpoints[0].connections == (0, 0)
        endpoint.close()


def _shrink_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback's buffers take megabytes; those of a network begin with this."""
    made = UpstreamConnection.connection_made

    def with_a_small_buffer(self: UpstreamConnection, transport: asyncio.BaseTransport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 23040)
        made(self, transport)

    monkeypatch.setattr(UpstreamConnection, "connection_made", with_a_small_buffer)


@asynccontextmanager
async def _before_an_endpoint(config: dict[str, Any]) -> AsyncIterator[tuple[RunningGateway, Client, socket.socket]]:
    """A client of a gateway before an endpoint that takes little at a time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        listener.setblocking(False)
        async with running_gateway(listener.getsockname()[1], config) as gateway, connected(gateway.port) as client:
            yield gateway, client, listener


@asynccontextmanager
async def _upload(config: dict[str, Any], size: int) -> AsyncIterator[tuple[RunningGateway, Client, Wire]]:
    """A whole upload is sent, and its head has come to an endpoint that reads no further."""
    async with _before_an_endpoint(config) as (gateway, client, listener):
        head = b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
        sending = asyncio.ensure_future(client.wire.send(head + b"x" * size))
        endpoint = Wire((await asyncio.get_running_loop().sock_accept(listener))[0])
        try:
            await endpoint.until(b"\r\n\r\n")
            yield gateway, client, endpoint
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            endpoint.close()
            client.close()
