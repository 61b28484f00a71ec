"""What this project relies on in aiohttp's parsers; a new version that changes any of it turns red here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.core.errors import BadRequest, UpstreamFailed
from gateway.http.codec import RequestHeads, ResponseHeads
from gateway.http.heads import RequestHead, ResponseHead

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def requests(loop: asyncio.AbstractEventLoop) -> RequestHeads:
    return RequestHeads(loop, limit=4096, max_headers=20, max_target=1024)


@pytest.fixture
def responses(loop: asyncio.AbstractEventLoop) -> ResponseHeads:
    return ResponseHeads(loop, limit=4096)


HEADS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
]


def test_the_parser_is_back_at_the_start_after_every_head(requests: RequestHeads) -> None:
    """One parser reads heads of all connections in any order: no head, body or error of one reaches the next."""
    for first in [*HEADS, b"BROKEN\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n"]:
        for second in HEADS:
            try:
                requests.parse(first)
            except BadRequest:
                assert first not in HEADS
            found = requests.parse(second)
            assert second.startswith(f"{found.method} {found.path} ".encode())


def test_raw_fields_keep_names_order_and_duplicates(requests: RequestHeads) -> None:
    """Names as spelled, values as bytes, in order, none joined."""
    raw = b"GET / HTTP/1.1\r\nhOST: a\r\nX-B: 1\r\nx-a: \xff\xfe\r\nX-B: 2\r\n\r\n"
    assert requests.parse(raw).raw_headers == ((b"hOST", b"a"), (b"X-B", b"1"), (b"x-a", b"\xff\xfe"), (b"X-B", b"2"))
    assert RequestHead(requests.parse(raw), raw, b"gateway", "http").fields == raw[16:-2]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"GET /\r\n\r\n", "unsupported_version"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "unsupported_version"),
        (b"GET / HTTP/1.32\r\nHost: a\r\n\r\n", "malformed_head"),
        (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", "unknown_method"),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "malformed_head"),
        (b"GET / HTTP/1.1\r\n\r\n", "bad_host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "bad_host"),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", "malformed_head"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "malformed_head"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA\x00: b\r\n\r\n", "malformed_head"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "ambiguous_framing"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "ambiguous_framing"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", "ambiguous_framing"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 30 + b"\r\n", "too_many_headers"),
        (b"GET /" + b"x" * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "target_too_long"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 5000 + b"\r\n\r\n", "head_too_large"),
    ],
)  # fmt: skip
def test_bad_requests_get_their_reason(requests: RequestHeads, raw: bytes, reason: str) -> None:
    """Each malformation is refused with the word that tells it apart."""
    with pytest.raises(BadRequest) as caught:
        requests.parse(raw)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
        b"HTTP/1.1 200 O\rK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 99 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"garbage\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length\t: 2\r\n\r\n",
    ],
)
def test_bad_responses_are_refused(responses: ResponseHeads, raw: bytes) -> None:
    """What the lenient parser lets through is caught by our own judgement."""
    with pytest.raises(UpstreamFailed) as caught:
        ResponseHead(responses.parse(raw), raw, "GET")
    assert caught.value.reason == "upstream_malformed"
