"""Latency at a fixed rate: an open loop, so that a slow answer does not slow down the questions.

Requests leave when their instant comes, whether or not earlier ones have been answered, and a latency
counts from that instant: a stall is charged to every request that fell into it (no coordinated omission).
Pacing is by a kernel timer (``timerfd``), because the event loop's own timers are a millisecond coarse,
which is more than most proxies add.

Run as ``python -m benchmarks.latency PORT PATH RATE SECONDS CONNECTIONS``; prints JSON.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import subprocess
import sys
import time
from collections import deque
from typing import NamedTuple, cast

import uvloop

from benchmarks.processes import LOAD_CORE, pinned

_CLOCK_MONOTONIC = 1
_NONBLOCK = 0o4000
_WARM_UP = 0.3
_GRACE = 2.0


class Latency(NamedTuple):
    """Seconds at the median and at the 99th percentile; ``lost`` requests got no good answer."""

    p50: float
    p99: float
    lost: int


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Interval(ctypes.Structure):
    _fields_ = (("every", _Timespec), ("first", _Timespec))


def _ticks(rate: float) -> int:
    """A file descriptor that becomes readable ``rate`` times a second and counts its ticks."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = int(libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    every = _Timespec(int(1 / rate), int(1e9 / rate) % 1_000_000_000)
    libc.timerfd_settime(descriptor, 0, ctypes.byref(_Interval(every, every)), None)
    return descriptor


class _Client(asyncio.Protocol):
    """One kept-alive connection that carries one request at a time."""

    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._received = b""
        self.sent_for = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's
        self.transport = cast("asyncio.Transport", transport)
        self._loader.free.append(self)

    def ask(self, instant: float) -> None:
        self.sent_for = instant
        self.transport.write(self._loader.request)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head = received.find(b"\r\n\r\n")
        if head < 0 or not _is_whole(received, head):
            self._received = received
            return
        self._received = b""
        self._loader.finish(self, is_good=received.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._loader.lose(self)


def _is_whole(received: bytes, head: int) -> bool:
    found = received[:head].lower().find(b"\r\ncontent-length:")
    if found < 0:
        return received.endswith(b"0\r\n\r\n")
    length = int(received[found + 17 : head].split(b"\r\n", 1)[0])
    return len(received) >= head + 4 + length


class _Loader:
    """Sends on schedule, keeps what could not be sent yet, and remembers every latency."""

    def __init__(self, request: bytes, rate: float) -> None:
        self.request = request
        self.free: deque[_Client] = deque()
        self.latencies: list[float] = []
        self.lost = 0
        self._late: deque[float] = deque()
        self._interval = 1 / rate
        self._next = 0.0
        self._keep_from = 0.0
        self._is_over = False

    def start(self, descriptor: int) -> None:
        self._next = time.perf_counter() + self._interval
        self._keep_from = self._next + _WARM_UP
        asyncio.get_running_loop().add_reader(descriptor, self._tick, descriptor)

    def _tick(self, descriptor: int) -> None:
        for _ in range(int.from_bytes(os.read(descriptor, 8), sys.byteorder)):
            instant = self._next
            self._next += self._interval
            if self.free:
                self.free.popleft().ask(instant)
            else:
                self._late.append(instant)

    def finish(self, client: _Client, *, is_good: bool) -> None:
        if client.sent_for >= self._keep_from:
            if is_good:
                self.latencies.append(time.perf_counter() - client.sent_for)
            else:
                self.lost += 1
        if self._late:
            client.ask(self._late.popleft())
        else:
            self.free.append(client)

    def lose(self, client: _Client) -> None:
        if self._is_over:
            return
        self.lost += 1
        if client in self.free:
            self.free.remove(client)

    def stop(self, connections: int) -> None:
        self._is_over = True
        self.lost += len(self._late) + connections - len(self.free)


async def generate(port: int, path: str, rate: float, seconds: float, connections: int) -> Latency:
    """Ask ``rate`` times a second for ``seconds`` and report; the first 0.3 s are not counted."""
    loop = asyncio.get_running_loop()
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    loader = _Loader(request, rate)
    clients = [
        (await loop.create_connection(lambda: _Client(loader), "127.0.0.1", port))[1] for _ in range(connections)
    ]
    descriptor = _ticks(rate)
    loader.start(descriptor)
    await asyncio.sleep(seconds + _WARM_UP)
    loop.remove_reader(descriptor)
    os.close(descriptor)
    give_up = loop.time() + _GRACE
    while len(loader.free) < connections and loop.time() < give_up:  # noqa: ASYNC110 - a benchmark's last breath
        await asyncio.sleep(0.01)
    loader.stop(connections)
    for client in clients:
        client.transport.close()
    ordered = sorted(loader.latencies)
    return Latency(ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)], loader.lost)


def measure(port: int, path: str, *, rate: int = 1000, seconds: float = 3, connections: int = 32) -> Latency:
    """Run the generator in its own process on the load's core."""
    command = [sys.executable, "-m", "benchmarks.latency", *map(str, (port, path, rate, seconds, connections))]
    output = subprocess.run(
        pinned(command, str(LOAD_CORE)), capture_output=True, text=True, check=True, timeout=seconds + 30
    ).stdout
    return Latency(**json.loads(output))


def _main() -> None:
    port, path, rate, seconds, connections = sys.argv[1:]
    found = uvloop.run(generate(int(port), path, float(rate), float(seconds), int(connections)))
    print(json.dumps(found._asdict()))


if __name__ == "__main__":
    _main()
