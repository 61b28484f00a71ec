"""What one request costs in our own code: the path without a kernel.

Drives a data plane's client and upstream connections over transports that only remember, so that the figure
is Python and the parsers alone. ``python -m benchmarks.path [--profile]`` prints µs a request for heads that
repeat and for heads that are all different.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import random
import statistics
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import structlog

from gateway.config.settings import Route, Settings, Upstream
from gateway.core.clock import SystemClock
from gateway.http.downstream import ClientConnection
from gateway.proxy.plane import DataPlane
from gateway.telemetry.access import AccessLog
from gateway.telemetry.settings import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.http.upstream import UpstreamConnection

_REQUEST = (
    b"GET /orders/%d?page=2 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n"
    b"Accept-Encoding: gzip, br\r\nCookie: session=%d\r\n\r\n"
)
_RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: app\r\nDate: Sat, 21 Nov 2026 23:33:46 GMT\r\nContent-Type: text/plain\r\n"
    b"ETag: %d\r\nContent-Length: 33\r\n\r\n" + b"x" * 33
)


class _Wire(asyncio.Transport):
    """A transport that takes everything and keeps the last write."""

    def __init__(self) -> None:
        super().__init__()
        self.last = b""

    def write(self, data: Any) -> None:
        self.last = data

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 5) if name == "peername" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def abort(self) -> None:
        pass


def _tune() -> None:
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


async def _measure(rounds: int, each: int, number: Callable[[], int], profile: cProfile.Profile | None) -> list[float]:
    clock = SystemClock()
    settings = Settings(
        upstreams={"app": Upstream(endpoints=("http://127.0.0.1:1",))}, routes={"all": Route(upstream="app")}
    )
    plane = DataPlane(
        settings, clock=clock, rng=random.Random(1), name="gateway-bench",
        access_log=AccessLog(Log(access="off"), clock), log=structlog.get_logger(),
    )  # fmt: skip
    await plane.start([])
    client = ClientConnection(plane.door)
    client.connection_made(_Wire())
    endpoint = plane._groups["app"].endpoints[0]
    upstream: UpstreamConnection = endpoint._make()
    upstream.connection_made(_Wire())
    endpoint._on_free(upstream, clock.now())
    times = []
    _tune()
    for _ in range(rounds):
        pairs = [(_REQUEST % (n, n), _RESPONSE % n) for n in (number() for _ in range(each))]
        if profile is not None:
            profile.enable()
        before = time.perf_counter()
        for request, response in pairs:
            client.data_received(request)
            upstream.data_received(response)
        times.append((time.perf_counter() - before) / each * 1e6)
        if profile is not None:
            profile.disable()
        await asyncio.sleep(0)
    assert plane.counters.routes["all"].requests == {("GET", 200): rounds * each}
    await plane.close()
    return times


def _numbers(*, repeat: bool) -> Callable[[], int]:
    source: Iterator[int] = count(10**6)
    return (lambda: 7) if repeat else source.__next__


def main() -> None:
    """Print the cost for heads that repeat and for heads that do not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="print where the time goes as well")
    arguments = parser.parse_args()
    for name, repeat in (("every head different", False), ("heads that repeat", True)):
        times = asyncio.run(_measure(7, 10000, _numbers(repeat=repeat), None))
        print(f"{name:22s} {statistics.median(times):6.2f} us a request (min {min(times):.2f}, max {max(times):.2f})")
        if arguments.profile:
            profile = cProfile.Profile()
            asyncio.run(_measure(2, 10000, _numbers(repeat=repeat), profile))
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
