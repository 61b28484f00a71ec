"""The service behind the proxies: a few workers, an unbounded backlog, and no protection at all.

It behaves as most Python services do: what was accepted is worked on in order of arrival, also when its client has
long gone. It is a simulation in real time: a worker does nothing but let time pass, so thousands of requests a
second cost a small part of a core, and its capacity is ``workers / mean`` whatever the machine is doing: work that
waits begins at the instant when a worker *was to be* free, not when an event loop came round to it.

*Past a knee* (``knee`` > 0) all that is in service slows down: n requests in service go (knee / n)² as fast as
``knee`` would, so throughput falls as 1/n. That is what lock contention and swapping look like from outside.

Run as ``python -m benchmarks.overload_service PORT CONTROL_PORT JSON``. The control port takes lines: ``workers N``,
``slower X`` (all work takes X times as long), ``stats``; each is answered by one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections import deque
from heapq import heappop, heappush
from random import Random
from typing import TYPE_CHECKING, Literal, cast

import msgspec
import uvloop

from benchmarks.overload_alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import Callable

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\ndone\n"
# one request in twenty takes fifty times as long as the others
_LONG_SHARE = 0.05
_LONG_FACTOR = 50

Distribution = Literal["exponential", "constant", "lognormal", "bimodal"]


class Service(msgspec.Struct, frozen=True):
    """How the service works: mean work in seconds; ``drops_gone`` skips waiting requests whose client has left."""

    workers: int = 8
    mean: float = 0.02
    distribution: Distribution = "exponential"
    knee: int = 0
    drops_gone: bool = False
    seed: int = 1

    @property
    def capacity(self) -> float:
        """Requests a second at best."""
        return (self.knee or self.workers) / self.mean


def draws(distribution: Distribution, mean: float, rng: Random) -> Callable[[], float]:
    """What to call for the seconds of work in the next request."""
    if distribution == "constant":
        return lambda: mean
    if distribution == "lognormal":  # with a coefficient of variation of 1: σ² = ln 2
        middle, sigma = math.log(mean) - math.log(2) / 2, math.sqrt(math.log(2))
        return lambda: rng.lognormvariate(middle, sigma)
    if distribution == "bimodal":
        short = mean / (1 - _LONG_SHARE + _LONG_SHARE * _LONG_FACTOR)
        return lambda: short * (_LONG_FACTOR if rng.random() < _LONG_SHARE else 1)
    return lambda: rng.expovariate(1 / mean)


class Job:
    """One request: its work in seconds, and whether its client has left."""

    __slots__ = ("finished_at", "is_gone", "owner", "work")

    def __init__(self, owner: _Connection | None, work: float) -> None:
        self.owner = owner
        self.work = work
        self.is_gone = False
        self.finished_at = 0.0


class Crew:
    """The workers and the backlog before them; numbers in, numbers out.

    Work is counted on a virtual clock that all workers share and that runs slower past the knee.
    """

    def __init__(self, service: Service, now: float) -> None:
        self.workers = service.workers
        self.slowness = 1.0
        self.backlog: deque[Job] = deque()
        self.wasted = 0
        self._knee = service.knee or math.inf
        self._drops_gone = service.drops_gone
        self._busy: list[tuple[float, int, Job]] = []
        self._started = 0
        self._virtual = 0.0
        self._now = now

    def arrive(self, job: Job) -> None:
        """A request has come, at the instant to which :meth:`advance` was called last."""
        self.backlog.append(job)
        self._begin()

    def advance(self, now: float) -> list[Job]:
        """Let time pass; what was finished, in order, each with its instant."""
        finished = []
        while (instant := self.next_finish()) is not None and instant <= now:
            self._virtual, _, job = heappop(self._busy)
            self._now = job.finished_at = instant
            self.wasted += job.is_gone
            finished.append(job)
            self._begin()
        self._virtual += (now - self._now) * self._speed()
        self._now = now
        return finished

    def next_finish(self) -> float | None:
        """When the next request will be finished, if nothing else happens."""
        if not self._busy:
            return None
        return self._now + (self._busy[0][0] - self._virtual) / self._speed()

    def resize(self, workers: int) -> None:
        """Have that many workers from now on; who works now ends his request first."""
        self.workers = workers
        self._begin()

    def _speed(self) -> float:
        return min(1.0, (self._knee / max(len(self._busy), 1)) ** 2)

    def _begin(self) -> None:
        while self.backlog and len(self._busy) < self.workers:
            job = self.backlog.popleft()
            if job.is_gone and self._drops_gone:
                continue
            self._started += 1
            heappush(self._busy, (self._virtual + job.work * self.slowness, self._started, job))


class _Server:
    def __init__(self, service: Service) -> None:
        self.crew = Crew(service, time.perf_counter())
        self.draw = draws(service.distribution, service.mean, Random(service.seed))
        self.alarm = Alarm()
        self.done = 0
        self.longest_backlog = 0
        self.late: list[float] = []

    def arrive(self, connection: _Connection) -> Job:
        self.turn()
        job = Job(connection, self.draw())
        self.crew.arrive(job)
        self.longest_backlog = max(self.longest_backlog, len(self.crew.backlog))
        self.alarm.set(self.crew.next_finish())
        return job

    def ring(self) -> None:
        self.alarm.silence()
        self.turn()

    def turn(self) -> None:
        now = time.perf_counter()
        for job in self.crew.advance(now):
            self.done += 1
            self.late.append(now - job.finished_at)
            if job.owner is not None and not job.is_gone:
                job.owner.answer()
        self.alarm.set(self.crew.next_finish())

    def control(self, line: str) -> dict[str, float]:
        verb, _, value = line.partition(" ")
        self.turn()
        if verb == "workers":
            self.crew.resize(int(value))
        elif verb == "slower":
            self.crew.slowness = float(value)
        self.turn()
        late = sorted(self.late)
        return {
            "done": self.done,
            "wasted": self.crew.wasted,
            "longest_backlog": self.longest_backlog,
            "late_p99": late[int(len(late) * 0.99)] if late else 0.0,
        }


class _Connection(asyncio.Protocol):
    """One connection of a client that waits for each answer before it asks again."""

    __slots__ = ("_job", "_received", "_server", "_transport")

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._received = b""
        self._job: Job | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"\r\n\r\n"):
            self._received = b""
            self._job = self._server.arrive(self)

    def answer(self) -> None:
        self._job = None
        self._transport.write(_ANSWER)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._job is not None:
            self._job.is_gone = True
            self._job.owner = None


class _Control(asyncio.Protocol):
    def __init__(self, server: _Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for line in data.decode().splitlines():
            self._transport.write(json.dumps(self._server.control(line)).encode() + b"\n")


async def _serve(port: int, control_port: int, service: Service) -> None:
    loop = asyncio.get_running_loop()
    server = _Server(service)
    loop.add_reader(server.alarm.descriptor, server.ring)
    await loop.create_server(lambda: _Control(server), "127.0.0.1", control_port)
    listening = await loop.create_server(lambda: _Connection(server), "127.0.0.1", port, backlog=4096)
    await listening.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2]), msgspec.json.decode(sys.argv[3], type=Service)))
