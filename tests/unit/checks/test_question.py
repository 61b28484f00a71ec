"""One question to a server: what passes, and what is said of it."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from gateway.checks.question import ask, judge
from gateway.checks.settings import Question
from gateway.upstream.address import parse_address
from tests.support.origin import Exchange, running_origin

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("question", "passing", "failing"),
    [
        (Question(), (101, 200, 302, 400, 401, 404, 426, 499), (500, 503)),
        (Question(path="/up"), (200, 204, 301), (400, 404, 500)),
        (Question(path="/up", statuses=("401",)), (401,), (200, 404, 500)),
        (Question(statuses=("2xx", "503")), (200, 299, 503), (302, 404, 500)),
    ],
)
def test_which_statuses_pass(question: Question, passing: tuple[int, ...], failing: tuple[int, ...]) -> None:
    """Without a path anything below 500 shows that it is there; a page that was named must be well; statuses win."""
    assert [status for status in passing if not judge(status, question).has_passed] == []
    assert [status for status in failing if judge(status, question).has_passed] == []


@pytest.mark.parametrize(
    ("status", "question", "hint"),
    [
        (404, Question(path="/up"), "set path"),
        (400, Question(path="/up"), "set host"),
        (401, Question(path="/up"), "headers"),
        (500, Question(), 'kind = "tcp"'),
        (418, Question(path="/up"), 'statuses = ["2xx", "418"]'),
    ],
)
def test_what_does_not_pass_says_what_to_set(status: int, question: Question, hint: str) -> None:
    """Each answer that does not pass has a key that would let it, and none has one when it passes."""
    found = judge(status, question)
    assert not found.has_passed
    assert hint in found.hint
    assert not judge(200, question).hint


async def test_who_is_asked_by_which_name() -> None:
    """The Host field is the configured one as it is, else the endpoint's name with the port, else its address."""
    async with running_origin() as origin:
        address = parse_address(f"http://127.0.0.1:{origin.port}")
        assert (await ask(address, Question(path="/up", host="b.example"), 5.0, "a.example")).has_passed
        assert (await ask(address, Question(path="/up"), 5.0, "a.example")).has_passed
        assert (await ask(address, Question(path="/up", headers={"X-Token": "s"}), 5.0)).has_passed
        asked = origin.asked("/up")
    hosts = [request.value(b"Host") for request in asked]
    assert hosts == [b"b.example", b"a.example:%d" % origin.port, b"127.0.0.1:%d" % origin.port]
    assert [request.value(b"X-Token") for request in asked] == [None, None, b"s"]
    assert {request.value(b"User-Agent") for request in asked} == {b"gateway-check"}


async def test_localhost_is_both_families() -> None:
    """A server on ::1 alone is found under localhost, by a connection and by a page."""
    async with await asyncio.start_server(_answer, "::1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        address = parse_address(f"http://localhost:{port}")
        assert (await ask(address, Question(), 5.0)).status == 200
        assert (await ask(address, Question(kind="tcp"), 5.0)).has_passed


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if await reader.read(1):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


async def test_a_page_that_never_ends() -> None:
    """A stream at / shows that the service is there; a page that was named must come as a whole."""

    async def stream(exchange: Exchange) -> None:
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        await exchange.wait_until_abandoned()

    async with running_origin() as origin:
        origin.default = stream
        address = parse_address(f"http://127.0.0.1:{origin.port}")
        assert (await ask(address, Question(), 20.0)).status == 200
        assert (await ask(address, Question(path="/"), 0.2)).answered == "no answer within 0.2 s"


async def test_what_is_said_of_no_answer(tmp_path: Path) -> None:
    """Nobody there, no file, no answer in time, an answer that breaks off or is none: each has words of its own."""

    async def cut(exchange: Exchange) -> None:
        await exchange.wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        exchange.wire.close()

    async def hang(exchange: Exchange) -> None:
        await exchange.wait_until_abandoned()

    async def close(exchange: Exchange) -> None:
        exchange.wire.close()

    async def mumble(exchange: Exchange) -> None:
        await exchange.wire.send(b"SSH-2.0-x\r\n\r\n")
        exchange.wire.close()

    async with running_origin() as origin:
        for path, behaviour in (("/cut", cut), ("/hang", hang), ("/close", close), ("/mumble", mumble)):
            origin.on(path, behaviour)
        address = parse_address(f"http://127.0.0.1:{origin.port}")
        answers = {path: await ask(address, Question(path=path), 5.0) for path in ("/cut", "/close", "/mumble")}
        answers["/hang"] = await ask(address, Question(path="/hang"), 0.2)
        assert (await ask(address, Question(kind="tcp"), 5.0)).has_passed
    answers["gone"] = await ask(address, Question(), 5.0)
    answers["no connection"] = await ask(address, Question(kind="tcp"), 5.0)
    answers["no file"] = await ask(parse_address(f"unix:{tmp_path}/s"), Question(), 5.0)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/dead")
        answers["dead file"] = await ask(parse_address(f"unix:{tmp_path}/dead"), Question(kind="tcp"), 5.0)
    assert not any(found.has_passed or found.status for found in answers.values())
    assert {place: found.answered for place, found in answers.items()} == {
        "/cut": "the answer broke off",
        "/close": "the connection was closed without an answer",
        "/mumble": "an answer that is not HTTP",
        "/hang": "no answer within 0.2 s",
        "gone": "Connection refused (ECONNREFUSED)",
        "no connection": "Connection refused (ECONNREFUSED)",
        "no file": "file: No such file or directory (ENOENT)",
        "dead file": "file: Connection refused (ECONNREFUSED)",
    }
