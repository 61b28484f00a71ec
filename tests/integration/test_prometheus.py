"""The query that KEDA asks Prometheus by, against a real Prometheus and two real gateways."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from tests.support.running import RunningGateway, running, toml, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.origin import Exchange, Origin

PROMETHEUS = shutil.which("prometheus")
MANIFEST = Path(__file__).parents[2] / "config" / "kubernetes" / "keda-prometheus.yaml"
SUM = 'sum(gateway_signal_demand_slots{upstream="shop"} + gateway_signal_backlog_slots{upstream="shop"})'
STEADY = (
    f"min_over_time({SUM}[12s:1s]) / max_over_time({SUM}[12s:1s])"
    f' and count_over_time({SUM}[12s:1s]) >= 12 and sum(gateway_signal_valid{{upstream="shop"}}) == 2'
)
CONFIG = """
global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs:
  - job_name: gateways
    file_sd_configs: [{ files: [targets.json], refresh_interval: 1s }]
"""


class Prometheus:
    """A running Prometheus that scrapes what ``follow`` names."""

    def __init__(self, folder: Path, url: str, session: aiohttp.ClientSession) -> None:
        self._folder = folder
        self._url = url
        self._session = session

    def follow(self, *gateways: RunningGateway) -> None:
        """Scrape these from now on."""
        part = self._folder / "targets.part"
        part.write_text(json.dumps([{"targets": [one.admin.removeprefix("http://") for one in gateways]}]))
        part.rename(self._folder / "targets.json")

    async def ask(self, query: str) -> float | None:
        """The answer to an instant query; None when it is empty or nobody answers."""
        with suppress(aiohttp.ClientError):
            async with self._session.get(f"{self._url}/api/v1/query", params={"query": query}) as response:
                found: dict[str, Any] = await response.json()
                assert found["status"] == "success", found
                result = found["data"]["result"]
                assert len(result) <= 1  # KEDA takes one number
                return float(result[0]["value"][1]) if result else None
        return None


@asynccontextmanager
async def prometheus(folder: Path) -> AsyncIterator[Prometheus]:
    (folder / "prometheus.yml").write_text(CONFIG)
    (folder / "targets.json").write_text("[]")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        str(PROMETHEUS),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
        "--log.level=error",
    )
    try:
        async with aiohttp.ClientSession() as session:
            yield Prometheus(folder, f"http://{address}", session)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def slowly(exchange: Exchange) -> None:
    await exchange.read_body()
    await asyncio.sleep(0.05)
    await exchange.answer(b"ok")


async def keep_asking(gateway: RunningGateway) -> None:
    while True:
        try:
            await gateway.get()
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)


@pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed")
@pytest.mark.timeout(180)
async def test_the_demand_is_not_halved_while_one_of_two_gateways_restarts(origin: Origin, tmp_path: Path) -> None:
    """The sum itself is; what KEDA asks for stays until the clients of the one are at the other, or is no answer."""
    (trigger,) = yaml.safe_load(MANIFEST.read_text())["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    origin.default = slowly
    config = toml(f"http://127.0.0.1:{origin.port}").replace("upstreams.app", "upstreams.shop")
    config = config.replace('upstream = "app"', 'upstream = "shop"')
    clients: list[asyncio.Task[None]] = []
    try:
        async with prometheus(tmp_path) as asked, running(config) as stays, AsyncExitStack() as going:
            goes = await going.enter_async_context(running(config))
            clients += [asyncio.create_task(keep_asking(one)) for one in (stays, goes) for _ in range(4)]
            asked.follow(stays, goes)

            async def is_steady() -> bool:
                """Both have had their load for longer than the window of signals is."""
                return (await asked.ask(STEADY) or 0.0) > 0.8

            await until(is_steady, within=90)
            before = await asked.ask(SUM)
            assert before is not None
            assert before > 6
            for client in clients[4:]:
                client.cancel()
            await going.aclose()
            answers = []

            async def is_halved() -> bool:
                answers.append(await asked.ask(query))
                return (await asked.ask(SUM) or before) < 0.7 * before

            await until(is_halved, within=60)
            # the new one comes: without load yet, and for a moment without a valid signal
            comes = await going.enter_async_context(running(config))
            asked.follow(stays, comes)

            async def is_followed() -> bool:
                answers.append(await asked.ask(query))
                return await asked.ask('sum(gateway_signal_valid{upstream="shop"})') == 2

            await until(is_followed, within=60)
            answers.append(await asked.ask(query))
            assert [answer for answer in answers if answer is not None]
            assert all(answer is None or answer >= 0.9 * before for answer in answers), answers
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
