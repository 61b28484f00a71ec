"""A worker that dies, hangs or is overwhelmed costs its own requests and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from itertools import pairwise
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from tests.support.running import RunningGateway, running, toml, until
from tests.support.tls import certified, needs_openssl

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    """An upstream that answers at once, or after ``?ms=`` milliseconds."""

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(int(request.query.get("ms", "0")) / 1000)
        return web.Response(text=request.path)

    server = web.Server(answer, access_log=None)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_the_door_stays_open_while_a_worker_is_replaced(origin: str) -> None:
    """Connections made after kill -9 of the only worker are answered by its successor."""
    async with running(toml(origin)) as gateway:
        assert (await gateway.get())[0] == 200
        first = await gateway.worker_pid()
        gateway.remember()
        os.kill(first, signal.SIGKILL)
        answers = await asyncio.gather(*(gateway.get(f"/{n}") for n in range(20)))
        assert answers == [(200, f"/{n}") for n in range(20)]
        status = await gateway.status()
        assert status["workers"][0]["pid"] != first
        assert status["restarts"] == 1
        assert [event["status"] for event in gateway.events("worker died")] == [-9]


async def test_no_counter_goes_backwards_when_a_worker_is_killed_under_load(origin: str) -> None:
    """Every counter in /metrics only grows, across kill -9 of a worker under load."""
    async with running(toml(origin, workers=2)) as gateway:
        is_loading = True

        async def load() -> None:
            while is_loading:
                try:
                    await gateway.get()
                except aiohttp.ClientError:
                    await asyncio.sleep(0.01)  # this one was in the worker that died

        loading = [asyncio.create_task(load()) for _ in range(8)]
        await until(lambda: _finished(gateway, 100))
        seen = [await gateway.metrics()]
        gateway.remember()
        os.kill(await gateway.worker_pid(), signal.SIGKILL)
        for _ in range(60):
            seen.append(await gateway.metrics())
            await asyncio.sleep(0.02)
        await until(lambda: _is_restarted(gateway))
        seen.append(await gateway.metrics())
        is_loading = False
        await asyncio.gather(*loading)
        counters = [name for name in seen[0] if "_total" in name or "_bucket" in name or "_count" in name]
        assert "gateway_worker_restarts_total" in counters
        for before, after in pairwise(seen):
            assert [name for name in counters if after[name] < before[name]] == []
        assert seen[-1]["gateway_worker_restarts_total"] == 1


async def _finished(gateway: RunningGateway, n: int) -> bool:
    return (await gateway.metrics())['gateway_requests_total{code="200",method="GET",route="web"}'] >= n


async def _is_restarted(gateway: RunningGateway) -> bool:
    worker = (await gateway.status())["workers"][0]
    return worker["restarts"] == 1 and worker["state"] == "ready"


async def test_the_admin_address_answers_while_the_data_plane_is_stopped(origin: str) -> None:
    """With its only worker stopped dead (SIGSTOP) the gateway still tells health, metrics and status."""
    async with running(toml(origin)) as gateway:
        worker = await gateway.worker_pid()
        os.kill(worker, signal.SIGSTOP)
        try:
            waiting = asyncio.create_task(gateway.get("/later"))
            assert (await gateway.ask("/healthz"))[0] == 200
            assert "gateway_requests_total" in (await gateway.ask("/metrics"))[1]
            assert (await gateway.status())["workers"][0]["pid"] == worker
            await until(lambda: _says(gateway, "/readyz", 503))
            assert (await gateway.status())["workers"][0]["state"] == "silent"
            assert "no worker is ready" in (await gateway.ask("/readyz"))[1]
        finally:
            os.kill(worker, signal.SIGCONT)
        assert await waiting == (200, "/later")
        await until(lambda: _says(gateway, "/readyz", 200))
        assert (await gateway.status())["restarts"] == 0


async def _says(gateway: RunningGateway, path: str, status: int) -> bool:
    return (await gateway.ask(path))[0] == status


async def test_others_accept_the_connections_of_a_worker_that_does_not_answer(origin: str) -> None:
    """With one of two workers stopped every new connection is answered, and the admin address says why."""
    async with running(toml(origin, workers=2)) as gateway:
        stopped = await gateway.worker_pid(1)
        gateway.remember()
        os.kill(stopped, signal.SIGSTOP)
        try:
            # the kernel deals out connections to both, so half of them wait at first
            waiting = await asyncio.gather(*(gateway.get(f"/{n}") for n in range(20)))
            assert waiting == [(200, f"/{n}") for n in range(20)]
            code, text = await gateway.ask("/readyz")
            assert (code, "worker 1 does not answer" in text) == (200, True)
            assert (await gateway.status())["workers"][1]["state"] == "silent"
            for n in range(40):
                assert await gateway.get(f"/{n}") == (200, f"/{n}")
        finally:
            os.kill(stopped, signal.SIGCONT)
        await until(lambda: gateway.events("worker answers again"))
        assert [event["worker"] for event in gateway.events("worker does not answer")] == [1]
        await until(lambda: _remarks_are(gateway, []))
        assert await gateway.worker_pid(1) == stopped
        first = await gateway.worker_pid(0)
        os.kill(first, signal.SIGSTOP)
        try:
            assert {(await gateway.get())[0] for _ in range(20)} == {200}
        finally:
            os.kill(first, signal.SIGCONT)


async def test_the_connections_of_a_worker_that_cannot_start_are_answered(origin: str) -> None:
    """While a worker is dead for longer, as in a crash loop, the other one accepts for it."""
    async with running(toml(origin, workers=2)) as gateway:
        for _ in range(3):  # quick deaths, each with a longer delay
            pid = await gateway.worker_pid(0)
            gateway.remember()
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: _is_another(gateway, pid))  # type: ignore[misc]
        os.kill(await gateway.worker_pid(0), signal.SIGKILL)
        assert {(await gateway.get())[0] for _ in range(40)} == {200}


async def _is_another(gateway: RunningGateway, pid: int) -> bool:
    return await gateway.worker_pid(0) not in {0, pid}


async def _remarks_are(gateway: RunningGateway, wanted: list[str]) -> bool:
    found: list[str] = json.loads((await gateway.ask("/readyz"))[1])["remarks"]
    return found == wanted


async def test_a_worker_told_to_end_finishes_what_is_in_flight(origin: str) -> None:
    """SIGTERM to a worker alone lets its request finish, and another worker takes its place."""
    async with running(toml(origin)) as gateway:
        waiting = asyncio.create_task(gateway.get("/slow?ms=500"))
        await until(lambda: _in_flight(gateway))
        os.kill(await gateway.worker_pid(), signal.SIGTERM)
        assert await waiting == (200, "/slow")
        assert await gateway.get("/next") == (200, "/next")
        assert [event["finished"] for event in gateway.events("worker drained")] == [True]


async def _in_flight(gateway: RunningGateway) -> bool:
    return (await gateway.status())["totals"]["in_flight"] == 1


@needs_openssl
async def test_the_banner_says_https_where_tls_is_served(tmp_path: Path) -> None:
    """The address that is printed is one that can be asked; the admin address stays plain."""
    certificate, key = certified(tmp_path)
    tls = f'[gateway.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
    async with running(toml("http://127.0.0.1:1") + tls) as gateway:
        assert gateway.url.startswith("https://127.0.0.1:")
        assert gateway.admin.startswith("http://127.0.0.1:")
        async with gateway.session.get(gateway.url, ssl=False) as response:
            assert response.status == 502
