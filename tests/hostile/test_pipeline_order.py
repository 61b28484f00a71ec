"""Pipelined requests keep their order, whatever the instants at which their bytes and the answers come."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.client import connected
from tests.support.origin import running_origin
from tests.support.plane import running_gateway
from tests.support.wire import Wire
from tests.support.world import SMUGGLED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.origin import Exchange

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"


def _request(number: int, dice: random.Random) -> tuple[bytes, bytes]:
    """A request and the body that the origin must see: bodies look like requests."""
    target = b"/n/%d" % number
    kind = dice.randrange(3)
    if kind == 0:
        return b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target, b""
    body = SMUGGLED * (dice.randrange(1, 4) if dice.random() < 0.6 else 800)  # the latter is more than may wait
    if kind == 1:
        return b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (target, len(body), body), body
    cut = dice.randrange(1, len(body))
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]))
    return b"POST %b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (target, chunks), body


class _Origin:
    """Reads and answers only when the test says so, without a turn of the loop in between."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._wires: list[tuple[Wire, bytearray]] = []
        self.seen: list[tuple[bytes, bytes]] = []
        self._unanswered: list[socket.socket] = []

    def look(self) -> None:
        """Take what has come; complete requests are seen."""
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            pass
        else:
            self._wires.append((Wire(sock), bytearray()))
        for wire, data in self._wires:
            sock = wire.socket
            with contextlib.suppress(BlockingIOError):
                data.extend(sock.recv(65536))
            for target, body in _parse(data):
                self.seen.append((target, body))
                self._unanswered.append(sock)

    def answer(self) -> bool:
        """Answer the oldest request; False when there is none."""
        if not self._unanswered:
            return False
        answered = len(self.seen) - len(self._unanswered)
        target = self.seen[answered][0]
        self._unanswered.pop(0).send(_OK % (len(target), target))
        return True

    def close(self) -> None:
        for wire, _ in self._wires:
            wire.close()


def _send(sock: socket.socket, data: bytes) -> int:
    """How many bytes the kernel took."""
    try:
        return sock.send(data)
    except BlockingIOError:
        return 0


def _parse(data: bytearray) -> Iterator[tuple[bytes, bytes]]:
    """The complete requests at the beginning of ``data``, which are taken from it."""
    while (end := data.find(b"\r\n\r\n")) >= 0:
        head = bytes(data[: end + 4])
        at = end + 4
        body = b""
        if b"Content-Length: " in head:
            size = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            if len(data) < at + size:
                return
            body = bytes(data[at : at + size])
            at += size
        elif b"Transfer-Encoding: chunked" in head:
            while True:
                line = data.find(b"\r\n", at)
                if line < 0:
                    return
                size = int(data[at:line], 16)
                at = line + 2 + size + 2
                if len(data) < at:
                    return
                if not size:
                    break
                body += bytes(data[line + 2 : line + 2 + size])
        yield head.split(b" ")[1], body
        del data[:at]


@pytest.mark.parametrize("seed", range(40))
async def test_any_cutting_at_any_instant_gives_the_same_requests_in_order(seed: int) -> None:
    """Pieces of the pipeline and answers come in the same turn of the loop, in any order: nothing is lost or swapped."""
    dice = random.Random(seed)
    requests = [_request(number, dice) for number in range(12)]
    pipeline = b"".join(raw for raw, _ in requests)
    cuts = sorted(dice.randrange(len(pipeline)) for _ in range(dice.randrange(30)))
    pieces = [pipeline[a:b] for a, b in zip([0, *cuts], [*cuts, len(pipeline)], strict=True)]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        origin = _Origin(listener)
        patient = {"upstreams": {"origin": {"timeouts": {"head": "20s", "idle": "20s"}}}}
        patient |= {"gateway": {"timeouts": {"head": "20s", "body_idle": "20s", "keepalive": "20s"}}}
        async with running_gateway(listener.getsockname()[1], patient) as gateway, connected(gateway.port) as client:
            sock = client.wire.socket
            while len(origin.seen) < len(requests) or origin.answer():
                for _ in range(dice.randrange(1, 4)):  # all of this is in the kernel before the gateway's next turn
                    if pieces and dice.random() < 0.6:
                        pieces[0] = pieces[0][_send(sock, pieces[0]) :]
                        if not pieces[0]:
                            del pieces[0]
                    elif dice.random() < 0.7:
                        origin.answer()
                for _ in range(dice.randrange(1, 6)):
                    await asyncio.sleep(0)
                origin.look()
                if not pieces and len(origin.seen) < len(requests):
                    origin.answer()
                    await asyncio.sleep(0.001)
            answers = [(await client.answer()).body for _ in requests]
            client.close()
            await gateway.settle()
        origin.close()
    wanted = [b"/n/%d" % number for number in range(len(requests))]
    assert origin.seen == [(target, body) for target, (_, body) in zip(wanted, requests, strict=True)]
    assert answers == wanted


async def test_a_client_that_ends_its_half_between_two_requests_has_no_other_one_served() -> None:
    """What waits when the FIN comes is dropped: a FIN means that the client is gone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        origin = _Origin(listener)
        async with running_gateway(listener.getsockname()[1]) as gateway, connected(gateway.port) as client:
            await client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
            while not origin.seen:
                await asyncio.sleep(0.001)
                origin.look()
            origin.answer()
            client.wire.half_close()
            await client.rest()
            origin.look()
            assert len(origin.seen) <= 2
        origin.close()


async def test_no_request_is_begun_for_a_client_that_reads_no_answers() -> None:
    """300 pipelined requests for 300 kB each: a handful is begun, and the client is cut off by a reset."""
    body = b"x" * 300_000
    config = {"gateway": {"timeouts": {"body_idle": "300ms"}}, "upstreams": {"origin": {"timeouts": {"idle": "9s"}}}}
    async with running_origin() as origin:

        async def big(exchange: Exchange) -> None:
            await exchange.answer(body)

        origin.default = big
        async with (
            running_gateway(origin.port, config) as gateway,
            connected(gateway.port, receive_buffer=8192) as client,
        ):
            await client.send(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n" * 300)
            most = 0
            async with asyncio.timeout(10):
                while gateway.plane.door.connections:
                    for one in gateway.plane.door.connections:
                        most = max(most, one._transport.get_write_buffer_size())
                    await asyncio.sleep(0.005)
            assert most < 1_000_000
            assert len(origin.requests) < 40  # what the kernel's buffers hold
            await client.wire.wait_for_end()
            assert client.wire.ending == "reset"


async def test_many_refused_requests_in_one_pipeline_are_each_answered() -> None:
    """6,000 in one go get 6,000 answers, and the connection holds little of them at a time."""
    async with (
        running_gateway(1, {"routes": {"all": {"match": {"path": "/only"}}}, "log": {"access": "off"}}) as gateway,
        connected(gateway.port) as client,
    ):
        sending = asyncio.ensure_future(client.wire.send(b"GET /nope HTTP/1.1\r\nHost: a\r\n\r\n" * 6000))
        for _ in range(6000):
            assert (await client.answer()).status == 404
        await sending
