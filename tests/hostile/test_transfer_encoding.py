"""Only ``chunked``, once, spelled as it is (RFC 9112 §6.1)."""

from __future__ import annotations

import pytest

from tests.support import corpus
from tests.support.world import World, post


@pytest.mark.parametrize("raw", corpus.CODINGS.values(), ids=corpus.CODINGS)
async def test_an_obfuscated_coding_is_refused(world: World, raw: bytes) -> None:
    await world.refused(raw)


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"CHUNKED", b"\tchunked", b"chunked \t"], ids=repr)
async def test_chunked_in_any_case_and_padding_is_understood(world: World, value: bytes) -> None:
    request = await world.refused_or_admitted(post(b"Transfer-Encoding:" + value + b"\r\n", b"5\r\nabcde\r\n0\r\n\r\n"))
    assert request is not None
    assert bytes(request.body) == b"abcde"


@pytest.mark.parametrize("name", [b"Transfer_Encoding", b"TRANSFER_ENCODING", b"transfer_encoding"])
async def test_an_underscore_twin_goes_nowhere(world: World, name: bytes) -> None:
    request = await world.refused_or_admitted(post(b"Content-Length: 5\r\n" + name + b": chunked\r\n", b"abcde"))
    if request is not None:
        assert request.values(name) == []
        assert bytes(request.body) == b"abcde"


async def test_options_with_a_chunked_body_is_one_request(world: World) -> None:
    """TE.0."""
    raw = post(b"Transfer-Encoding: chunked\r\n", b"5\r\nabcde\r\n0\r\n\r\n").replace(b"POST", b"OPTIONS", 1)
    _, request = await world.admitted(raw)
    assert bytes(request.body) == b"abcde"
