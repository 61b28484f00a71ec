"""How long is the body? Two answers to that are two different requests (RFC 9112 §6.3)."""

from __future__ import annotations

import pytest

from tests.support import corpus
from tests.support.world import SMUGGLED, World, get, post


@pytest.mark.parametrize("raw", corpus.LENGTH_AND_CODING.values(), ids=corpus.LENGTH_AND_CODING)
async def test_content_length_beside_transfer_encoding_is_refused(world: World, raw: bytes) -> None:
    await world.refused(raw)


@pytest.mark.parametrize("raw", corpus.LENGTHS.values(), ids=corpus.LENGTHS)
async def test_a_length_that_is_not_one_plain_number_is_refused(world: World, raw: bytes) -> None:
    await world.refused(raw)


@pytest.mark.parametrize("form", [b"005", b"5 ", b"5\t", b"\t5"], ids=repr)
async def test_a_length_that_needs_trimming_is_at_most_normalised(world: World, form: bytes) -> None:
    request = await world.refused_or_admitted(post(b"Content-Length: " + form + b"\r\n", b"abcde"))
    if request is not None:
        assert (request.value(b"Content-Length"), bytes(request.body)) == (b"5", b"abcde")


@pytest.mark.parametrize("name", [b"Content_Length", b"CONTENT_LENGTH", b"content_length"])
async def test_an_underscore_twin_of_the_length_goes_nowhere(world: World, name: bytes) -> None:
    request = await world.refused_or_admitted(post(b"Content-Length: 5\r\n" + name + b": 0\r\n", b"abcde"))
    if request is not None:
        assert request.values(name) == []
        assert bytes(request.body) == b"abcde"


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
async def test_a_body_on_a_method_that_seldom_has_one_stays_a_body(world: World, method: bytes) -> None:
    """CL.0: the smuggled request is payload and nothing else."""
    raw = method + get()[3:-2] + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED
    answer, request = await world.admitted(raw, method.decode())
    assert answer.status == 200
    assert bytes(request.body) == SMUGGLED


async def test_a_request_without_framing_has_no_body(world: World) -> None:
    """0.CL: what follows the head is the next request, and garbage there closes the connection."""
    async with world.client() as client:
        await client.send(post(b"", b"evil evil evil\r\n\r\n"))
        assert (await client.answer()).json["length"] == 0
        assert (await client.answer()).status == 400
        await client.ending()
    world.expected += 1
