"""A small service with a known capacity, to try the gateway on: ``python -m gateway.sample``.

It works on at most ``--workers`` requests at a time, each for its service time; the others wait, without
any bound, as they do in most services. Its capacity is workers ÷ mean service time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
from typing import Literal

from aiohttp import web

from gateway.core.clock import SystemClock
from gateway.core.units import Seconds


class Service:
    """Answers after a service time, drawn from ``distribution``, with a place to work in."""

    def __init__(
        self,
        workers: int,
        service_time: float,
        *,
        distribution: Literal["constant", "exponential"] = "constant",
        rng: random.Random,
    ) -> None:
        self._places = asyncio.Semaphore(workers)
        self._mean = service_time
        self._distribution = distribution
        self._rng = rng
        self._now = SystemClock().now

    def app(self) -> web.Application:
        """The service as an aiohttp application."""
        app = web.Application()
        app.router.add_get("/healthz", self.health)
        app.router.add_route("*", "/{path:.*}", self.work)
        return app

    async def health(self, _request: web.Request) -> web.Response:
        """Answer at once, without taking a place."""
        return web.json_response({"status": "ok"})

    async def work(self, request: web.Request) -> web.Response:
        """Wait for a place, work there; ``?ms=50`` is the service time of this request, in milliseconds."""
        try:
            mean = float(request.query["ms"]) / 1000 if "ms" in request.query else self._mean
        except ValueError:
            raise web.HTTPBadRequest(text="ms is not a number") from None
        arrival = self._now()
        async with self._places:
            start = self._now()
            await asyncio.sleep(self._service_time(mean))
            end = self._now()
        return web.json_response(
            {
                "path": request.path,
                "pid": os.getpid(),
                "wait_ms": round((start - arrival) * 1000, 3),
                "service_ms": round((end - start) * 1000, 3),
            }
        )

    def _service_time(self, mean: float) -> float:
        if self._distribution == "constant" or mean <= 0:
            return mean
        return self._rng.expovariate(1 / mean)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m gateway.sample", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=8, help="how many requests are worked on at a time")
    parser.add_argument("--service-time", type=Seconds.parse, default=Seconds(0.02), help='such as "20ms"')
    parser.add_argument("--distribution", choices=("constant", "exponential"), default="constant")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    asyncio.run(_serve(options))


async def _serve(options: argparse.Namespace) -> None:
    service = Service(
        options.workers,
        options.service_time,
        distribution=options.distribution,
        rng=random.Random(options.seed),  # noqa: S311 - service times are no secrets
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(service.app(), access_log=None, shutdown_timeout=5)
    await runner.setup()
    try:
        await web.TCPSite(runner, options.host, options.port, backlog=4096).start()
        await stop.wait()
    finally:
        # Stops listening, then waits for the requests that are being worked on.
        await runner.cleanup()


if __name__ == "__main__":
    main()
