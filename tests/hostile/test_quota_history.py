"""Quotas hold whatever moves: the work between two workers, the keys that clients invent, the wall clock."""

from __future__ import annotations

import asyncio
import itertools
import mmap
import os
import random
import re
import signal
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.ledger import begin, size
from tests.integration.test_shares import Load, by_worker, port_of
from tests.support.behaviours import ends
from tests.support.client import Client, connected
from tests.support.origin import running_origin
from tests.support.plane import RunningGateway, running_gateway
from tests.support.running import HEAD, PATIENCE, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.support.origin import Exchange, Origin

WORKERS = 2
RATE = 2
BURST = 40
# What a request may take on its way from its admission to the origin's clock, on a busy machine.
JITTER = 0.25
# Workers that decide at the same instant do not see one another.
ALLOWED_AT_ONCE = BURST + (WORKERS - 1) + RATE * JITTER
QUOTAS = (
    HEAD.format(workers=WORKERS, drain="2s")
    + """
[upstreams.app]
endpoints = ["http://127.0.0.1:{port}"]
[routes.who]
match = {{ path = "/who" }}
upstream = "app"
[routes.web]
upstream = "app"
[[routes.web.rate_limits]]
name = "per-key"
key = "header:x-api-key"
rate = "2/s"
burst = 40
"""
)


def at_once(times: Sequence[float], rate: float) -> float:
    """The least burst that allows these admissions, in their order, at this rate."""
    # The worst stretch ends now and begins where the most was still to come: one pass finds it.
    worst = best = float("-inf")
    for count, at in enumerate(times):
        best = max(best, rate * at - count)
        worst = max(worst, count + 1 - rate * at + best)
    return worst


class History:
    """When which key was let through, as the origin saw it."""

    def __init__(self, origin: Origin) -> None:
        self.seen: dict[bytes, list[float]] = {}
        origin.default = self.behave

    async def behave(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.target == b"/who":
            await exchange.answer((request.value(b"X-Request-Id") or b"")[:12])
            return
        self.seen.setdefault(request.value(b"X-Api-Key") or b"", []).append(time.monotonic())
        await exchange.answer(b"ok")

    def verify(self, key: bytes) -> None:
        """In no stretch of time were more let through than the rate and one burst allow."""
        times = self.seen[key]
        worst = at_once(times, RATE)
        assert worst <= ALLOWED_AT_ONCE, f"{worst:.1f} at once, {BURST} allowed; {len(times)} in all"


@pytest.fixture
async def history() -> AsyncIterator[tuple[History, RunningGateway, list[list[Client]]]]:
    """Two workers, four clients of each."""
    async with (
        running_origin() as origin,
        running(QUOTAS.format(port=origin.port)) as gateway,
        AsyncExitStack() as stack,
    ):
        seen = History(origin)
        clients = await by_worker(stack, gateway, 4)
        yield seen, gateway, list(clients.values())


async def _ask_all_you_can(client: Client, key: str) -> int:
    """Ask until refused; how many were let through."""
    for count in itertools.count():
        await client.send(f"GET /case HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\n\r\n".encode())
        if (await client.answer()).status == 429:
            return count
    raise AssertionError


async def test_one_key_gets_its_rate_and_one_burst_from_all_workers_together(history: Any) -> None:
    """A greedy key that goes from worker to worker and back, all the time, never gains by it."""
    seen, _, (first, second) = history
    for clients in (first + second, first, second, first, first + second, second):
        async with Load(clients, fields=b"X-Api-Key: greedy\r\n"):
            await asyncio.sleep(0.5)
    seen.verify(b"greedy")
    assert len(seen.seen[b"greedy"]) > BURST / WORKERS, "nothing was let through, so nothing was shown"


async def test_a_burst_is_not_had_again_where_the_work_has_gone(history: Any) -> None:
    """A burst used up at one worker is not there again at the other, wherever the demand of others goes."""
    seen, _, (first, second) = history
    async with Load(first[1:], fields=b"X-Api-Key: crowd\r\n"):
        await asyncio.sleep(1.2)
        await _ask_all_you_can(first[0], "sly")
    async with Load(second[1:], fields=b"X-Api-Key: crowd\r\n"):
        await asyncio.sleep(1.6)
        await _ask_all_you_can(second[0], "sly")
    seen.verify(b"sly")
    assert len(seen.seen[b"sly"]) > BURST / WORKERS


async def test_a_key_has_its_whole_quota_at_the_worker_that_serves_it(history: Any) -> None:
    """All of the burst passes at once on one connection, and the other worker knows that it is used up."""
    _, _, (first, second) = history
    assert await _ask_all_you_can(first[0], "faithful") >= BURST
    assert await _ask_all_you_can(second[0], "faithful") <= RATE * PATIENCE


async def test_the_death_of_a_worker_gives_nobody_a_burst(history: Any) -> None:
    """What it charged is owed to its successor, and at the other worker."""
    seen, gateway, (first, second) = history
    await _ask_all_you_can(first[0], "killer")
    await _ask_all_you_can(second[0], "killer")
    victim = await gateway.worker_pid()
    os.kill(victim, signal.SIGKILL)

    async def lives_again() -> bool:
        found = (await gateway.status())["workers"][0]
        return found["state"] == "ready" and found["pid"] != victim

    await until(lives_again)
    async with AsyncExitStack() as stack:
        for clients in (await by_worker(stack, gateway, 1)).values():
            await _ask_all_you_can(clients[0], "killer")
    seen.verify(b"killer")


ASKING = r"""
import mmap, sys, time
from gateway.admission.rate_limit import KeyedRateLimit
from gateway.core.ledger import Ledger
number, workers, fd = map(int, sys.argv[1:])
ledger = Ledger(memoryview(mmap.mmap(fd, 0)), workers=workers, number=number)
limit = KeyedRateLimit(2000.0, 50.0, ledger.table(1000), ledger.epoch)
print("ready", flush=True)
sys.stdin.readline()
passed = []
for _ in range(100_000):
    now = time.monotonic()
    if not limit.take("one", 1.0, now):
        passed.append(now)
print(*passed, sep="\n")
"""


async def test_processes_that_charge_one_key_at_the_same_instants_lose_no_charge() -> None:
    """Three processes on one memory, as fast as they can: never more than rate, burst, and one for each other one."""
    workers = 3
    memory = os.memfd_create("ledger")
    try:
        os.ftruncate(memory, size([1000], workers))
        with mmap.mmap(memory, 0) as mapped, memoryview(mapped) as view:
            begin(view, time.monotonic(), b"salt" * 4)
        asking = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", ASKING, str(number), str(workers), str(memory)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                pass_fds=[memory],
            )
            for number in range(workers)
        ]
        for process in asking:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        told = await asyncio.gather(*(process.communicate(b"go\n") for process in asking))
    finally:
        os.close(memory)
    times = sorted(float(line) for output, _ in told for line in output.split())
    assert len(times) > 50
    assert at_once(times, 2000.0) <= 50 + (workers - 1) + 0.01


async def test_refusals_are_not_charged(origin: Origin) -> None:
    """Who asks far too often still gets its rate: a thousand refusals do not put off the next one that passes."""
    async with running_gateway(origin.port, _quota("50/s", 10)) as gateway, connected(gateway.port) as client:
        statuses = {200: 0, 429: 0}
        async with asyncio.timeout(PATIENCE):
            while statuses[200] < 40 or statuses[429] < 300:
                await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\nX-Api-Key: loud\r\n\r\n")
                statuses[(await client.answer()).status] += 1
    assert len(origin.requests) == statuses[200]
    assert gateway.snapshot().rate_limited == [("all", "per-key", "enforce", statuses[429])]


def _quota(rate: str, burst: int, **queue: Any) -> dict[str, Any]:
    limit = {"name": "per-key", "key": "header:x-api-key", "rate": rate, "burst": burst}
    return {
        "routes": {"all": {"upstream": "origin", "rate_limits": [limit]}},
        "upstreams": {
            "origin": {
                "limit": {"kind": "fixed", "initial": 1},
                "queue": {"max_wait": "20s", **queue},
                "timeouts": {"head": "20s"},
            }
        },
        "gateway": {"timeouts": {"keepalive": "20s"}},
    }


class _Quick(asyncio.Protocol):
    """An origin that answers every request at once, for tests of many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert data.endswith(b"\r\n\r\n")
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")  # type: ignore[attr-defined]


@asynccontextmanager
async def quick_origin() -> AsyncIterator[int]:
    """The port of an origin that answers at once."""
    server = await asyncio.get_running_loop().create_server(_Quick, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_invented_keys_make_no_series(origin: Origin) -> None:
    """Ten thousand keys, in fields, paths and cookies, leave the series of the metrics as one of each left them."""
    del origin
    rng = random.Random(5)

    def ask() -> bytes:
        word = rng.randbytes(8).hex()
        return (
            f"GET /of/{word} HTTP/1.1\r\nHost: a\r\nX-Api-Key: {word}\r\nCookie: session={word}\r\n"
            f"X-Tenant: {word}\r\nX-Class: {word}\r\n\r\n"
        ).encode()

    async def storm(gateway: RunningGateway, count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(gateway))  # type: ignore[arg-type]
        for _ in range(0, count, 50):
            writer.write(b"".join(ask() for _ in range(50)))
            for _ in range(50):
                async with asyncio.timeout(PATIENCE):
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = next(x for x in head.lower().splitlines() if x.startswith(b"content-length"))
                    await reader.readexactly(int(length.split(b":")[1]))
        writer.close()

    async def counted(gateway: RunningGateway, count: int) -> dict[str, float] | None:
        found = await gateway.metrics()
        total = sum(value for name, value in found.items() if name.startswith("gateway_requests_total"))
        return found if total == count else None

    async with quick_origin() as port, running(INVENTED.format(port=port)) as gateway:
        await storm(gateway, 100)
        before = await until(lambda: counted(gateway, 100))
        await asyncio.gather(*(storm(gateway, 1250) for _ in range(8)))
        after = await until(lambda: counted(gateway, 10_100))
    assert sorted(set(after) ^ set(before)) == []
    assert not [name for name in after if re.search("[0-9a-f]{16}", name)]


INVENTED = (
    HEAD.format(workers=WORKERS, drain="2s")
    + """
[upstreams.app]
endpoints = ["http://127.0.0.1:{port}"]
queue = {{ max_wait = "20s", max_length = 1000, fairness_key = "header:x-tenant" }}
[routes.web]
match = {{ path = "/of/{{who}}" }}
upstream = "app"
class_header = "x-class"
rate_limits = [
  {{ name = "by-key", key = "header:x-api-key", rate = "1000/s" }},
  {{ name = "by-cookie", key = "cookie:session", rate = "1000/s" }},
  {{ name = "by-path", key = "path:who", rate = "1000/s" }},
]
"""
)

HOUR = 3600.0


def _jump(gateway: RunningGateway, seconds: float) -> None:
    """Set the wall clock of this gateway."""
    clock = gateway.plane.clock
    clock.wall = lambda: time.time() + seconds  # type: ignore[method-assign]


JUMPS = pytest.mark.parametrize("jump", [HOUR, -HOUR, -2 * HOUR, 365 * 24 * HOUR])


@JUMPS
async def test_the_wall_clock_fills_no_bucket(origin: Origin, jump: float) -> None:
    """A quota by the hour is used up; an hour on the wall clock, either way, gives nothing and takes nothing."""
    config = _quota("2/h", 2)
    async with running_gateway(origin.port, config) as gateway, connected(gateway.port) as client:
        assert await _ask_all_you_can(client, "one") == 2
        _jump(gateway, jump)
        assert await _ask_all_you_can(client, "one") == 0
        assert await _ask_all_you_can(client, "two") == 2
        await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\nX-Api-Key: two\r\n\r\n")
        # Half an hour for each, and up to half as much again so that not all come back together.
        assert 1700 <= int((await client.answer()).value("Retry-After") or 0) <= 2800
        _jump(gateway, 0)
        assert await _ask_all_you_can(client, "one") == 0


@JUMPS
async def test_the_wall_clock_moves_no_relative_deadline(origin: Origin, jump: float) -> None:
    """Time that a client gives in milliseconds is neither over too soon nor prolonged."""
    origin.on("/never", ends("hang"))
    async with running_gateway(origin.port, _quota("1000/s", 10)) as gateway, AsyncExitStack() as stack:
        patient, hasty = [await stack.enter_async_context(connected(gateway.port)) for _ in range(2)]
        await patient.send(b"GET /never HTTP/1.1\r\nHost: a\r\nX-Request-Timeout-Ms: 15000\r\n\r\n")
        await until(lambda: origin.asked("/never"))
        await hasty.send(b"GET /case HTTP/1.1\r\nHost: a\r\nX-Request-Timeout-Ms: 150\r\n\r\n")
        _jump(gateway, jump)
        answer = await hasty.answer()
        assert answer.status == 504
        assert await patient.is_silent(0.1)
        await hasty.send(b"GET /late HTTP/1.1\r\nHost: a\r\nX-Request-Timeout-Ms: 15000\r\n\r\n")
        patient.reset()
        assert (await hasty.answer()).status == 200
        left = int(origin.asked("/late")[0].value(b"X-Request-Timeout-Ms") or 0)
        assert 5000 < left <= 15000


@JUMPS
async def test_the_wall_clock_ends_no_wait_and_prolongs_none(origin: Origin, jump: float) -> None:
    """Who may wait long goes on waiting, who has waited long enough hears it, whatever the wall clock says."""
    origin.on("/never", ends("hang"))
    for max_wait, is_served in (("20s", True), ("150ms", False)):
        async with (
            running_gateway(origin.port, _quota("1000/s", 10, max_wait=max_wait)) as gateway,
            AsyncExitStack() as stack,
        ):
            first, second = [await stack.enter_async_context(connected(gateway.port)) for _ in range(2)]
            before = len(origin.asked("/never"))
            await first.send(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n")
            await until(lambda: len(origin.asked("/never")) > before)  # noqa: B023
            await second.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n")
            gate = gateway.plane.gates["origin"]
            await until(lambda: gate.queue.count)  # noqa: B023
            _jump(gateway, jump)
            if is_served:
                assert await second.is_silent(0.1)
                assert gate.queue.count == 1
                first.reset()
                assert (await second.answer()).status == 200
            else:
                assert (await second.answer()).json["reason"] == "queue_timeout"
                first.reset()
            await gateway.settle()
