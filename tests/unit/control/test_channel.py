"""Messages arrive as they were sent, and what is no message ends the channel with a reason."""

from __future__ import annotations

import asyncio
import socket

import pytest
from msgspec import msgpack

from gateway.control.channel import LARGEST, Channel, ChannelBroken
from gateway.control.messages import Configure, Counted, Drain, Drained, Endpoints, Order, Ready, Report
from gateway.telemetry.counters import Counters
from gateway.telemetry.reading import ProcessReading
from gateway.upstream.settings import EndpointSettings


async def pair() -> tuple[Channel[Report], Channel[Order]]:
    """The control process's end and the worker's."""
    ours, theirs = socket.socketpair()
    return await Channel.open(ours, msgpack.Decoder(Report)), await Channel.open(theirs, msgpack.Decoder(Order))


async def test_all_messages_make_the_way() -> None:
    """Every message comes out equal, in order."""
    control, worker = await pair()
    counters = Counters()
    counters.route("web").count("GET", 200, 0.1)
    endpoint = EndpointSettings("http://127.0.0.1:1")
    orders = [
        Configure(b"\x00\xff", "gateway-1", 0, 2, {"app": (endpoint,)}),
        Endpoints("app", (endpoint,)),
        Drain(1.5),
    ]
    reports = [
        Ready(),
        Counted(counters.snapshot([("client", "idle", 1)]), ProcessReading(1, 2.0, 3), 0.5),
        Drained(True),
    ]
    for order in orders:
        control.send(order)
    for report in reports:
        worker.send(report)
    assert [await worker.receive() for _ in orders] == orders
    assert [await control.receive() for _ in reports] == reports
    control.close()
    assert await worker.receive() is None
    worker.close()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x00\x00", "torn after 2 of 4 bytes"),
        (b"\x00\x00\x00\x09abc", "torn after 3 of 9 bytes"),
        (b"\x00\x00\x00\x09", "torn after 0 of 9 bytes"),
        (b"\x00\x00\x00\x03abc", "not a message"),
        (b"\x00\x00\x00\x00", "not a message"),
        (b"\xff\xff\xff\xff", "larger than"),
        (b"\x00\x00\x00\x07" + msgpack.encode({"type": 7}), "not a message"),
    ],
)
async def test_what_is_no_message_ends_the_channel(data: bytes, why: str) -> None:
    """Torn, oversize and foreign frames are told apart and never hang."""
    ours, theirs = socket.socketpair()
    channel = await Channel.open(ours, msgpack.Decoder(Report))
    with theirs:
        theirs.sendall(data)
    with pytest.raises(ChannelBroken, match=why):
        async with asyncio.timeout(5):
            await channel.receive()
    channel.close()


async def test_a_message_that_is_too_large_is_not_sent() -> None:
    """The sender learns it, not the receiver."""
    control, worker = await pair()
    with pytest.raises(ChannelBroken, match="larger than"):
        control.send(Configure(bytes(LARGEST), "x", 0, 1))
    control.close()
    worker.close()


async def test_an_end_that_does_not_read_is_noticed() -> None:
    """What waits for the other end is bounded; then sending is an error."""
    control, worker = await pair()
    assert control.is_clear
    quarter = Configure(bytes(LARGEST // 4), "x", 0, 1)
    for _ in range(5):
        control.send(quarter)
    with pytest.raises(ChannelBroken, match="does not read"):
        control.send(quarter)
    assert not control.is_clear
    control.close()
    worker.close()
