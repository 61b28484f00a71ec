"""Bodies stream through in both directions, as they come, with backpressure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.behaviours import answers
from tests.support.client import connected
from tests.support.plane import running_gateway

if TYPE_CHECKING:
    from tests.support.origin import Exchange, Origin

GET = b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n"


async def test_an_event_stream_is_passed_on_event_by_event(origin: Origin) -> None:
    """Every event reaches the client before the next one is sent."""
    asked = asyncio.Queue[bytes]()

    async def stream(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.wire.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while event := await asked.get():
            await exchange.wire.send(b"%x\r\n%b\r\n" % (len(event), event))
        await exchange.wire.send(b"0\r\n\r\n")

    origin.on("/case", stream)
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        await client.send(GET)
        for number in range(5):
            event = b"data: %d\n\n" % number
            asked.put_nowait(event)
            got = b""
            async with asyncio.timeout(5):
                while event not in got:
                    await client.wire.has_more()
                    got += client.wire.take_available()
        asked.put_nowait(b"")
        async with asyncio.timeout(5):
            got = b""
            while not got.endswith(b"0\r\n\r\n"):
                await client.wire.has_more()
                got += client.wire.take_available()


async def test_a_body_that_ends_with_the_connection_reaches_the_client_framed(origin: Origin) -> None:
    """A client of HTTP/1.1 gets chunks and keeps its connection."""
    origin.on("/case", answers(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", then="close"))
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        for _ in range(2):
            await client.send(GET)
            answer = await client.answer()
            assert answer.body == b"until the end"
            assert answer.value("Transfer-Encoding") == "chunked"


async def test_a_chunked_body_reaches_an_old_client_without_chunks(origin: Origin) -> None:
    """HTTP/1.0 knows no chunks: the body ends with the connection."""
    origin.on(
        "/case",
        answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n"),
    )
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        await client.send(b"GET /case HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        answer = await client.rest()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert body == b"abcde"
        assert b"chunked" not in head
        assert b"Connection: close" in head


async def test_trailers_and_extensions_stay_behind(origin: Origin) -> None:
    """What a chunked response carries beside its payload is dropped."""
    origin.on(
        "/case",
        answers(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: v\r\n\r\n"
        ),
    )
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        await client.send(GET)
        answer = await client.answer()
        assert (answer.body, answer.value("Trailer"), answer.value("T")) == (b"abc", None, None)


@pytest.mark.parametrize(
    ("method", "raw", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "500"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", "500"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", None),
    ],
)
async def test_responses_without_a_body_leave_the_connection_usable(
    origin: Origin, method: str, raw: bytes, length: str | None
) -> None:
    """HEAD, 204 and 304 end with their head, whatever it declares, and both connections go on."""
    origin.on("/case", answers(raw))
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        for _ in range(3):
            await client.send(method.encode() + GET[3:])
            answer = await client.answer(method)
            assert (answer.body, answer.value("Content-Length")) == (b"", length)
        assert len(origin.wires) == 1


async def test_interim_responses_pass(origin: Origin) -> None:
    """103 Early Hints reaches the client before the final response."""
    origin.on(
        "/case",
        answers(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    )
    async with running_gateway(origin.port) as gateway, connected(gateway.port) as client:
        await client.send(GET)
        answer = await client.answer()
        assert [(head.status, head.fields) for head in answer.interim] == [(103, [(b"Link", b"</a.css>")])]
        assert (answer.status, answer.body) == (200, b"ok")


async def test_a_slow_reader_slows_the_sender(origin: Origin) -> None:
    """A client that stops reading stops the upstream after a bounded amount, and gets every byte when it goes on."""
    total = 64 * 1024 * 1024
    piece = bytes(range(256)) * 256
    sent = 0

    async def flood(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.read_body()
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total and await exchange.wire.send(piece):
            sent += len(piece)

    origin.on("/case", flood)
    config = {"gateway": {"timeouts": {"body_idle": "30s"}}, "upstreams": {"origin": {"timeouts": {"idle": "30s"}}}}
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port, receive_buffer=65536) as client:
        await client.send(GET)
        before = -1
        while before != sent or not sent:  # until the sender stands still
            before = sent
            await asyncio.sleep(0.2)
        assert sent < total / 2
        async with asyncio.timeout(30):
            answer = await client.answer(within=30)
        assert len(answer.body) == total
        assert answer.body == piece * (total // len(piece))


async def test_a_slow_upstream_slows_the_client(origin: Origin) -> None:
    """An upload stops after a bounded amount when the upstream does not read, and arrives whole when it does."""
    total = 48 * 1024 * 1024
    go_on = asyncio.Event()

    async def read_late(exchange: Exchange) -> None:
        await go_on.wait()
        body = await exchange.read_body()
        await exchange.answer(b"%d" % len(body))

    origin.on("/case", read_late)
    config = {
        "gateway": {"timeouts": {"body_idle": "30s"}, "limits": {"body": "64MiB"}},
        "upstreams": {"origin": {"timeouts": {"idle": "30s", "head": "30s"}}},
    }
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        await client.send(b"POST /case HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % total)
        sending = asyncio.create_task(client.wire.send(bytes(total)))
        before = -1
        while before != gateway.plane.counters.client_in:
            before = gateway.plane.counters.client_in
            await asyncio.sleep(0.2)
        assert before < total / 2
        assert not sending.done()
        go_on.set()
        await sending
        answer = await client.answer(within=30)
        assert answer.body == b"%d" % total


async def test_an_early_answer_reaches_the_client_and_ends_the_upload(origin: Origin) -> None:
    """An upstream that answers before the upload is complete is heard, and neither connection is used again."""
    origin.on(
        "/case", answers(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", before_body=True, then="hang")
    )
    async with running_gateway(origin.port) as gateway:
        async with connected(gateway.port) as client:
            await client.send(b"POST /case HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nbegin")
            answer = await client.answer()
            assert (answer.status, answer.body, answer.value("Connection")) == (401, b"no", "close")
            await client.send(b"more of the body")
            assert await client.ending() in {"eof", "reset"}
        async with connected(gateway.port) as client:
            await client.send(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.answer()).status == 200
        assert origin.asked("/other")[0].connection != origin.asked("/case")[0].connection
