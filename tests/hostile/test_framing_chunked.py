"""The chunked coding, octet by octet (RFC 9112 §7.1)."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.world import SMUGGLED, World, chunked, post

_END = b"\r\n0\r\n\r\n"

SIZES = {
    repr(size): chunked(size + b"\r\nabcde" + _END)
    for size in (
        b"0x5", b"+5", b"-5", b"-0x0", b"5_0", b" 5", b"\t5", b"0" * 17 + b"5", b"F" * 16, b"10000000000000005", b"", b"5g", b"g",
        b"5 5", b"5,", "\u0665".encode(), b"5\x00", b"5\x0b", b"0x", b"'5'",
    )
}  # fmt: skip

EXTENSIONS = {
    "NUL": chunked(b"5;ev\x00il\r\nabcde" + _END),
    "CR": chunked(b"5;ev\ril\r\nabcde" + _END),
    "LF": chunked(b"5;ev\nil\r\nabcde" + _END),
    "LF ends it": chunked(b"5;evil\nabcde" + _END),
    "LF ends a quoted one": chunked(b'5;a="evil\nabcde' + _END),
    "hides a chunk": chunked(b"2;\nxx\r\n4c\r\n0\r\n\r\n" + SMUGGLED + b"0\r\n\r\n"),
    "64 KiB": chunked(b"5;" + b"evil" * 16384 + b"\r\nabcde" + _END),
    "64 KiB on the last chunk": chunked(b"5\r\nabcde\r\n0;" + b"evil" * 16384 + b"\r\n\r\n"),
}

ENDS = {
    "LF after the size": chunked(b"5\nabcde" + _END),
    "CR after the size": chunked(b"5\rabcde" + _END),
    "LF after the data": chunked(b"5\r\nabcde\n0\r\n\r\n"),
    "CR after the data": chunked(b"5\r\nabcde\r0\r\n\r\n"),
    "nothing after the data": chunked(b"5\r\nabcde0\r\n\r\n"),
    "more data than told": chunked(b"5\r\nabcdefgh" + _END),
    "other bytes for CRLF": chunked(b"5\r\nabcdeXX0\r\n\r\n"),
    "LF CR": chunked(b"5\n\rabcde\n\r0\n\r\n\r"),
    "CR CR LF": chunked(b"5\r\r\nabcde\r\r\n0\r\r\n\r\r\n"),
    "a negative last chunk": chunked(b"5\r\nabcde\r\n-0\r\n\r\n"),
    "garbage for a chunk": chunked(b"evil\r\n\r\n"),
}


@pytest.mark.parametrize("raw", SIZES.values(), ids=SIZES)
async def test_a_bad_chunk_size_breaks_the_request_off(world: World, raw: bytes) -> None:
    await world.broken_off(raw)


async def test_spaces_after_a_chunk_size_are_refused_or_gone(world: World) -> None:
    """RFC 9112 §7.1.1 lets a recipient be lenient about bad whitespace; what goes on is clean."""
    await world.refused_or_admitted(chunked(b"5 \r\nabcde" + _END))


@pytest.mark.parametrize("raw", EXTENSIONS.values(), ids=EXTENSIONS)
async def test_a_bad_extension_breaks_the_request_off(world: World, raw: bytes) -> None:
    await world.broken_off(raw)


@pytest.mark.parametrize("extension", [b";a=b", b";a", b";", b'; a = "b"', b';a="b;c"', b";a;b=c"], ids=repr)
async def test_an_extension_is_not_forwarded(world: World, extension: bytes) -> None:
    """The origin calls every extension dirty."""
    request = await world.refused_or_admitted(chunked(b"5" + extension + b"\r\nabcde\r\n0" + extension + b"\r\n\r\n"))
    if request is not None:
        assert bytes(request.body) == b"abcde"


@pytest.mark.parametrize("raw", ENDS.values(), ids=ENDS)
async def test_a_bad_line_end_breaks_the_request_off(world: World, raw: bytes) -> None:
    await world.broken_off(raw)


async def test_many_small_chunks_with_long_extensions_are_bounded(world: World) -> None:
    """CVE-2023-39326: a few payload bytes must not cost megabytes of extensions."""
    async with world.client() as client:
        sending = asyncio.ensure_future(
            client.send(chunked((b"1;" + b"x" * 200 + b"\r\na\r\n") * 20_000 + b"0\r\n\r\n"))
        )
        answer = await client.answer()
        await sending
    assert answer.status in {200, 400, 413, 431}
    if answer.status == 200:
        assert answer.json["length"] == 20_000
    await asyncio.sleep(0.05)
    world.expected += len(world.origin.requests)


async def test_many_small_chunks_arrive_whole(world: World) -> None:
    """CVE-2025-69229: one-byte chunks are slow but legal."""
    answer, request = await world.admitted(chunked(b"1\r\na\r\n" * 5_000 + b"0\r\n\r\n"))
    assert answer.status == 200
    assert len(request.body) == 5_000


async def test_hexadecimal_digits_in_both_cases(world: World) -> None:
    _, request = await world.admitted(chunked(b"00a\r\n0123456789\r\nA\r\n0123456789" + _END))
    assert bytes(request.body) == b"0123456789" * 2


async def test_a_missing_last_chunk_never_ends_cleanly(world: World) -> None:
    async with world.client() as client:
        await client.send(chunked(b"5\r\nabcde\r\n"))
        while not world.origin.requests:
            await asyncio.sleep(0.005)
        client.half_close()
        await client.rest()
    await world.gateway.settle()
    await asyncio.sleep(0.02)
    assert not world.origin.requests[0].is_complete
    world.expected += 1


async def test_bytes_after_the_last_chunk_are_not_part_of_anything(world: World) -> None:
    async with world.client() as client:
        await client.send(chunked(b"5\r\nabcde" + _END + b"evil evil\r\n\r\n"))
        assert (await client.answer()).json["length"] == 5
        assert (await client.answer()).status == 400
        await client.ending()
    world.expected += 1


TRAILERS = {
    "Content-Length": b"Content-Length: 100\r\n",
    "Transfer-Encoding": b"Transfer-Encoding: chunked\r\n",
    "Host": b"Host: evil.test\r\n",
    "Authorization": b"Authorization: evil\r\n",
    "X-Forwarded-For": b"X-Forwarded-For: 6.6.6.6\r\n",
    "Connection": b"Connection: evil\r\n",
    "X-Case": b"X-Case: evil\r\n",
}


@pytest.mark.parametrize("trailer", TRAILERS.values(), ids=TRAILERS)
async def test_a_trailer_never_becomes_a_field(world: World, trailer: bytes) -> None:
    """CVE-2025-53643, CVE-2026-22815: dropped or refused."""
    before = world.origin.requests[:]
    async with world.client() as client:
        await client.send(
            post(b"X-Case: good\r\nTransfer-Encoding: chunked\r\n", b"5\r\nabcde\r\n0\r\n" + trailer + b"\r\n")
        )
        answer = await client.answer()
    assert answer.status in {200, 400}
    assert not before
    for request in world.origin.requests:
        assert b"evil" not in b"".join(name + value for name, value in request.fields)
        assert request.is_complete == (answer.status == 200)
    world.expected += len(world.origin.requests)


BAD_TRAILERS = {
    "bare LF": b"X-A: evil\n\r\n",
    "bare LF at the end": b"X-A: evil\r\n\n",
    "no colon": b"evil\r\n\r\n",
    "space before colon": b"X-A : evil\r\n\r\n",
    "NUL": b"X-A: ev\x00il\r\n\r\n",
    "64 KiB": b"X-A: " + b"evil" * 16384 + b"\r\n\r\n",
    "5,000 lines": b"X-A: evil\r\n" * 5_000 + b"\r\n",
    "folded": b"X-A: a\r\n evil\r\n\r\n",
    "a request": SMUGGLED,
}


@pytest.mark.parametrize("trailer", BAD_TRAILERS.values(), ids=BAD_TRAILERS)
async def test_a_bad_trailer_breaks_the_request_off(world: World, trailer: bytes) -> None:
    await world.broken_off(chunked(b"5\r\nabcde\r\n0\r\n" + trailer))
