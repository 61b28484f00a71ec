"""One endpoint: answers in about 20 ms, and writes down every request it gets before anything else.

Each record is one line in the log file, written at once, so that what a killed process saw is known: ``B`` when a
request came, ``E`` when it was answered, ``X`` when whoever asked left before; then the instant and the request's
``X-Case``. Records of requests without that field, such as checks, are not kept.

``/healthz`` takes a tenth of the time and fails and slows down as everything else does. ``POST /control/errors/0.6``
makes that share of the answers 500, at once; ``POST /control/slower/20`` makes all answers take so many times as long.

Run as ``python -m benchmarks.faults_service PORT LOG JSON``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from random import Random
from typing import Final, cast

import msgspec
import uvloop

BODY: Final = b"x" * 1024
_HEAD: Final = b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
_CHECK: Final = b"/healthz"
_CONTROL: Final = b"/control/"


class Work(msgspec.Struct, frozen=True):
    """How an endpoint works: seconds an answer takes, give or take a quarter, and how many take ``factor`` as long."""

    mean: float = 0.02
    long_share: float = 0.0
    factor: float = 50.0
    seed: int = 1


class Request(msgspec.Struct, frozen=True):
    """What a request says that matters here; ``rest`` are the bytes behind it."""

    path: bytes
    case: str
    rest: bytes


def read_request(received: bytes) -> Request | None:
    """The first request, once it is whole."""
    head, found, rest = received.partition(b"\r\n\r\n")
    if not found:
        return None
    length = int(_field(head, b"content-length") or 0)
    if len(rest) < length:
        return None
    return Request(head.split(b" ", 2)[1], _field(head, b"x-case").decode("latin-1"), rest[length:])


def _field(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return b""


class Endpoint:
    """What all connections share."""

    def __init__(self, work: Work, log: int) -> None:
        self.errors = 0.0
        self.slower = 1.0
        self._work = work
        self._rng = Random(work.seed)
        self._log = log

    def decide(self, path: bytes) -> tuple[bytes, float]:
        """The answer to a request, and after how many seconds."""
        if path.startswith(_CONTROL):
            verb, _, value = path.removeprefix(_CONTROL).partition(b"/")
            if verb == b"errors":
                self.errors = float(value)
            else:
                self.slower = float(value)
            return _answer(b"200 OK", b""), 0.0
        rng, work = self._rng, self._work
        if rng.random() < self.errors:
            return _answer(b"500 Internal Server Error", b"broken"), 0.0
        seconds = work.mean * (0.75 + 0.5 * rng.random()) * self.slower
        if path == _CHECK:
            return _answer(b"200 OK", b"well"), seconds / 10
        return _answer(b"200 OK", BODY), seconds * (work.factor if rng.random() < work.long_share else 1.0)

    def note(self, what: str, case: str) -> None:
        """Write a record."""
        if case:
            os.write(self._log, f"{what} {time.perf_counter():.6f} {case}\n".encode())


def _answer(status: bytes, body: bytes) -> bytes:
    return _HEAD % (status, len(body)) + body


class _Connection(asyncio.Protocol):
    """One connection; requests are answered one after the other."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._received = b""
        self._case = ""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._timer is None:
            self._begin()

    def _begin(self) -> None:
        request = read_request(self._received)
        if request is None:
            return
        self._received = request.rest
        self._case = request.case
        self._endpoint.note("B", request.case)
        answer, seconds = self._endpoint.decide(request.path)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end, answer)

    def _end(self, answer: bytes) -> None:
        self._timer = None
        # before the answer goes: whoever reads it may ask again at once
        self._endpoint.note("E", self._case)
        self._transport.write(answer)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._timer is not None:
            self._timer.cancel()
            self._endpoint.note("X", self._case)


async def _serve(port: int, log: str, work: Work) -> None:
    endpoint = Endpoint(work, os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(endpoint), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), sys.argv[2], msgspec.json.decode(sys.argv[3], type=Work)))
