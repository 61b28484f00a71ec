"""Clients in an open loop: they come when they come, give up when they have waited too long, and leave.

Arrivals are a Poisson process, laid out before the run from a seed: every proxy of a round gets the same ones. A
latency counts from the instant at which the request was due, so neither a stall of the proxy nor one of this
program can hide (no coordinated omission); by how much requests left late is reported beside it.

A client takes a kept-alive connection that is free, or opens one. One that gives up closes its connection, as
libraries do. With ``retries`` a client that was refused, broken off or has given up asks again at once.

There is no event loop in here but epoll itself: 4,000 arrivals a second, each on a connection of its own, must
leave half a core to the service.

Run as ``python -m benchmarks.overload_load FILE`` and told what to do as :mod:`benchmarks.generator` says.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections import deque
from random import Random

import msgspec

from benchmarks.answers import BROKEN, GAVE_UP, read_answer
from benchmarks.generator import generate
from benchmarks.overload_alarm import Alarm

_NOT_YET = -2
_ENOUGH = 65536
_IN_TURN = 512


class Phase(msgspec.Struct, frozen=True):
    """So many seconds at so many arrivals a second."""

    seconds: float
    rate: float


class Crowd(msgspec.Struct, frozen=True):
    """A part of the arrivals that is told apart; ``tenants`` > 0 sends one of so many tenants in ``x-tenant``."""

    name: str = "all"
    share: float = 1.0
    path: str = "/work"
    tenants: int = 0


class Clients(msgspec.Struct, frozen=True):
    """Who asks: when, what, for how long a client waits, and how often it asks again (at once)."""

    phases: tuple[Phase, ...]
    crowds: tuple[Crowd, ...] = (Crowd(),)
    patience: float = 1.0
    retries: int = 0
    seed: int = 1


class Seen(msgspec.Struct):
    """What became of each arrival, in columns; instants in seconds since the beginning.

    ``status`` is the last one of its attempts: an HTTP status, 0 for a client that gave up, -1 for a connection that
    broke. ``told`` is the ``Retry-After`` of a refusal in seconds, 0 without. ``refusals`` counts attempts by status
    and reason. ``processor`` is the part of each second in which this
    program ran, ``waiting`` how many clients waited at its end.
    """

    due: list[float]
    end: list[float]
    status: list[int]
    crowd: list[int]
    late: list[float]
    told: list[int] = msgspec.field(default_factory=list)
    attempts: int = 0
    refusals: dict[str, int] = msgspec.field(default_factory=dict)
    processor: list[float] = msgspec.field(default_factory=list)
    waiting: list[int] = msgspec.field(default_factory=list)


def arrivals(clients: Clients) -> list[tuple[float, int, int]]:
    """When, which crowd, which tenant (0 when the crowd has none)."""
    rng = Random(clients.seed)
    numbers = range(len(clients.crowds))
    shares = [crowd.share for crowd in clients.crowds]
    found = []
    begin = 0.0
    for phase in clients.phases:
        instant = begin
        begin += phase.seconds
        # a Poisson process has no memory, so each phase may begin its own
        while phase.rate and (instant := instant + rng.expovariate(phase.rate)) < begin:
            crowd = rng.choices(numbers, shares)[0]
            tenants = clients.crowds[crowd].tenants
            found.append((instant, crowd, rng.randrange(tenants) if tenants else 0))
    return found


def write_requests(crowd: Crowd) -> list[bytes]:
    """The request of each tenant, or the one request of a crowd without tenants."""
    head = f"GET {crowd.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    tenants = [f"x-tenant: {crowd.name}-{number}\r\n" for number in range(crowd.tenants)] or [""]
    return [f"{head}{tenant}\r\n".encode() for tenant in tenants]


class _Ask:
    """One attempt of one client."""

    __slots__ = ("connection", "deadline", "number", "request", "tries_left")

    def __init__(self, number: int, request: bytes, deadline: float, tries_left: int) -> None:
        self.number = number
        self.request = request
        self.deadline = deadline
        self.tries_left = tries_left
        self.connection: _Connection | None = None


class _Connection:
    __slots__ = ("ask", "has_served", "is_open", "received", "socket")

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.ask: _Ask | None = None
        self.received = b""
        self.has_served = False
        self.is_open = True


class _Loader:
    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._requests = [write_requests(crowd) for crowd in clients.crowds]
        self._schedule = arrivals(clients)
        count = len(self._schedule)
        self.seen = Seen(
            due=[due for due, _, _ in self._schedule],
            end=[0.0] * count,
            status=[_NOT_YET] * count,
            crowd=[crowd for _, crowd, _ in self._schedule],
            late=[0.0] * count,
            told=[0] * count,
        )
        self._epoll = select.epoll()
        self._alarm = Alarm()
        self._epoll.register(self._alarm.descriptor, select.EPOLLIN)
        self._connections: dict[int, _Connection] = {}
        self._free: list[_Connection] = []
        self._asks: deque[_Ask] = deque()
        self._waiting = 0
        self._begun = 0.0

    def run(self, port: int, begin: float) -> None:
        self._address = ("127.0.0.1", port)
        self._begun = begin
        schedule, patience, tries = self._schedule, self._clients.patience, self._clients.retries
        number, count = 0, len(schedule)
        second, used = begin + 1, time.process_time()
        while number < count or self._waiting:
            self._alarm.set(self._next(begin + schedule[number][0] if number < count else None))
            for descriptor, event in self._epoll.poll(-1, _IN_TURN):
                connection = self._connections.get(descriptor)
                if connection is None:
                    if descriptor == self._alarm.descriptor:
                        self._alarm.silence()
                elif event & select.EPOLLOUT:
                    self._send_late(connection)
                else:
                    self._receive(connection)
            now = time.perf_counter()
            while number < count and begin + schedule[number][0] <= now:
                due, crowd, tenant = schedule[number]
                self.seen.late[number] = now - begin - due
                self._start(_Ask(number, self._requests[crowd][tenant], begin + due + patience, tries))
                number += 1
                now = time.perf_counter()
            self._give_up(now)
            if now >= second:
                self.seen.processor.append(time.process_time() - used)
                self.seen.waiting.append(self._waiting)
                second, used = second + 1, time.process_time()

    def _next(self, arrival: float | None) -> float | None:
        deadline = self._asks[0].deadline if self._asks else None
        if arrival is None or deadline is None:
            return arrival or deadline
        return min(arrival, deadline)

    def _start(self, ask: _Ask) -> None:
        self.seen.attempts += 1
        self._waiting += 1
        self._asks.append(ask)
        self._send(ask)

    def _send(self, ask: _Ask) -> None:
        free = self._free
        while free:
            connection = free.pop()
            if connection.is_open:
                self._put(connection, ask)
                try:
                    connection.socket.send(ask.request)
                except OSError:
                    self._close(connection)
                    continue
                return
        try:
            self._open(ask)
        except OSError:
            self._finish(ask, BROKEN, "broken")

    def _open(self, ask: _Ask) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        connection = _Connection(sock)
        failed = sock.connect_ex(self._address)
        if failed not in {0, errno.EINPROGRESS}:
            sock.close()
            raise OSError(failed, "connect")
        self._put(connection, ask)
        self._connections[sock.fileno()] = connection
        try:
            sock.send(ask.request)
        except BlockingIOError:
            self._epoll.register(sock, select.EPOLLIN | select.EPOLLOUT)
        except OSError:
            self._close(connection)
            raise
        else:
            self._epoll.register(sock, select.EPOLLIN)

    def _send_late(self, connection: _Connection) -> None:
        if connection.ask is None:
            return
        try:
            connection.socket.send(connection.ask.request)
        except BlockingIOError:
            return
        except OSError:
            self._lose(connection)
            return
        self._epoll.modify(connection.socket, select.EPOLLIN)

    @staticmethod
    def _put(connection: _Connection, ask: _Ask) -> None:
        connection.ask = ask
        connection.received = b""
        ask.connection = connection

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(_ENOUGH)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(connection)
            return
        connection.received += data
        ask = connection.ask
        if ask is None:  # nothing was asked: a farewell such as 408
            self._close(connection)
            return
        answer = read_answer(connection.received)
        if answer is None:
            return
        connection.ask = None
        connection.has_served = True
        if answer.keeps_open:
            self._free.append(connection)
        else:
            self._close(connection)
        self._finish(ask, answer.status, answer.reason, answer.retry_after)

    def _lose(self, connection: _Connection) -> None:
        ask = connection.ask
        self._close(connection)
        if ask is None:
            return
        answer = read_answer(connection.received, is_end=True)
        if answer is not None:
            self._finish(ask, answer.status, answer.reason, answer.retry_after)
        elif connection.has_served and not connection.received:
            # a kept-alive connection that closed just as it was used: every client library asks again
            self._send(ask)
        else:
            self._finish(ask, BROKEN, "broken")

    def _close(self, connection: _Connection) -> None:
        connection.is_open = False
        connection.ask = None
        self._connections.pop(connection.socket.fileno(), None)
        connection.socket.close()

    def _give_up(self, now: float) -> None:
        asks = self._asks
        while asks and (asks[0].connection is None or asks[0].deadline <= now):
            ask = asks.popleft()
            if ask.connection is not None:
                self._close(ask.connection)
                self._finish(ask, GAVE_UP, "")

    def _finish(self, ask: _Ask, status: int, reason: str, told: int = 0) -> None:
        now = time.perf_counter()
        ask.connection = None
        self._waiting -= 1
        seen = self.seen
        seen.end[ask.number] = now - self._begun
        seen.status[ask.number] = status
        seen.told[ask.number] = told
        if status == 200:
            return
        if status != GAVE_UP:
            word = reason if status == BROKEN else f"{status} {reason}".rstrip()
            seen.refusals[word] = seen.refusals.get(word, 0) + 1
        if ask.tries_left:
            self._start(_Ask(ask.number, ask.request, now + self._clients.patience, ask.tries_left - 1))


if __name__ == "__main__":
    generate(Clients, _Loader)
