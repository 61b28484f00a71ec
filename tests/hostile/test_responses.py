"""What an upstream says is judged before it is passed on (RFC 9112 §4, §6.3; RFC 9110 §15)."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.behaviours import answers, drips, ends, floods, sends_pieces
from tests.support.client import Dirty
from tests.support.world import World, assert_is_refusal, get

_OK = b"HTTP/1.1 200 OK\r\n"
_SMUGGLED = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

MALFORMED = {
    "length and coding": _OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "coding and length": _OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "two lengths": _OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "two lengths that agree": _OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "length list": _OK + b"Content-Length: 2, 2\r\n\r\nok",
    "negative length": _OK + b"Content-Length: -2\r\n\r\nok",
    "signed length": _OK + b"Content-Length: +2\r\n\r\nok",
    "hexadecimal length": _OK + b"Content-Length: 0x2\r\n\r\nok",
    "empty length": _OK + b"Content-Length:\r\n\r\nok",
    "endless length": _OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nok",
    "unknown coding": _OK + b"Transfer-Encoding: gzip\r\n\r\nok",
    "two codings": _OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": _OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "obfuscated coding": _OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding with VT": _OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "coding on HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded line": _OK + b"X-A: b\r\n evil\r\nContent-Length: 2\r\n\r\nok",
    "bare LF in the first line": b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok",
    "bare LF in the last line": _OK + b"Content-Length: 2\n\nok",
    "bare LF but for the empty line": b"HTTP/1.1 200 OK\nContent-Length: 2\n\r\nok",
    "bare LF, and CR in a value": b"HTTP/1.1 200 OK\nX-A: b\rSet-Cookie: evil=1\nContent-Length: 2\n\nok",
    "bare LF, folded": b"HTTP/1.1 200 OK\nX-A: b\n evil\nContent-Length: 2\n\nok",
    "bare LF, two lengths": b"HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\nok",
    "bare LF after a field": _OK + b"X-A: b\nX-Evil: c\r\nContent-Length: 2\r\n\r\nok",
    "bare CR in a value": _OK + b"X-A: b\rSet-Cookie: evil=1\r\nContent-Length: 2\r\n\r\nok",
    "NUL in a value": _OK + b"X-A: ev\x00il\r\nContent-Length: 2\r\n\r\nok",
    "control in a value": _OK + b"X-A: ev\x01il\r\nContent-Length: 2\r\n\r\nok",
    "CR in the reason": b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok",
    "NUL in the reason": b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok",
    "space before the colon": _OK + b"X-A : evil\r\nContent-Length: 2\r\n\r\nok",
    "space before the length's colon": _OK + b"Content-Length : 2\r\n\r\nok",
    "space in a name": _OK + b"X A: evil\r\nContent-Length: 2\r\n\r\nok",
    "empty name": _OK + b": evil\r\nContent-Length: 2\r\n\r\nok",
    "no colon": _OK + b"evil\r\nContent-Length: 2\r\n\r\nok",
    "0xff in a name": _OK + b"\xffX: evil\r\nContent-Length: 2\r\n\r\nok",
    "junk before the status line": b"evil\r\n" + _SMUGGLED,
    "space before the status line": b" HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no status": b"HTTP/1.1\r\nContent-Length: 2\r\n\r\nok",
    "negative status": b"HTTP/1.1 -200 OK\r\nContent-Length: 2\r\n\r\nok",
    "huge status": b"HTTP/1.1 99999 OK\r\nContent-Length: 2\r\n\r\nok",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    "status with letters": b"HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\nok",
    "status 000": b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok",
    "status 099": b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
    "version 2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "version 0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "another protocol": b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "RTSP": b"RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "a request": b"GET /evil HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    "HTML": b"<html>evil</html>\r\n\r\n",
    "binary": bytes(range(256)) + b"\r\n\r\n",
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_head_is_a_bad_gateway(world: World, raw: bytes) -> None:
    world.origin.on("/case", answers(raw, then="hang"))
    async with world.client() as client:
        await client.send(get())
        assert_is_refusal(await client.answer(), {502}, {"upstream_malformed"})
    world.expected += 1


TOLERATED = {
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\nX-A: b\n\nok",
    "bare LF, CRLF twice in the body": b"HTTP/1.1 200 OK\nX-A: b\nContent-Length: 6\n\nok\r\n\r\n",
    "bare LF, LF twice in the body": b"HTTP/1.1 200 OK\nX-A: b\nContent-Length: 4\n\nok\n\n",
    "bare LF behind an interim answer": b"HTTP/1.1 103 Hints\n\nHTTP/1.1 200 OK\nX-A: b\nContent-Length: 2\n\nok",
    "LF twice in the body": _OK + b"X-A: b\r\nContent-Length: 6\r\n\r\nok\n\n\n\n",
    "blanks behind a size": _OK + b"X-A: b\r\nTransfer-Encoding: chunked\r\n\r\n2 \t\r\nok\r\n0  \r\n\r\n",
    "blanks before an extension": _OK + b"X-A: b\r\nTransfer-Encoding: chunked\r\n\r\n2 ;a=b\r\nok\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("pieces", [1, 2, 10_000])
@pytest.mark.parametrize("raw", TOLERATED.values(), ids=TOLERATED)
async def test_what_has_one_reading_is_passed_on_in_good_form(world: World, raw: bytes, pieces: int) -> None:
    """As nginx and HAProxy take it from servers, however it is cut; the client gets CRLF, and sizes without blanks."""
    size = max(len(raw) // pieces, 1)
    cut = [raw[at : at + size] for at in range(0, len(raw), size)]
    world.origin.on("/case", sends_pieces(*cut, pause=0.0))
    for _ in range(2):  # the connection is as good as before
        async with world.client() as client:
            await client.send(get())
            answer = await client.answer()
            assert (answer.status, answer.body.rstrip(b"\r\n"), answer.value("X-A")) == (200, b"ok", "b")
    world.expected += 2


async def test_a_status_above_599_is_refused_or_passed_as_it_is(world: World) -> None:
    world.origin.on("/case", answers(b"HTTP/1.1 999 Denied\r\nContent-Length: 2\r\n\r\nok"))
    async with world.client() as client:
        await client.send(get())
        line = await asyncio.wait_for(client.wire.until(b"\r\n"), 2)
    assert int(line[9:12]) in {502, 999}
    world.expected += 1


HEADLESS = {
    "closed at once": (ends("close"), {"upstream_closed"}),
    "reset at once": (ends("reset"), {"upstream_closed"}),
    "half a head": (answers(_OK + b"Content-Le", then="close"), {"upstream_closed", "upstream_malformed"}),
    "half a head, reset": (answers(_OK + b"Content-Le", then="reset"), {"upstream_closed", "upstream_malformed"}),
    "only an interim answer": (answers(b"HTTP/1.1 103 Early Hints\r\n\r\n", then="close"), {"upstream_closed"}),
    "head too large": (
        answers(_OK + b"X-A: " + b"evil" * 20_000 + b"\r\n\r\n", then="hang"),
        {"upstream_head_too_large"},
    ),
    "too many lines": (answers(_OK + b"X-A: evil\r\n" * 8_000 + b"\r\n", then="hang"), {"upstream_head_too_large"}),
    "endless line": (floods(b"e" * 1000, first=_OK + b"X-A: ", most=1000), {"upstream_head_too_large"}),
}


@pytest.mark.parametrize(("behaviour", "reasons"), HEADLESS.values(), ids=HEADLESS)
async def test_no_head_is_a_bad_gateway(world: World, behaviour: object, reasons: set[str]) -> None:
    world.origin.on("/case", behaviour)  # type: ignore[arg-type]
    async with world.client() as client:
        await client.send(get())
        assert_is_refusal(await client.answer(), {502}, reasons)
    world.expected += 1


BROKEN_BODIES = {
    "length, then close": (_OK + b"Content-Length: 10\r\n\r\n", b"abc", "close"),
    "length, then reset": (_OK + b"Content-Length: 10\r\n\r\n", b"abc", "reset"),
    "no last chunk": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", "close"),
    "no last chunk, reset": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", "reset"),
    "half a chunk": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"a\r\nabc", "close"),
    "half a last chunk": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n0\r\n", "close"),
    "bad chunk size": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\nevil\r\n", "hang"),
    "chunk longer than told": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", "hang"),
    "bare LF in chunks": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\nabc\n0\n\n", "hang"),
    "huge chunk size": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"fffffffffffffffff\r\nabc", "hang"),
    "negative chunk size": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"-3\r\nabc\r\n0\r\n\r\n", "hang"),
    "NUL in an extension": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3;\x00\r\nabc\r\n0\r\n\r\n", "hang"),
    "bad trailer": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n0\r\nevil\r\n\r\n", "hang"),
    "endless trailer": (_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n0\r\nX: " + b"e" * 200_000, "hang"),
}


@pytest.mark.parametrize(("head", "body", "then"), BROKEN_BODIES.values(), ids=BROKEN_BODIES)
async def test_a_body_that_breaks_never_ends_cleanly(world: World, head: bytes, body: bytes, then: str) -> None:
    """The head has been relayed; all that is left is to abort the client's connection, at once."""
    world.origin.on("/case", sends_pieces(head, body, then=then))  # type: ignore[arg-type]
    async with world.client() as client:
        await client.send(get())
        answer = await client.answer(within=1.5)
        assert (answer.status, answer.is_complete) == (200, False), "a broken body was ended cleanly"
        assert client.wire.ending
    world.expected += 1


@pytest.mark.parametrize(("head", "body", "then"), BROKEN_BODIES.values(), ids=BROKEN_BODIES)
async def test_a_body_that_breaks_in_the_same_segment_is_no_answer(
    world: World, head: bytes, body: bytes, then: str
) -> None:
    """Everything in one segment: 502 is allowed, a complete 200 is not."""
    world.origin.on("/case", answers(head + body, then=then))  # type: ignore[arg-type]
    async with world.client() as client:
        await client.send(get())
        answer = await client.answer(within=1.5)
        assert answer.status == 502 or not answer.is_complete
    world.expected += 1


@pytest.mark.parametrize("then", ["close", "keep"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_body_that_ends_with_the_connection_is_relayed(world: World, then: str, version: str) -> None:
    length = b"Content-Length: 3\r\n" if then == "keep" else b""
    world.origin.on("/case", answers(b"HTTP/" + version.encode() + b" 200 OK\r\n" + length + b"\r\nabc", then=then))  # type: ignore[arg-type]
    answer, _ = await world.admitted(get())
    assert answer.body == b"abc"


async def test_a_body_that_ends_with_a_reset_does_not_end_cleanly(world: World) -> None:
    world.origin.on("/case", sends_pieces(_OK + b"\r\n", b"abc", then="reset"))
    async with world.client() as client:
        await client.send(get())
        assert not (await client.answer(within=1.5)).is_complete
    world.expected += 1


EXTRA = {
    "a response": _OK + b"Content-Length: 2\r\n\r\nok" + _SMUGGLED,
    "garbage": _OK + b"Content-Length: 2\r\n\r\nokevil",
    "after the last chunk": _OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + _SMUGGLED,
    "one CRLF": _OK + b"Content-Length: 2\r\n\r\nok\r\n",
    "after no body": _OK + b"Content-Length: 0\r\n\r\n" + _SMUGGLED,
}


@pytest.mark.parametrize(("kind", "raw"), EXTRA.items(), ids=EXTRA)
async def test_bytes_after_a_response_go_to_nobody(world: World, kind: str, raw: bytes) -> None:
    """Response-queue poisoning: the answer is good, the connection is not used again."""
    world.origin.on("/case", answers(raw))
    async with world.client() as client:
        await client.send(get())
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"" if kind == "after no body" else b"ok")
        await client.send(get(b"/next"))
        assert (await client.answer()).json["target"] == "/next"
    world.expected += 2
    assert world.origin.requests[1].connection != world.origin.requests[0].connection


async def test_bytes_on_an_idle_connection_go_to_nobody(world: World) -> None:
    world.origin.on("/case", sends_pieces(_OK + b"Content-Length: 2\r\n\r\nok", _SMUGGLED, pause=0.03))
    answer, _ = await world.admitted(get())
    assert answer.body == b"ok"
    await asyncio.sleep(0.06)
    await world.victim()
    assert world.origin.requests[1].connection != world.origin.requests[0].connection


BODILESS = {
    "HEAD": ("HEAD", _OK + b"Content-Length: 4\r\n\r\nevil", 200),
    "HEAD chunked": ("HEAD", _OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", 200),
    "HEAD with a response": ("HEAD", _OK + b"Content-Length: 0\r\n\r\n" + _SMUGGLED, 200),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\nevil", 204),
    "204 with length": ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil", 204),
    "204 chunked": ("GET", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", 204),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\nevil", 304),
    "304 with length": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil", 304),
}


@pytest.mark.parametrize(("method", "raw", "status"), BODILESS.values(), ids=BODILESS)
async def test_a_body_where_none_can_be_goes_to_nobody(world: World, method: str, raw: bytes, status: int) -> None:
    world.origin.on("/case", answers(raw))
    async with world.client() as client:
        await client.send(method.encode() + get()[3:])
        answer = await client.answer(method)
        assert answer.status in {status, 502}
        await client.send(get(b"/next"))
        if await client.wire.has_more():
            assert (await client.answer()).json["target"] == "/next"
            assert world.origin.requests[1].connection != world.origin.requests[0].connection
    world.expected += len(world.origin.requests)


@pytest.mark.parametrize(
    "raw",
    [_OK + b"Content-Length: 400\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 400\r\n\r\n"],
    ids=["HEAD", "304"],
)
async def test_a_length_without_a_body_is_believed_and_kept(world: World, raw: bytes) -> None:
    """RFC 9110 §8.6: there it says what a GET would have had; the connection is as good as new."""
    method = "HEAD" if raw.startswith(_OK) else "GET"
    world.origin.on("/case", answers(raw))
    answer, _ = await world.admitted(method.encode() + get()[3:], method)
    assert answer.value("Content-Length") == "400"
    await world.victim()
    assert world.origin.requests[1].connection == world.origin.requests[0].connection


async def test_a_few_interim_answers_pass(world: World) -> None:
    raw = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * 3 + b"HTTP/1.1 102 Processing\r\n\r\n"
    world.origin.on("/case", answers(raw + _OK + b"Content-Length: 2\r\n\r\nok"))
    answer, _ = await world.admitted(get())
    assert answer.body == b"ok"
    assert len(answer.interim) in {0, 3, 4}


async def test_an_interim_answer_does_not_reach_http_1_0(world: World) -> None:
    """RFC 9110 §15.2."""
    world.origin.on("/case", answers(b"HTTP/1.1 103 Early Hints\r\n\r\n" + _OK + b"Content-Length: 2\r\n\r\nok"))
    async with world.client() as client:
        await client.send(b"GET /case HTTP/1.0\r\nHost: a\r\n\r\n")
        answer = await client.answer()
    assert (answer.interim, answer.body) == ([], b"ok")
    world.expected += 1


async def test_a_flood_of_interim_answers_ends(world: World) -> None:
    """10^5 × 103: bounded by number or by the head's timeout, and a failure in the end."""
    world.origin.on("/case", floods(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100, most=1000))
    async with world.client() as client:
        await client.send(get())
        answer = await client.answer()
        assert_is_refusal(answer, {502, 504})
        assert len(answer.interim) < 10_000
    world.expected += 1


async def test_interim_answers_with_garbage_are_malformed(world: World) -> None:
    world.origin.on("/case", answers(b"HTTP/1.1 103 Early Hints\r\nevil\r\n\r\n" + _SMUGGLED, then="hang"))
    async with world.client() as client:
        await client.send(get())
        assert_is_refusal(await client.answer(), {502}, {"upstream_malformed"})
    world.expected += 1


async def test_a_chunked_answer_reaches_http_1_0_without_chunks(world: World) -> None:
    """RFC 9112 §6.1: no Transfer-Encoding to HTTP/1.0; the body ends with the connection."""
    world.origin.on("/case", answers(_OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
    async with world.client() as client:
        await client.send(b"GET /case HTTP/1.0\r\nHost: a\r\n\r\n")
        answer = await client.answer()
    assert (answer.body, answer.values("Transfer-Encoding"), answer.is_complete) == (b"abcde", [], True)
    world.expected += 1


async def test_a_chunked_answer_that_breaks_does_not_look_complete_to_http_1_0(world: World) -> None:
    world.origin.on("/case", sends_pieces(_OK + b"Transfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n", then="close"))
    async with world.client() as client:
        await client.send(b"GET /case HTTP/1.0\r\nHost: a\r\n\r\n")
        assert not (await client.answer()).is_complete, "only a reset tells HTTP/1.0 that something is missing"
    world.expected += 1


@pytest.mark.parametrize("extension", [b";a=b", b""], ids=repr)
async def test_extensions_and_trailers_of_an_answer_stay_here(world: World, extension: bytes) -> None:
    """The strict client calls both dirty."""
    raw = b"3" + extension + b"\r\nabc\r\n0" + extension + b"\r\nX-Trailer: evil\r\nContent-Length: 100\r\n\r\n"
    world.origin.on("/case", answers(_OK + b"Transfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n\r\n" + raw))
    answer, _ = await world.admitted(get())
    assert (answer.body, answer.values("X-Trailer")) == (b"abc", [])


async def test_a_dripping_answer_is_relayed_whole(world: World) -> None:
    raw = _OK + b"X-A: b\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\n\r\n"
    world.origin.on("/case", drips(raw, every=0.001))
    answer, _ = await world.admitted(get())
    assert answer.body == b"abc"


async def test_an_origin_that_mixes_up_requests_is_not_helped(world: World) -> None:
    """Two answers for one request, slowly: the second reaches nobody."""
    world.origin.on("/case", sends_pieces(_OK + b"Content-Length: 2\r\n\r\n", b"ok" + _SMUGGLED))
    async with world.client() as client:
        await client.send(get() + get(b"/next"))
        assert (await client.answer()).body == b"ok"
        assert (await client.answer()).json["target"] == "/next"
    world.expected += 2


def test_the_strict_client_is_the_judge() -> None:
    """A reminder: what these tests forbid, the client's grammar raises as Dirty."""
    assert issubclass(Dirty, Exception)
