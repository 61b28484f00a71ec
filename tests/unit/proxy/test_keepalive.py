"""Comments stand only between two events, and only in streams that bear them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.deadlines import DeadlineWheel
from gateway.http.framing import ChunkedBody
from gateway.proxy.keepalive import KeepAlive, may_have_comments

EVERY = 15.0


class Client:
    """Takes what is written."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.write = self.got.append
        self.is_write_paused = False


def alive(*, is_chunked: bool = False) -> tuple[KeepAlive, Client, DeadlineWheel]:
    wheel, client = DeadlineWheel(0.0), Client()
    return KeepAlive(wheel, client, EVERY, is_chunked=is_chunked), client, wheel  # type: ignore[arg-type]


def events_of(stream: bytes) -> list[bytes]:
    """The data of every event, read as HTML Living Standard §9.2.6 says."""
    found, data = [], list[bytes]()
    lines = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for line in lines[:-1]:
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            found.append(b"\n".join(data))
            data = []
    return found


@given(
    st.lists(st.sampled_from([b"one", b"two words", b":", b"", b"data: x"]), max_size=5),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.data(),
)
def test_events_stay_what_they_are(texts: list[bytes], end: bytes, mark: bytes, data: st.DataObject) -> None:
    """However a stream is cut and however long it is silent between two pieces, its client reads the same events."""
    stream = mark + b"".join(b"data: " + text + end + b"data: more" + end + end for text in texts)
    cuts = sorted(data.draw(st.lists(st.integers(len(mark), len(stream)), max_size=6)))
    one, client, wheel = alive()
    now = 0.0
    one.note(b"", now)
    for begin, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        now += data.draw(st.sampled_from([1.0, EVERY + 1, 4 * EVERY]))
        wheel.advance(now)
        client.write(one.note(stream[begin:stop], now))
    wheel.advance(now + EVERY + 1)
    assert events_of(b"".join(client.got)) == events_of(stream)


def test_silence_is_broken_between_events_alone() -> None:
    """A comment comes after so many seconds without a byte, again and again, and never inside an event."""
    one, client, wheel = alive(is_chunked=True)
    one.note(b"data: a\n\n", 0.0)
    wheel.advance(14.0)
    assert client.got == []
    wheel.advance(15.1)
    wheel.advance(30.2)
    body = ChunkedBody()
    assert body.feed(b"".join(client.got)) == b":\n\n:\n\n"
    one.note(b"data: b\n", 31.0)
    wheel.advance(100.0)
    assert len(client.got) == 2
    one.note(b"\n", 101.0)
    client.is_write_paused = True
    wheel.advance(117.0)
    assert len(client.got) == 2
    client.is_write_paused = False
    wheel.advance(133.0)
    assert len(client.got) == 3


@pytest.mark.parametrize(
    ("status", "length", "fields", "expected"),
    [
        (200, -1, b"Content-Type: text/event-stream\r\n", True),
        (200, -2, b"A: b\r\ncontent-type:text/EVENT-stream; charset=utf-8\r\n", True),
        (200, 100, b"Content-Type: text/event-stream\r\n", False),
        (200, None, b"Content-Type: text/event-stream\r\n", False),
        (206, -1, b"Content-Type: text/event-stream\r\n", False),
        (200, -1, b"Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n", False),
        (200, -1, b"Content-Type: text/event-streams\r\n", False),
        (200, -1, b"Content-Type: text/plain\r\nLink: text/event-stream\r\n", False),
    ],
)
def test_what_may_have_comments(status: int, length: int | None, fields: bytes, *, expected: bool) -> None:
    """An event stream of status 200 that we frame ourselves, in no coding."""
    head: Any = SimpleNamespace(status=status, length=length, fields=fields)
    assert may_have_comments(head) is expected
