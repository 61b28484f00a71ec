"""Clients in an open loop, each request with an identity of its own (``X-Case``), so that none is done twice unseen.

Arrivals are a Poisson process laid out before the run from a seed, GET and POST apart. Latency counts from the instant
at which a request was due. A client leaves when its patience is over. With ``retries`` a client that failed asks again
at once, as a new request with a new identity.

Run as ``python -m benchmarks.faults_load FILE`` and told what to do as :mod:`benchmarks.generator` says.
"""

from __future__ import annotations

import asyncio
import re
import time
from random import Random
from typing import TYPE_CHECKING, Final, cast

import msgspec
import uvloop

from benchmarks.answers import BROKEN, GAVE_UP, read_answer
from benchmarks.generator import generate

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOT_YET: Final = -2
_OK: Final = 200
_BODY: Final = b"y" * 100
_REASON: Final = re.compile(rb'"reason": ?"([a-z_]+)"')


class Clients(msgspec.Struct, frozen=True):
    """Who asks: how long, how often a second, and for how long a client waits; ``told`` is the deadline it says."""

    seconds: float
    gets: float = 200.0
    posts: float = 20.0
    patience: float = 5.0
    told: float = 0.0
    retries: int = 0
    seed: int = 1


class Seen(msgspec.Struct):
    """What became of each request, in columns; instants in seconds since the beginning.

    ``status`` is an HTTP status, 0 for a client that gave up, -1 for a connection that broke or refused; ``reason`` is
    the word in a refusal. ``retries`` counts the requests that followed a failed one, which have a line of their own.
    """

    method: list[str] = msgspec.field(default_factory=list)
    due: list[float] = msgspec.field(default_factory=list)
    end: list[float] = msgspec.field(default_factory=list)
    status: list[int] = msgspec.field(default_factory=list)
    reason: list[str] = msgspec.field(default_factory=list)
    retries: int = 0
    late: float = 0.0
    began: float = 0.0


def arrivals(clients: Clients) -> list[tuple[float, str]]:
    """When, and by which method."""
    rng = Random(clients.seed)
    return sorted((*_times(rng, clients, clients.gets, "GET"), *_times(rng, clients, clients.posts, "POST")))


def _times(rng: Random, clients: Clients, rate: float, method: str) -> Iterator[tuple[float, str]]:
    instant = 0.0
    while rate and (instant := instant + rng.expovariate(rate)) < clients.seconds:
        yield instant, method


def write_request(clients: Clients, method: str, case: int) -> bytes:
    """One request."""
    told = f"X-Request-Timeout-Ms: {clients.told * 1000:.0f}\r\n" if clients.told else ""
    body = _BODY if method == "POST" else b""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} /work HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Case: {method[0].lower()}{case}\r\n{told}{length}\r\n"
    return head.encode() + body


class _Ask:
    """One request under way."""

    __slots__ = ("connection", "number", "timer", "tries_left")

    def __init__(self, number: int, tries_left: int) -> None:
        self.number = number
        self.tries_left = tries_left
        self.connection: _Connection | None = None
        self.timer: asyncio.TimerHandle | None = None


class _Connection(asyncio.Protocol):
    def __init__(self, crowd: _Crowd) -> None:
        self._crowd = crowd
        self._received = b""
        self.ask: _Ask | None = None
        self.is_open = True
        self.has_served = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def put(self, ask: _Ask, request: bytes) -> None:
        self.ask = ask
        self._received = b""
        ask.connection = self
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        ask = self.ask
        if ask is None:  # a farewell such as 408
            self.transport.abort()
            return
        self._received += data
        answer = read_answer(self._received)
        if answer is None:
            return
        self.ask = None
        self.has_served = True
        if answer.keeps_open:
            self._crowd.free.append(self)
        else:
            self.transport.close()
        found = _REASON.search(self._received) if answer.status != _OK else None
        self._crowd.finish(ask, answer.status, found[1].decode() if found else "")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.is_open = False
        ask, self.ask = self.ask, None
        if ask is None:
            return
        answer = read_answer(self._received, is_end=True)
        if answer is not None:
            self._crowd.finish(ask, answer.status, answer.reason)
        elif self.has_served and not self._received and self._crowd.seen.method[ask.number] == "GET":
            # a kept-alive connection that closed just as it was used: every client library asks again
            self._crowd.send(ask)
        else:
            self._crowd.finish(ask, BROKEN, "body" if self._received else "closed")


class _Crowd:
    """All clients."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._schedule = arrivals(clients)
        self.seen = Seen()
        self.free: list[_Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._under_way = 0
        self._is_all_sent = False
        self._done = asyncio.Event()
        self._port = 0

    def run(self, port: int, begin: float) -> None:
        """Send everything, and wait until all of it is over."""
        uvloop.run(self._run(port, begin))

    async def _run(self, port: int, begin: float) -> None:
        self._port = port
        self.seen.began = begin
        late = []
        for due, method in self._schedule:
            await _wait_until(begin + due)
            late.append(time.perf_counter() - begin - due)
            self._start(due, method, self._clients.retries)
        self._is_all_sent = True
        if self._under_way:
            await self._done.wait()
        await asyncio.gather(*self._tasks)
        late.sort()
        self.seen.late = late[int(len(late) * 0.99)]

    def _start(self, due: float, method: str, tries_left: int) -> None:
        seen = self.seen
        ask = _Ask(len(seen.due), tries_left)
        seen.method.append(method)
        seen.due.append(due)
        seen.end.append(0.0)
        seen.status.append(_NOT_YET)
        seen.reason.append("")
        self._under_way += 1
        left = seen.began + due + self._clients.patience - time.perf_counter()
        ask.timer = asyncio.get_running_loop().call_later(max(0.0, left), self._give_up, ask)
        self.send(ask)

    def send(self, ask: _Ask) -> None:
        """Ask on a connection that is free, or on a new one."""
        while self.free:
            connection = self.free.pop()
            if connection.is_open and not connection.transport.is_closing():
                connection.put(ask, self._request(ask))
                return
        ask.connection = None
        task = asyncio.get_running_loop().create_task(self._connect(ask))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _request(self, ask: _Ask) -> bytes:
        return write_request(self._clients, self.seen.method[ask.number], ask.number)

    async def _connect(self, ask: _Ask) -> None:
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), "127.0.0.1", self._port
            )
        except OSError:
            self.finish(ask, BROKEN, "refused")
            return
        if self.seen.status[ask.number] == _NOT_YET:
            connection.put(ask, self._request(ask))
        else:
            connection.transport.abort()

    def _give_up(self, ask: _Ask) -> None:
        connection = ask.connection
        if connection is not None:
            connection.ask = None
            connection.transport.abort()
        self.finish(ask, GAVE_UP, "")

    def finish(self, ask: _Ask, status: int, reason: str) -> None:
        """A request is over."""
        seen = self.seen
        if seen.status[ask.number] != _NOT_YET:
            return
        if ask.timer is not None:
            ask.timer.cancel()
        now = time.perf_counter() - seen.began
        seen.end[ask.number] = now
        seen.status[ask.number] = status
        seen.reason[ask.number] = reason
        self._under_way -= 1
        if status != _OK and ask.tries_left:
            seen.retries += 1
            self._start(now, seen.method[ask.number], ask.tries_left - 1)
        if self._is_all_sent and not self._under_way:
            self._done.set()


async def _wait_until(instant: float) -> None:
    pause = instant - time.perf_counter()
    if pause > 0:
        await asyncio.sleep(pause)


if __name__ == "__main__":
    generate(Clients, _Crowd)
