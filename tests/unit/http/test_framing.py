"""Bodies end exactly where RFC 9112 says, however they are cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.framing import MAX_EXTENSIONS, MAX_TRAILERS, ChunkedBody, FramingError, LengthBody, encode_chunk

REST = b"GET /next HTTP/1.1\r\n"


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(edges)]


def _feed(body: ChunkedBody | LengthBody, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """The payload, and everything behind the end."""
    payload, behind = b"", b""
    for piece in pieces:
        if body.done:
            behind += piece
        else:
            payload += body.feed(piece)
            behind = body.rest
    return payload, behind


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    extension=st.sampled_from([b"", b";a", b";a=b", b';a="b;c"', b";a=b;c=d"]),
    trailers=st.lists(st.sampled_from([b"A: b\r\n", b"Content-Length: 5\r\n"]), max_size=3),
    cuts=st.lists(st.integers(min_value=0), max_size=30),
)
def test_chunks_are_decoded_wherever_they_are_cut(
    chunks: list[bytes], extension: bytes, trailers: list[bytes], cuts: list[int]
) -> None:
    """The payload is the chunks' data, and what follows the last CRLF is untouched, for every way of cutting."""
    wire = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    wire += b"0\r\n" + b"".join(trailers) + b"\r\n" + REST
    body = ChunkedBody()
    assert _feed(body, _cut(wire, cuts)) == (b"".join(chunks), REST)
    assert body.done


@given(payload=st.binary(max_size=60), cuts=st.lists(st.integers(min_value=0), max_size=10))
def test_a_length_is_kept_to_the_byte(payload: bytes, cuts: list[int]) -> None:
    """A body of n bytes takes n bytes and leaves the next one alone."""
    body = LengthBody(len(payload))
    pieces = _cut(payload + REST, cuts)
    assert _feed(body, pieces) == (payload, REST)


@given(data=st.binary(max_size=80), cuts=st.lists(st.integers(min_value=0), max_size=10))
def test_the_cut_never_changes_the_verdict(data: bytes, cuts: list[int]) -> None:
    """Whatever the bytes, feeding them in pieces gives what feeding them whole gives, or refuses where it refuses."""

    def judge(pieces: list[bytes]) -> tuple[bytes, bytes, bool] | None:
        body = ChunkedBody()
        try:
            payload, behind = _feed(body, pieces)
        except FramingError:
            return None
        return payload, behind, body.done

    assert judge(_cut(data, cuts)) == judge([data] if data else [])


@pytest.mark.parametrize(
    "wire",
    [
        b"0x5\r\nhello\r\n", b"+5\r\nhello\r\n", b"-0\r\n\r\n", b"5_0\r\n", b" 5\r\nhello\r\n", b"5 \r\nhello\r\n",
        b"00000000000000005\r\nhello\r\n", b"\r\nhello\r\n", b"5g\r\nhello\r\n", b"5;\r\nhello\r\n", b"5;a=\x00\r\nhello\r\n",
        b"5;a\n\r\nhello\r\n", b"5\nhello\r\n", b"5\rhello\r\n", b"5\r\nhelloX\r\n", b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r\r\n", b"0\r\nNo colon\r\n\r\n", b"0\r\nA: b\n\r\n", b"0\r\n: b\r\n\r\n", b"0\r\nA: \x00\r\n\r\n",
        b"0\r\n A: b\r\n\r\n", b"\xd9\xa5\r\nhello\r\n",
    ],
)  # fmt: skip
def test_malformed_chunks_are_refused(wire: bytes) -> None:
    """Every deviation from the grammar raises, at once and byte by byte."""
    with pytest.raises(FramingError):
        ChunkedBody().feed(wire)
    body = ChunkedBody()
    with pytest.raises(FramingError):
        for at in range(len(wire)):
            body.feed(wire[at : at + 1])


def test_extensions_cannot_outgrow_the_body() -> None:
    """Many small chunks with long extensions are refused after a bounded amount (CVE-2023-39326)."""
    piece = b"1;" + b"x" * 500 + b"\r\na\r\n"
    body = ChunkedBody()
    with pytest.raises(FramingError, match="outgrow"):
        for _ in range(1 + 2 * MAX_EXTENSIONS // 500):
            body.feed(piece)


def test_trailers_are_bounded() -> None:
    """A trailer section of any number of lines is refused above its limit."""
    body = ChunkedBody()
    body.feed(b"0\r\n")
    with pytest.raises(FramingError, match="large"):
        for _ in range(MAX_TRAILERS):
            body.feed(b"A: b\r\n")


@given(payload=st.binary(min_size=1, max_size=300))
def test_an_encoded_chunk_is_decoded_again(payload: bytes) -> None:
    """Encoding and decoding a chunk loses nothing."""
    assert ChunkedBody().feed(encode_chunk(payload)) == payload
