"""What waiting costs: a bounded amount of memory for each request, its connection included, and none that stays."""

from __future__ import annotations

import asyncio
import resource
import statistics
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.client import Client
from tests.support.origin import running_origin
from tests.support.running import HEAD, running, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.running import RunningGateway

WAITING = 2000
MOST = 16 * 1024
ROUNDS = 3
CONFIG = """
[upstreams.app]
endpoints = ["http://127.0.0.1:{port}"]
limit = {{ kind = "fixed", initial = 1 }}
queue = {{ max_length = 5000, max_wait = "10m", fairness_key = "header:x-tenant" }}
timeouts = {{ head = "10m" }}
[routes.web]
upstream = "app"
"""


@contextmanager
def many_files() -> Iterator[None]:
    """Every client is a descriptor of this process, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < WAITING + 500:
        pytest.skip("TOO FEW DESCRIPTORS: nothing was checked")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, WAITING + 500), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


async def _waiting(gateway: RunningGateway) -> float:
    found = await gateway.metrics()
    return sum(n for name, n in found.items() if name.startswith("gateway_queued{"))


async def _wave(gateway: RunningGateway, pid: int) -> int:
    """Let so many wait, each with a head and a key of its own; the worker's memory then. All of them leave."""
    port = urlsplit(gateway.url).port
    assert port is not None
    async with AsyncExitStack() as stack:
        for number in range(WAITING + 1):
            client = await Client.connect(port)
            stack.callback(client.close)
            fields = (
                f"X-Tenant: {number}\r\nUser-Agent: {'a' * 100}\r\nAccept: */*\r\nCookie: session={number:064x}\r\n"
            )
            await client.send(f"GET /case/{number} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())
        await until(lambda: _is_waiting(gateway, WAITING))
        resident = _resident(pid)
    await until(lambda: _is_waiting(gateway, 0))
    return resident


async def _is_waiting(gateway: RunningGateway, number: int) -> bool:
    return await _waiting(gateway) == number


async def test_who_waits_costs_little_and_leaves_nothing() -> None:
    """A request that waits takes at most 16 KiB; a second wave takes no more than the first."""
    each, grown = [], []
    for _ in range(ROUNDS):
        async with running_origin() as origin:
            origin.default = lambda exchange: exchange.wait_until_abandoned()
            config = HEAD.format(workers=1, drain="1s") + CONFIG.format(port=origin.port)
            async with running(config) as gateway:
                pid = await gateway.worker_pid()
                await gateway.get("/", headers={"X-Request-Timeout-Ms": "50"})
                await asyncio.sleep(0.5)
                before = _resident(pid)
                with many_files():
                    first = await _wave(gateway, pid)
                    second = await _wave(gateway, pid)
                each.append((first - before) / WAITING)
                grown.append((second - first) / WAITING)
    assert statistics.median(each) <= MOST, each
    assert statistics.median(grown) <= MOST / 16, grown
