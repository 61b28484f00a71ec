"""Two workers share what is configured once: the sum is the number in the file, and most goes where the work is."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.client import Client, Ended, connected
from tests.support.origin import Origin, running_origin
from tests.support.running import HEAD, PATIENCE, RunningGateway, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.origin import Exchange

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="PROMTOOL IS MISSING: nothing was checked")
WORKERS = 2
LIMIT = 8
SHARED = (
    HEAD.format(workers=WORKERS, drain="2s")
    + """
[upstreams.app]
endpoints = ["http://127.0.0.1:{port}"]
limit = {{ kind = "fixed", initial = 8 }}
queue = {{ max_length = 400, max_wait = "20s" }}
timeouts = {{ head = "20s" }}
[upstreams.tiny]
endpoints = ["http://127.0.0.1:{port}"]
limit = {{ kind = "fixed", initial = 2 }}
queue = {{ max_length = 0 }}
[upstreams.who]
endpoints = ["http://127.0.0.1:{port}"]
[routes.web]
upstream = "app"
[routes.who]
match = {{ path = "/who" }}
upstream = "who"
[routes.tiny]
match = {{ path = "/tiny" }}
upstream = "tiny"
[[routes.web.rate_limits]]
name = "per-key"
key = "header:x-api-key"
rate = "1000000/s"
"""
)


class Held:
    """An origin that takes ``seconds`` for each request, and knows how many each worker has in flight there."""

    def __init__(self, origin: Origin, seconds: float) -> None:
        self.seconds = seconds
        self.active: dict[bytes, int] = {}
        self.most = 0
        self.served = 0
        origin.default = self.behave

    @property
    def total(self) -> int:
        return sum(self.active.values())

    async def behave(self, exchange: Exchange) -> None:
        worker = worker_of(exchange)
        if exchange.request.target == b"/who":
            await exchange.answer(worker)
            return
        await exchange.read_body()
        self.active[worker] = self.active.get(worker, 0) + 1
        self.most = max(self.most, self.total)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.active[worker] -= 1
        self.served += 1
        await exchange.answer(b"ok")


def worker_of(exchange: Exchange) -> bytes:
    """Which worker sent it: half of a request id is the worker's own."""
    return (exchange.request.value(b"X-Request-Id") or b"")[:12]


def port_of(gateway: RunningGateway) -> int:
    """The proxy's port."""
    port = urlsplit(gateway.url).port
    assert port is not None
    return port


async def by_worker(stack: AsyncExitStack, gateway: RunningGateway, each: int) -> dict[bytes, list[Client]]:
    """So many open connections to each worker; the kernel deals them out, so some more are made and closed."""
    found: dict[bytes, list[Client]] = {}
    async with asyncio.timeout(PATIENCE):
        while len(found) < WORKERS or any(len(clients) < each for clients in found.values()):
            client = await Client.connect(port_of(gateway))
            stack.callback(client.close)
            await client.send(b"GET /who HTTP/1.1\r\nHost: a\r\n\r\n")
            clients = found.setdefault((await client.answer()).body, [])
            assert len(found) <= WORKERS
            if len(clients) < each:
                clients.append(client)
            else:
                client.close()
    return found


class Load:
    """Clients that ask again as soon as there is an answer, until the block ends and the last has its answer."""

    def __init__(self, clients: list[Client], path: bytes = b"/case", fields: bytes = b"") -> None:
        self._clients = clients
        self._raw = b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n"
        self._tasks: list[asyncio.Task[None]] = []
        self._is_over = False

    async def __aenter__(self) -> None:
        self._tasks = [asyncio.create_task(self._ask(client)) for client in self._clients]

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def _ask(self, client: Client) -> None:
        while not self._is_over:
            await client.send(self._raw)
            await client.answer(within=PATIENCE)


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    """An origin for one real gateway."""
    async with running_origin() as found:
        yield found


async def test_the_first_burst_meets_the_limit_of_the_file(origin: Origin) -> None:
    """Before anything was dealt out, all workers together let in no more than the limit."""
    held = Held(origin, 1.0)
    async with running(SHARED.format(port=origin.port)) as gateway, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(port_of(gateway))) for _ in range(40)]
        for client in clients:
            await client.send(b"GET /case HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: held.served >= 12)
        assert LIMIT - 1 <= held.most <= LIMIT
        await until(lambda: _is_metric(gateway, 'gateway_concurrency_limit{upstream="app"}', LIMIT))


async def test_the_limit_follows_the_work_and_its_sum_never_grows(origin: Origin) -> None:
    """One busy worker gets all of the limit but one; as the work moves, what it held is not given away twice."""
    held = Held(origin, 0.15)
    async with running(SHARED.format(port=origin.port)) as gateway, AsyncExitStack() as stack:
        (hot, first), (cold, second) = (await by_worker(stack, gateway, 24)).items()
        async with Load(first):
            await until(lambda: held.active.get(hot, 0) >= LIMIT - 1)
        async with Load(second):
            await until(lambda: held.active.get(cold, 0) >= LIMIT - 1)
        await until(lambda: not held.total)
        assert held.most <= LIMIT


async def test_what_a_worker_still_holds_is_not_given_to_the_other(origin: Origin) -> None:
    """While long requests fill one worker's part, the other gets no more than what is free."""
    held = Held(origin, 0.05)
    async with running(SHARED.format(port=origin.port)) as gateway, AsyncExitStack() as stack:
        (hot, first), (cold, second) = (await by_worker(stack, gateway, 24)).items()
        async with Load(first):
            await until(lambda: held.active.get(hot, 0) >= LIMIT - 1)
        held.seconds = 2.5
        async with Load(first[: LIMIT - 1]):
            await until(lambda: held.active[hot] == LIMIT - 1)
            held.seconds = 0.02
            async with Load(second):
                await until(lambda: held.active.get(cold, 0) >= LIMIT // 2)
    assert held.most <= LIMIT


async def test_who_waits_at_both_workers_is_served_by_both(origin: Origin) -> None:
    """Two workers that are asked for the same soon have the same, whatever they had before."""
    held = Held(origin, 0.1)
    async with running(SHARED.format(port=origin.port)) as gateway, AsyncExitStack() as stack:
        (hot, first), (cold, second) = (await by_worker(stack, gateway, 24)).items()
        async with Load(first):
            await until(lambda: held.active.get(hot, 0) >= LIMIT - 1)
            async with Load(second):
                await until(lambda: held.active[hot] <= LIMIT // 2 + 1 and held.active.get(cold, 0) >= LIMIT // 2 - 1)
    assert held.most <= LIMIT


async def test_the_limit_holds_and_follows_the_work_when_workers_die(origin: Origin) -> None:
    """A successor begins with what nobody holds, however long it took to come; then places are dealt out as before."""
    held = Held(origin, 0.1)
    async with running(SHARED.format(port=origin.port)) as gateway, AsyncExitStack() as stack:
        (hot, busy), (cold, idle) = (await by_worker(stack, gateway, 12)).items()
        for client in idle:
            client.close()
        async with Load(busy):
            await until(lambda: held.active.get(hot, 0) >= LIMIT - 1)
            found = await until(lambda: _files(gateway))
            number = min(found, key=found.__getitem__)
            for _ in range(3):  # each time its successor comes later
                pid = await gateway.worker_pid(number)
                os.kill(pid, signal.SIGKILL)
                await until(lambda: _is_back(gateway, number, pid))  # noqa: B023
            successors = await by_worker(stack, gateway, 12)
            assert set(successors) == {hot, next(worker for worker in successors if worker not in {hot, cold})}
            async with AsyncExitStack() as loads:
                for worker, clients in successors.items():
                    if worker != hot:
                        await loads.enter_async_context(Load(clients))
                        await until(lambda: held.active.get(worker, 0) >= LIMIT // 2 - 1)  # noqa: B023
    assert held.most <= LIMIT


async def _files(gateway: RunningGateway) -> dict[int, float] | None:
    """The open files of each worker, once they tell the busy from the idle."""
    metrics = await gateway.metrics()
    found = {number: metrics.get(f'gateway_worker_open_fds{{worker="{number}"}}', 0.0) for number in range(WORKERS)}
    return found if max(found.values()) > min(found.values()) + 10 else None


async def _is_back(gateway: RunningGateway, number: int, pid: int) -> bool:
    worker = (await gateway.status())["workers"][number]
    return worker["pid"] not in {0, pid} and worker["state"] == "ready"


async def _is_metric(gateway: RunningGateway, name: str, value: float) -> bool:
    return (await gateway.metrics()).get(name) == value


FAMILIES = {
    "gateway_admission_wait_seconds": "histogram",
    "gateway_queued": "gauge",
    "gateway_queued_bytes": "gauge",
    "gateway_concurrency_limit": "gauge",
    "gateway_limit_changes_total": "counter",
    "gateway_shed_total": "counter",
    "gateway_rate_limited_total": "counter",
}


async def test_metrics_tell_who_waits_and_who_was_turned_away(origin: Origin) -> None:
    """Every family of admission is there; waiting, shedding and quotas move the series that they should."""
    held = Held(origin, 0.5)
    async with running(SHARED.format(port=origin.port)) as gateway, AsyncExitStack() as stack:
        _, text = await gateway.ask("/metrics")
        types = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE"))
        assert {name: types.get(name) for name in FAMILIES} == FAMILIES
        clients = [await stack.enter_async_context(connected(port_of(gateway))) for _ in range(30)]
        for client in clients:
            await client.send(b"POST /case HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
        queued = 'gateway_queued{class="default",upstream="app"}'
        found = await until(lambda: _having(gateway, queued, 30 - LIMIT))
        assert found['gateway_queued_bytes{upstream="app"}'] == 1000 * (30 - LIMIT)
        assert found['gateway_concurrency_limit{upstream="app"}'] <= LIMIT  # less while places move
        assert found['gateway_in_flight{upstream="app"}'] == LIMIT
        held.seconds = 0.01
        found = await until(
            lambda: _having(gateway, 'gateway_admission_wait_seconds_count{class="default",upstream="app"}', 30)
        )
        assert found['gateway_admission_wait_seconds_bucket{class="default",le="0.0005",upstream="app"}'] == LIMIT
        assert (found[queued], found['gateway_queued_bytes{upstream="app"}']) == (0, 0)
        assert found['gateway_shed_total{class="default",mode="enforce",reason="queue_full",upstream="app"}'] == 0
        assert found['gateway_rate_limited_total{mode="enforce",route="web",rule="per-key"}'] == 0
        await until(lambda: _is_metric(gateway, 'gateway_concurrency_limit{upstream="app"}', LIMIT))


@promtool
async def test_promtool_has_nothing_to_say_about_admission(origin: Origin) -> None:
    """Promtool finds no fault while requests wait, are shed and are limited."""
    Held(origin, 0.2)
    async with running(SHARED.format(port=origin.port)) as gateway, AsyncExitStack() as stack:
        await _fill_tiny(gateway, stack, 12)
        name = 'gateway_shed_total{class="default",mode="enforce",reason="queue_full",upstream="tiny"}'
        await until(lambda: _having(gateway, name, 1))
        _, text = await gateway.ask("/metrics")
        checked = await asyncio.to_thread(
            subprocess.run, ["promtool", "check", "metrics"], input=text.encode(), capture_output=True, check=False
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


async def _having(gateway: RunningGateway, name: str, least: float) -> dict[str, float] | None:
    found = await gateway.metrics()
    return found if found.get(name, 0) >= least else None


async def _fill_tiny(gateway: RunningGateway, stack: AsyncExitStack, count: int) -> list[Client]:
    clients = [await stack.enter_async_context(connected(port_of(gateway))) for _ in range(count)]
    for client in clients:
        await client.send(b"GET /tiny HTTP/1.1\r\nHost: a\r\n\r\n")
    return clients


async def _decisions(gateway: RunningGateway) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((await gateway.ask("/v1/decisions"))[1])["decisions"]
    return found


async def test_decisions_tell_a_refusal_with_all_its_numbers(origin: Origin) -> None:
    """What a client was told is what an operator finds, and with it what the gate knew at the time."""
    Held(origin, 3.0)
    async with running(SHARED.format(port=origin.port)) as gateway, AsyncExitStack() as stack:
        clients = await _fill_tiny(gateway, stack, 8)
        done, pending = await asyncio.wait(
            [asyncio.create_task(client.answer(within=PATIENCE)) for client in clients],
            return_when=asyncio.FIRST_COMPLETED,
        )
        told = done.pop().result()
        assert (told.status, told.json["reason"]) == (503, "queue_full")
        decisions = await until(lambda: _decisions(gateway))
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    found = decisions[0]
    assert {name: found[name] for name in ("route", "upstream", "reason", "mode", "rule", "traffic_class")} == {
        "route": "tiny",
        "upstream": "tiny",
        "reason": "queue_full",
        "mode": "enforce",
        "rule": told.json["rule"],
        "traffic_class": "default",
    }
    assert (found["observed"], found["allowed"]) == (told.json["observed"], told.json["allowed"])
    assert found["retry_after"] >= 1
    assert (found["in_flight"], found["limit"]) == (1, 1)
    assert {"queued", "drain_rate", "latency", "at"} <= set(found), "a number that is 0 is a number"


async def test_decisions_are_bounded_and_the_newest_are_kept(origin: Origin) -> None:
    """However many are turned away, the page holds a thousand at most, newest first."""
    held = Held(origin, 15.0)
    async with running(SHARED.format(port=origin.port)) as gateway, AsyncExitStack() as stack:
        await _fill_tiny(gateway, stack, 24)
        await until(lambda: held.total == WORKERS)
        held.seconds = 0.0

        async def storm() -> None:
            async with connected(port_of(gateway)) as client:
                with suppress(Ended):
                    await client.send(b"GET /tiny HTTP/1.1\r\nHost: a\r\n\r\n" * 300)
                    for _ in range(300):
                        await client.answer(within=PATIENCE)

        async def is_full() -> bool:
            await asyncio.gather(*(storm() for _ in range(6)))
            return len(await _decisions(gateway)) >= 1000

        await until(is_full)
        newest = (await _decisions(gateway))[0]["at"]

        async def are_newer() -> bool:
            return (await _decisions(gateway))[0]["at"] > newest and await is_full()

        await storm()
        await until(are_newer)
        ats = [decision["at"] for decision in await _decisions(gateway)]
    assert len(ats) == 1000
    assert ats == sorted(ats, reverse=True)


CROWD = """
[gateway]
listen = ["127.0.0.1:0"]
workers = 2
drain_timeout = "2s"
limits = {{ connections_per_client = 5 }}
[admin]
listen = "127.0.0.1:0"
[upstreams.app]
endpoints = ["http://127.0.0.1:{port}"]
[routes.web]
upstream = "app"
"""


async def test_one_client_has_so_many_connections_at_all_workers_together(origin: Origin) -> None:
    """Those that were turned away are not counted, those that closed or died with their worker are counted no more."""
    async with running(CROWD.format(port=origin.port)) as gateway:

        async def served(attempts: int) -> list[Client]:
            found = []
            for _ in range(attempts):
                client = await Client.connect(port_of(gateway))
                await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                if (await client.answer()).status == 200:
                    found.append(client)
                else:
                    client.close()
            return found

        async def none_is_open() -> bool:
            return (await gateway.status())["totals"]["client_connections"] == 0

        for _ in range(2):
            clients = await served(30)
            assert len(clients) == 5
            for client in clients:
                client.close()
            await until(none_is_open)
        clients = await served(30)
        for number in range(WORKERS):
            pid = await gateway.worker_pid(number)
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid, number=number: _is_followed(gateway, number, pid))  # type: ignore[misc]
        successors = await served(30)
        assert len(successors) == 5
        for client in clients + successors:
            client.close()


async def _is_followed(gateway: RunningGateway, number: int, pid: int) -> bool:
    found = (await gateway.status())["workers"][number]
    return found["state"] == "ready" and found["pid"] != pid
