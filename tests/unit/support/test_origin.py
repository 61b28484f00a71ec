"""The origin must see every trick: a judge that cannot say no proves nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.behaviours import answers, drips, ends, floods
from tests.support.client import Client, connected
from tests.support.grammar import Dirty, Ended

if TYPE_CHECKING:
    from tests.support.origin import Origin

GET = b"GET /a HTTP/1.1\r\nHost: a\r\nX-Case: 7\r\n\r\n"


async def _until_judged(origin: Origin) -> None:
    async with asyncio.timeout(2):
        while not origin.dirty:
            await asyncio.sleep(0.005)


async def test_a_clean_request_is_echoed_with_its_id(origin: Origin) -> None:
    async with connected(origin.port) as client:
        await client.send(GET)
        answer = await client.answer()
    assert answer.json == {"id": "7", "method": "GET", "target": "/a", "length": 0}
    assert (len(origin.requests), origin.dirty) == (1, [])


async def test_a_smuggled_request_is_counted(origin: Origin) -> None:
    """What a proxy forwards as a body and an origin reads as a request shows up as one request too many."""
    async with connected(origin.port) as client:
        await client.send(GET + GET.replace(b"/a", b"/smuggled"))
        await client.answer()
        await client.answer()
    assert [request.target for request in origin.requests] == [b"/a", b"/smuggled"]


DIRTY = {
    "length and coding": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "signed length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
    "length with zeros": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 01\r\n\r\nx",
    "unknown coding": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "bare LF in the head": b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "bare CR in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: y\x00z\r\n\r\n",
    "folded line": b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
    "empty name": b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "comma in Host": b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
    "absolute-form": b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "fragment": b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "empty line first": b"\r\n" + GET,
    "chunk extension": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\n\r\n",
    "chunk longer than told": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n",
    "bare LF after a chunk size": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
    "trailer": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
}


@pytest.mark.parametrize("raw", DIRTY.values(), ids=DIRTY)
async def test_dirty_bytes_are_flagged(origin: Origin, raw: bytes) -> None:
    async with connected(origin.port) as client:
        await client.send(raw)
        await _until_judged(origin)
    assert len(origin.dirty) == 1


async def test_a_head_that_breaks_off_is_dirty(origin: Origin) -> None:
    async with connected(origin.port) as client:
        await client.send(GET[:20])
        client.half_close()
        await _until_judged(origin)


async def test_a_body_that_breaks_off_is_abandoned_and_not_dirty(origin: Origin) -> None:
    """A proxy whose client left must break off; that is honest."""
    async with connected(origin.port) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        client.half_close()
        await client.ending()
    assert origin.requests[0].is_abandoned
    assert bytes(origin.requests[0].body) == b"ab"
    assert origin.dirty == []


async def test_scripts_play_evil_upstreams(origin: Origin) -> None:
    origin.on("/raw", answers(b"garbage", then="close"))
    origin.on("/reset", ends("reset"))
    origin.on("/drip", drips(b"HTTP/1.1 204 No Content\r\n\r\n", every=0.001))
    origin.on("/flood", floods(b"HTTP/1.1 103 Early Hints\r\n\r\n", most=50))
    ask = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
    async with connected(origin.port) as client:
        await client.send(ask % b"/raw")
        assert await client.rest() == b"garbage"
    async with connected(origin.port) as client:
        await client.send(ask % b"/reset")
        assert await client.ending() == "reset"
    async with connected(origin.port) as client:
        await client.send(ask % b"/drip")
        assert (await client.answer()).status == 204
    async with connected(origin.port) as client:
        await client.send(ask % b"/flood")
        assert (await client.rest()).count(b"103") == 50


BAD_ANSWERS = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "length on 204": b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("raw", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_the_client_refuses_dirty_answers(origin: Origin, raw: bytes) -> None:
    origin.on("/", answers(raw))
    async with connected(origin.port) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(Dirty):
            await client.answer()


async def test_the_client_tells_a_broken_body_from_a_complete_one(origin: Origin) -> None:
    origin.on("/", answers(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nx", then="close"))
    async with connected(origin.port) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.answer()
    assert (answer.body, answer.is_complete) == (b"x", False)


async def test_the_client_notices_bytes_that_nobody_asked_for(origin: Origin) -> None:
    origin.on("/", answers(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxEXTRA"))
    async with connected(origin.port) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.answer()
        with pytest.raises(AssertionError, match="EXTRA"):
            await client.ending()


async def test_a_reset_client_is_seen_by_the_origin(origin: Origin) -> None:
    origin.on("/", ends("hang"))
    client = await Client.connect(origin.port)
    await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    while not origin.requests:
        await asyncio.sleep(0.005)
    client.reset()
    async with asyncio.timeout(2):
        while origin.open_connections:
            await asyncio.sleep(0.005)
    assert origin.wires[0].ending == "reset"


async def test_an_answer_that_never_comes_is_a_broken_one(origin: Origin) -> None:
    origin.on("/", ends("close"))
    async with connected(origin.port) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(Ended):
            await client.answer()
