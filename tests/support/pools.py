"""A control process with a pool on the test's own loop: real workers, real processes, and the log of what these did."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from benchmarks.pool import service
from gateway.config.load import load
from gateway.control.supervision import ControlProcess
from gateway.core.clock import SystemClock
from gateway.telemetry.lines import Lines
from gateway.telemetry.logs import make_log
from tests.support.running import descendants, is_alive, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from gateway.pool.pool import ProcessPool
    from gateway.pool.status import ProcessStatus

PORT, FD, SOCKET = "--port={port}", "--fd={fd}", "--socket={socket}"

_CONFIG = """
[gateway]
listen = ["127.0.0.1:0"]
workers = {workers}
[admin]
listen = "127.0.0.1:0"
[log]
access = "off"
[routes.all]
upstream = "app"
[upstreams.app]
limit = {{ kind = "fixed", initial = 400 }}
[upstreams.app.pool]
command = {command}
ready = {{ path = "/healthz", timeout = "20s" }}
"""


def config(command: Sequence[str], pool: str, workers: int = 1) -> str:
    """A configuration whose only upstream is a pool of this command, with more lines for the pool's table."""
    return _CONFIG.format(workers=workers, command=json.dumps(command)) + pool


class RunningPool:
    """A started pool; ``served`` are the numbers of endpoints that there were at each change."""

    def __init__(self, control: ControlProcess, folder: Path, session: aiohttp.ClientSession) -> None:
        self.control = control
        self.pool: ProcessPool = control._pools["app"]
        self.log_file = folder / "service.log"
        self._gateway_log = folder / "gateway.log"
        self._session = session
        self._numbers = itertools.count()
        self.is_stopped = False

    def events(self, name: str) -> list[dict[str, Any]]:
        """The gateway's events with this name so far."""
        lines = map(json.loads, self._gateway_log.read_text("utf-8").splitlines())
        return [event for event in lines if event["event"] == name]

    def begun(self) -> list[int]:
        """The numbers of the requests that some process has begun."""
        lines = [line.split(" ") for line in self.log_file.read_text("ascii").splitlines()]
        return [int(number) for event, _, number in lines if event == "begin"]

    async def ask(self, milliseconds: float = 0, method: str = "GET") -> tuple[int, int]:
        """Status and process id of one request on a connection of its own."""
        url = f"http://{self.control.addresses[0]}/id/{next(self._numbers)}?ms={milliseconds}"
        async with self._session.request(method, url) as response:
            text = await response.text()
            return response.status, int(text.split(" ")[0]) if response.status == 200 else 0

    async def ask_and_wait(self, milliseconds: float, method: str = "GET") -> asyncio.Task[tuple[int, int]]:
        """A request that some process has begun."""
        before = len(self.begun())
        task = asyncio.create_task(self.ask(milliseconds, method))
        await until(lambda: len(self.begun()) > before)
        return task

    def states(self) -> Counter[str]:
        """How many processes are in each state."""
        return Counter(one.state for one in self.pool.processes)

    def those(self, state: str) -> list[ProcessStatus]:
        """The processes in this state."""
        return [one for one in self.pool.processes if one.state == state]

    async def until_states(self, **states: int) -> None:
        """Wait until exactly so many processes are in these states and none in any other."""
        await until(lambda: self.states() == states)


@asynccontextmanager
async def running_pool(
    folder: Path, pool: str = "", *, command: tuple[str, ...] | None = None, door: str = FD, workers: int = 1
) -> AsyncIterator[RunningPool]:
    """Start a gateway whose upstream is a pool with these settings (lines of TOML); nothing of it may be left afterwards."""
    log_file = folder / "service.log"
    log_file.touch()
    file = folder / "gateway.toml"
    file.write_text(config(command or service(door, log_file), pool, workers))
    settings = load(file).settings
    clock = SystemClock()
    descriptor = os.open(folder / "gateway.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    lines = Lines(descriptor)
    log = make_log(settings.log, process="control", clock=clock, lines=lines)
    control = ControlProcess(settings, log=log, clock=clock, rng=random.Random(1))
    before = descendants(os.getpid())
    await control.start()
    running = None
    family: set[int] = set()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            assert await control.until_ready()
            running = RunningPool(control, folder, session)
            yield running
    finally:
        family = descendants(os.getpid()) - before
        if running is None or not running.is_stopped:
            await control.stop()
        lines.close()
    await until(lambda: not any(map(is_alive, family)))
    await asyncio.sleep(0.02)  # the log's last timer
    os.close(descriptor)
