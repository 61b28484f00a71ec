"""Real processes behind a real gateway are stopped, continued and killed while clients ask."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import aiohttp

from benchmarks.faults_trial import take_port
from tests.support.running import PATIENCE, RunningGateway, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

CONFIG = """
[gateway]
listen = ["127.0.0.1:0"]
drain_timeout = "5s"
[admin]
listen = "127.0.0.1:0"
[upstreams.app]
endpoints = [{endpoints}]
health = {{ path = "/healthz", interval = "200ms", fast_interval = "100ms", timeout = "500ms" }}
timeouts = {{ head = "1s" }}
breaker = {{ window = "2s", min_calls = 10, slow_threshold = "500ms" }}
slow_start = "1s"
{more}
[routes.web]
upstream = "app"
"""

# With the default choice two endpoints and three clients find out late that the slow one is fast again.
LEAST = 'balance = "least_in_flight"'


class Heard(NamedTuple):
    """What one client got; ``reason`` is the word in a refusal, ``again`` its Retry-After."""

    method: str
    status: int
    reason: str
    again: str


class Upstream:
    """One endpoint's process; ``url`` stays the same however often it is started."""

    def __init__(self, folder: Path) -> None:
        self.port = take_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"{self.port}.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "benchmarks.faults_service", str(self.port), str(self._log), "{}"),
            stdin=asyncio.subprocess.DEVNULL,
        )
        await until(self._accepts)

    async def _accepts(self) -> bool:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.close()
            return True
        return False

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await process.wait()
            process._transport.close()  # type: ignore[attr-defined] # or it warns when it is collected after the loop

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    @property
    def cases(self) -> list[str]:
        """The identities of the requests that came, in order."""
        return [line.split(" ", 2)[2] for line in self._log.read_text().splitlines() if line.startswith("B")]


@asynccontextmanager
async def upstreams(folder: Path, count: int) -> AsyncIterator[list[Upstream]]:
    some = [Upstream(folder) for _ in range(count)]
    try:
        for one in some:
            await one.start()
        yield some
    finally:
        for one in some:
            await one.kill()


class Load:
    """Clients that ask one thing after the other; every fourth of them by POST."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.heard: list[Heard] = []
        self._gateway = gateway
        self._asked = 0

    async def ask(self, session: aiohttp.ClientSession, method: str) -> Heard:
        """One request; TimeoutError when it takes longer than anything may."""
        self._asked += 1
        case = f"{method.lower()}{self._asked}"
        data = b"once" if method == "POST" else None
        async with (
            asyncio.timeout(PATIENCE),
            session.request(method, self._gateway.url + "/work", data=data, headers={"X-Case": case}) as response,
        ):
            body = await response.read()
            reason = json.loads(body)["reason"] if body.startswith(b"{") else ""
            heard = Heard(method, response.status, reason, response.headers.get("Retry-After", ""))
        self.heard.append(heard)
        return heard

    async def run(self, method: str) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            while True:
                await self.ask(session, method)
                await asyncio.sleep(0.02)

    def since(self, count: int, method: str = "GET") -> list[Heard]:
        """What was heard after the first ``count`` answers."""
        return [one for one in self.heard[count:] if one.method == method]


@asynccontextmanager
async def load(gateway: RunningGateway) -> AsyncIterator[Load]:
    """Clients ask until the block ends; what goes wrong with them goes wrong with the test."""
    crowd = Load(gateway)
    tasks = [asyncio.create_task(crowd.run(method)) for method in ("GET", "GET", "GET", "POST")]
    try:
        yield crowd
        for task in tasks:
            assert not task.done(), task.exception()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _config(some: Sequence[Upstream], more: str = "") -> str:
    return CONFIG.format(endpoints=", ".join(f'"{one.url}"' for one in some), more=more)


async def _metric(gateway: RunningGateway, name: str, *labels: str) -> float:
    """The sum of the series of this name that have all these labels."""
    found = await gateway.metrics()
    return sum(
        value for key, value in found.items() if key.startswith(name + "{") and all(label in key for label in labels)
    )


def _of(one: Upstream) -> str:
    return f'endpoint="{one.url}"'


async def _steps(gateway: RunningGateway, one: Upstream, before: str, after: str) -> float:
    return await _metric(gateway, "gateway_breaker_transitions_total", _of(one), f'from="{before}"', f'to="{after}"')


def _repeated(some: Sequence[Upstream]) -> list[str]:
    """The POSTs that came to endpoints more than once."""
    counts = Counter(case for one in some for case in one.cases if case.startswith("post"))
    assert counts, "POSTs came at all"
    return [case for case, count in counts.items() if count > 1]


async def test_the_only_endpoint_is_killed_and_comes_back(tmp_path: Path) -> None:
    """Refused at once with Retry-After while it is away, and served again when it is back, by nobody's doing."""
    async with upstreams(tmp_path, 1) as (only,), running(_config([only])) as gateway:
        async with load(gateway) as crowd:
            await until(lambda: sum(one.status == 200 for one in crowd.heard) > 20)
            await only.kill()
            refusal = await until(lambda: next((one for one in crowd.heard if one.reason == "breaker_open"), None))
            assert refusal.status == 503
            assert int(refusal.again) >= 1
            await until(lambda: _steps(gateway, only, "closed", "open"))
            assert await _metric(gateway, "gateway_breaker_state", _of(only), 'state="closed"') == 0

            await only.start()
            count = len(crowd.heard)
            await until(lambda: any(one.status == 200 for one in crowd.since(count, "POST")))
            await until(lambda: _metric(gateway, "gateway_breaker_state", _of(only), 'state="closed"'))
            count = len(crowd.heard)
            await until(lambda: len(crowd.since(count)) > 20)
            # the answers to requests that were begun before may still be among the first of these
            assert {one.status for one in crowd.since(count + 4)} == {200}
        assert await _steps(gateway, only, "open", "half_open") >= 1
        assert await _steps(gateway, only, "half_open", "ramping") >= 1
        assert await _metric(gateway, "gateway_endpoint_up", _of(only)) == 1
        assert not _repeated([only])


async def test_what_a_killed_endpoint_had_is_asked_elsewhere(tmp_path: Path) -> None:
    """SIGKILL of one of two: no GET fails, and each POST is done once at most."""
    async with upstreams(tmp_path, 2) as (dead, well), running(_config([dead, well])) as gateway:
        async with load(gateway) as crowd:
            await until(lambda: len(dead.cases) > 10)
            await dead.kill()
            await until(lambda: _is_down(gateway, dead))
            count = len(well.cases)
            await until(lambda: len(well.cases) > count + 20)
            await dead.start()
            count = len(dead.cases)
            await until(lambda: len(dead.cases) > count + 10)
        assert {one.status for one in crowd.since(0)} == {200}
        assert not _repeated([dead, well])


async def test_a_stopped_endpoint_is_left_alone_until_it_goes_on(tmp_path: Path) -> None:
    """SIGSTOP of one of two: no GET fails and all go to the other one; after SIGCONT it gets its share again."""
    async with upstreams(tmp_path, 2) as (stopped, well), running(_config([stopped, well], LEAST)) as gateway:
        async with load(gateway) as crowd:
            await until(lambda: len(stopped.cases) > 10)
            stopped.send(signal.SIGSTOP)
            await until(lambda: _is_down(gateway, stopped))
            count, heard = len(well.cases), len(crowd.heard)
            await until(lambda: len(well.cases) > count + 20)
            assert {one.status for one in crowd.since(heard)} == {200}

            stopped.send(signal.SIGCONT)
            await until(lambda: _metric(gateway, "gateway_endpoint_up", _of(stopped)))
            count = len(stopped.cases)
            await until(lambda: len(stopped.cases) > count + 20)
            await until(lambda: _metric(gateway, "gateway_breaker_state", _of(stopped), 'state="closed"'))
        assert {one.status for one in crowd.since(0)} == {200}
        assert not _repeated([stopped, well])


async def _is_down(gateway: RunningGateway, one: Upstream) -> bool:
    return await _metric(gateway, "gateway_endpoint_up", _of(one)) == 0
