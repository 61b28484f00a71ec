"""The drill's own client against servers of every manner: each request ends exactly once, with the right word."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from gateway.core.clock import SystemClock
from gateway.drill.client import BROKEN, GAVE_UP, Answer, Client, write_request
from gateway.upstream.address import parse_address
from tests.support.running import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.drill.client import Ask

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PROBLEM = b'{"reason": "queue_full"}'
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%b"
    % (len(PROBLEM), PROBLEM)
)


@asynccontextmanager
async def served(*answers: bytes | None, patience: float = 20.0) -> AsyncIterator[tuple[Client, list[int]]]:
    """A server that gives these answers in turn, one a request; None says nothing, b"" hangs up. Counts connections."""
    left = list(answers)
    connections: list[int] = []
    writers: list[asyncio.StreamWriter] = []

    tasks: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        connections.append(0)
        writers.append(writer)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                connections[-1] += 1
                answer = left.pop(0) if left else OK
                if answer is None:
                    continue
                writer.write(answer)
                if (
                    not answer
                    or b"close" in answer
                    or b"Content-Length" not in answer.replace(b"chunked", b"Content-Length")
                ):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Client(parse_address(f"http://127.0.0.1:{port}"), clock=SystemClock(), patience=patience)
    try:
        yield client, connections
    finally:
        await client.close()
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)


@pytest.mark.parametrize(
    ("bytes_back", "answer"),
    [
        (OK, Answer(200, "", b"ok")),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, Answer(200, "", b"ok")),
        (b"HTTP/1.1 204 No Content\r\nx-length: Content-Length\r\n\r\n", Answer(204)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", Answer(200, "", b"ok")),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", Answer(200, "", b"ok")),
        (REFUSAL, Answer(503, "queue_full", PROBLEM)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nok", Answer(BROKEN, "broken")),
        (b"SSH-2.0-whatever\r\n", Answer(BROKEN, "not_http")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Answer(BROKEN, "not_http")),
        (b"", Answer(BROKEN, "broken")),
    ],
)
async def test_an_answer_is_read_as_it_was_meant(bytes_back: bytes, answer: Answer) -> None:
    async with served(bytes_back) as (client, _):
        assert await client.get("/") == answer
        assert client.waiting == 0


async def test_connections_are_kept_and_opened_as_needed() -> None:
    """Requests one after another share a connection; two at a time need two."""
    async with served() as (client, connections):
        for _ in range(3):
            assert (await client.get("/")).status == 200
        assert connections == [3]
        await asyncio.gather(client.get("/"), client.get("/"))
        assert len(connections) == 2


async def test_a_connection_that_closed_while_idle_is_no_failure() -> None:
    """The server hangs up on the second request of a kept connection before it answers: asked again on a new one."""
    async with served(OK, b"") as (client, connections):
        assert (await client.get("/")).status == 200
        assert (await client.get("/")).status == 200
        assert connections == [2, 1]


async def test_whoever_waits_too_long_gives_up_once() -> None:
    """No answer within the patience: told once, and an answer that would come later is nobody's."""
    async with served(None, patience=0.05) as (client, _):
        told: list[Answer] = []

        def tell(_ask: Ask, answer: Answer) -> None:
            told.append(answer)

        client.send(write_request("/", "h"), SystemClock().now(), tell)

        def has_ended() -> bool:
            client.expire()
            return client.waiting == 0

        await until(has_ended)
        assert told == [Answer(GAVE_UP, "gave_up")]
    assert len(told) == 1


async def test_one_question_gives_up_by_itself() -> None:
    async with served(None, patience=0.05) as (client, _):
        assert await client.get("/") == Answer(GAVE_UP, "gave_up")


async def test_nobody_there_is_a_failure_with_its_word() -> None:
    client = Client(parse_address("http://127.0.0.1:1"), clock=SystemClock(), patience=5.0)
    try:
        assert await client.get("/") == Answer(BROKEN, "connect_refused")
    finally:
        await client.close()
