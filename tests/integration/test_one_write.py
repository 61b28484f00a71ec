"""What comes together leaves together: a head, its body and the last chunk are one write, up and down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.http.upstream import UpstreamConnection
from tests.support.client import connected
from tests.support.plane import running_gateway

if TYPE_CHECKING:
    import asyncio

    from tests.support.origin import Exchange, Origin

_UP = {
    "length": b"Content-Length: 3\r\n\r\nabc",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
}
_DOWN = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
}


class _Writes:
    """Stands before a transport and notes each write."""

    def __init__(self, transport: asyncio.Transport, seen: list[bytes]) -> None:
        self._transport = transport
        self._seen = seen

    def write(self, data: bytes) -> None:
        self._seen.append(bytes(data))
        self._transport.write(data)

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)


@pytest.mark.parametrize("is_kept", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize("framing", _UP)
async def test_a_request_that_came_in_one_piece(
    origin: Origin, framing: str, monkeypatch: pytest.MonkeyPatch, *, is_kept: bool
) -> None:
    """One write to the endpoint, on a new and on a kept connection."""
    seen: list[bytes] = []
    made = UpstreamConnection.connection_made

    def noted(self: UpstreamConnection, transport: asyncio.Transport) -> None:
        made(self, _Writes(transport, seen))  # type: ignore[arg-type]

    monkeypatch.setattr(UpstreamConnection, "connection_made", noted)
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        for _ in range(1 + is_kept):
            seen.clear()
            await client.send(b"POST /case HTTP/1.1\r\nHost: a\r\n" + _UP[framing])
            assert (await client.answer()).json["length"] == 3
    assert len(seen) == 1
    assert seen[0].endswith(_UP[framing].partition(b"\r\n\r\n")[2])


async def test_a_head_whose_body_has_not_come_does_not_wait_for_it(origin: Origin) -> None:
    """The endpoint may answer the head alone."""

    async def early(exchange: Exchange) -> None:
        await exchange.answer(b"early")

    origin.on("/case", early)
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        await client.send(b"POST /case HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n")
        assert (await client.answer()).body == b"early"


@pytest.mark.parametrize("framing", _DOWN)
async def test_an_answer_that_came_in_one_piece(origin: Origin, framing: str) -> None:
    """One write to the client, the first time and when its head is known."""

    async def answers(exchange: Exchange) -> None:
        await exchange.wire.send(_DOWN[framing])

    origin.default = answers
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.answer()
        seen: list[bytes] = []
        (connection,) = gateway.plane.door.connections
        connection._transport = _Writes(connection._transport, seen)  # type: ignore[assignment]
        for _ in range(3):
            await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.answer()).body == b"abc"
    assert len(seen) == 3
