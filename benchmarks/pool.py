"""Random operations on a pool under load; no request may fail that was not inside a process that was killed.

    python -m benchmarks.pool --operations 1000 --seed 1

A real control process with real workers runs a pool of real processes. Meanwhile requests come at a constant rate, a
third of them POST, which nobody may send twice. Operations: grow, shrink, kill -9 of a process that serves (never of
the last one), recycle, restart, a new command (the port is passed as a number, as a descriptor, or it is a unix socket;
some commands are broken and must be rolled back). The service drops everything at
SIGTERM, so that only draining protects what it has. It logs which requests it began and finished; by that log
a failed request is excused: a process that was killed had begun it. A POST that such a process had in its socket and
had not read is counted apart, if the gateway sent it to that process and lost it when that was killed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import uvloop
from msgspec.structs import replace

from benchmarks import pool_service
from gateway.config.load import load
from gateway.control.supervision import ControlProcess
from gateway.core.clock import SystemClock
from gateway.telemetry.lines import Lines
from gateway.telemetry.logs import make_log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.pool.pool import ProcessPool
    from gateway.pool.settings import Pool

_SERVICE: Final = pool_service.__file__
_LEAST: Final = 2
_MOST: Final = 5
_WEIGHTS: Final = {"grow": 28, "shrink": 28, "crash": 18, "recycle": 16, "restart": 4, "command": 6}
_DOORS: Final = ("--port={port}", "--fd={fd}", "--socket={socket}")
_FAR: Final = 60.0

CONFIG: Final = """
[gateway]
listen = ["127.0.0.1:0"]
state_dir = ""
workers = {workers}
[admin]
listen = "127.0.0.1:0"
[log]
access = "errors"
[upstreams.app]
limit = {{ kind = "fixed", initial = 400 }}
timeouts = {{ head = "20s" }}
[upstreams.app.pool]
command = {command}
min = {least}
max = {most}
standby = 1
starts = 2
ready = {{ path = "/healthz", timeout = "5s", passes = 1 }}
warm_up = {{ path = "/warm", requests = 2 }}
recycle = {{ requests = 2000 }}
drain_timeout = "10s"
[routes.all]
upstream = "app"
"""


class Load:
    """Sends requests at a constant rate and keeps what became of each."""

    def __init__(self, url: str, rate: float, rng: random.Random) -> None:
        self._url = url
        self._rate = rate
        self._rng = rng
        self._under_way: set[asyncio.Task[None]] = set()
        self.answers: dict[int, str] = {}
        self.methods: dict[int, str] = {}
        self.reasons: dict[int, str] = {}
        self.slowest = 0.0

    async def run(self) -> None:
        """Send until cancelled; then wait for what is under way."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=30)) as session:
            began = time.monotonic()
            try:
                while True:
                    await asyncio.sleep(len(self.methods) / self._rate - (time.monotonic() - began))
                    self._send(session)
            finally:
                if self._under_way:
                    await asyncio.wait(self._under_way)

    def _send(self, session: aiohttp.ClientSession) -> None:
        number = len(self.methods)
        method = self.methods[number] = "POST" if self._rng.random() < 1 / 3 else "GET"
        task = asyncio.create_task(self._ask(session, number, method, self._milliseconds()))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def _milliseconds(self) -> float:
        """Most are short; one in fifty takes longer than an operation."""
        return self._rng.uniform(500, 1500) if self._rng.random() < 0.02 else self._rng.uniform(1, 30)

    async def _ask(self, session: aiohttp.ClientSession, number: int, method: str, milliseconds: float) -> None:
        began = time.monotonic()
        body = b"x" * 100 if method == "POST" else None
        url = f"{self._url}/id/{number}?ms={milliseconds:.1f}"
        try:
            async with session.request(method, url, data=body) as response:
                text = await response.text()
                self.answers[number] = str(response.status)
                if response.status == 200:
                    if text.split(" ")[1] != str(number):
                        self.answers[number] = "someone else's answer"
                else:
                    self.reasons[number] = json.loads(text)["reason"]
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self.answers[number] = type(error).__name__
        self.slowest = max(self.slowest, time.monotonic() - began - milliseconds / 1000)


class Operator:
    """Does random things to a pool."""

    def __init__(self, pool: ProcessPool, rng: random.Random, log: Path) -> None:
        self._pool = pool
        self._rng = rng
        self._log = log
        self._rolling: asyncio.Task[bool] | None = None
        self._is_broken = False
        self.done: Counter[str] = Counter()
        self.killed: set[int] = set()
        self.killings: list[tuple[str, float]] = []
        self.wrong: list[str] = []

    async def operate(self, operations: int, pause: float) -> None:
        """So many operations, with pauses of ``pause`` seconds on average; then wait for the last roll."""
        for _ in range(operations):
            await asyncio.sleep(self._rng.uniform(0, 2 * pause))
            kind = self._rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
            self.done[getattr(self, f"_{kind}")()] += 1
        if self._rolling is not None:
            async with asyncio.timeout(_FAR):
                await self._rolling

    def _grow(self) -> str:
        self._pool.resize(self._pool.desired + self._rng.randint(1, 2))
        return "grow"

    def _shrink(self) -> str:
        self._pool.resize(self._pool.desired - self._rng.randint(1, 2))
        return "shrink"

    def _crash(self) -> str:
        ready = [one for one in self._pool.processes if one.state == "ready" and one.pid not in self.killed]
        if len(ready) < 2:
            return "crash (not of the last one)"
        chosen = self._rng.choice(ready)
        self.killed.add(chosen.pid)
        self.killings.append((chosen.endpoint, time.time()))
        with suppress(ProcessLookupError):
            os.kill(chosen.pid, signal.SIGKILL)
        return "crash"

    def _recycle(self) -> str:
        names = [one.name for one in self._pool.processes if one.state in {"ready", "standby"}]
        if names:
            self._pool.recycle(self._rng.choice(names), "benchmark", "random")
        return "recycle"

    def _restart(self) -> str:
        self._pool.restart("benchmark", "random")
        return "restart"

    def _command(self) -> str:
        if self._rolling is not None and not self._rolling.done():
            return "command (one at a time)"
        broken = self._rng.choice(("", "", "ends", "deaf"))
        command = service(self._rng.choice(_DOORS), self._log, broken)
        ready = replace(self._pool.settings.ready, timeout=type(self._pool.settings.ready.timeout)(1 if broken else 10))
        self._rolling = asyncio.create_task(
            self._roll(replace(self._pool.settings, command=command, ready=ready), is_broken=bool(broken))
        )
        return "broken command" if broken else "command"

    async def _roll(self, settings: Pool, *, is_broken: bool) -> bool:
        before = self._pool.settings
        is_done = await self._pool.roll(settings, "benchmark", "random")
        self.done["rolled" if is_done else "rolled back"] += 1
        if is_broken and (is_done or self._pool.settings != before):
            self.wrong.append("a broken command was not rolled back")
        return is_done


def service(door: str, log: Path, broken: str = "") -> tuple[str, ...]:
    """The command of the service; it is rude: what it has when it is told to end is lost."""
    flags = (f"--broken={broken}",) if broken else ()
    return ("python", "-I", "-S", _SERVICE, door, f"--log={log}", "--rude", *flags)


def lost(log: Path) -> dict[int, tuple[str, float]]:
    """Where the gateway had sent each request that failed, and when that was said."""
    found: dict[int, tuple[str, float]] = {}
    for line in log.read_text("utf-8").splitlines():
        said = json.loads(line)
        number = said.get("target", "").partition("?")[0].removeprefix("/id/")
        if number.isdigit() and said.get("reason"):
            found[int(number)] = said.get("endpoint", ""), datetime.fromisoformat(said["time"]).timestamp()
    return found


def judge(load: Load, operator: Operator, log: Path, lost: Mapping[int, tuple[str, float]]) -> dict[str, Any]:
    """Hold the answers against the service's own log, and what the gateway said of what it lost."""
    begun: dict[int, list[int]] = {}
    ended: set[int] = set()
    for line in log.read_text("ascii").splitlines():
        event, pid, number = line.split(" ")
        if event == "begin":
            begun.setdefault(int(number), []).append(int(pid))
        else:
            ended.add(int(number))
    bad = {number: answer for number, answer in load.answers.items() if answer != "200"}
    inside = {number for number in bad if any(pid in operator.killed for pid in begun.get(number, ()))}
    unread = {
        number
        for number in bad
        if number not in begun
        and load.methods[number] == "POST"
        and any(lost[number][0] == url and -1 < lost[number][1] - at < 2 for url, at in operator.killings)
    }
    failed = {number: answer for number, answer in bad.items() if number not in inside | unread}
    twice = [number for number, pids in begun.items() if len(pids) > 1 and load.methods.get(number) == "POST"]
    return {
        "requests": len(load.methods),
        "answered": len(load.answers) - len(bad),
        "inside_a_killed_process": len(inside),
        "in_the_socket_of_a_killed_process": len(unread),
        "failed": len(failed),
        "failures": dict(Counter(f"{answer} {load.reasons.get(number, '')}" for number, answer in failed.items())),
        "unanswered": len(load.methods) - len(load.answers),
        "posts_done_twice": len(twice),
        "gets_done_again": sum(len(pids) - 1 for pids in begun.values()) - len(twice),
        "slowest_beyond_its_service_time": round(load.slowest, 3),
    }


async def run(operations: int, seed: int, *, rate: float, workers: int, pause: float, folder: Path) -> dict[str, Any]:
    """The whole experiment; what was found."""
    rng = random.Random(seed)
    log_file = folder / "service.log"
    log_file.touch()
    file = folder / "gateway.toml"
    command = service(_DOORS[0], log_file)
    file.write_text(CONFIG.format(workers=workers, command=json.dumps(command), least=_LEAST, most=_MOST))
    settings = load(file).settings
    clock = SystemClock()
    gateway_log = folder / "gateway.log"
    kept = os.dup(2)  # what the workers write to standard error goes to the same file
    os.dup2(os.open(gateway_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    lines = Lines()
    log = make_log(settings.log, process="control", clock=clock, lines=lines)
    control = ControlProcess(settings, log=log, clock=clock, rng=random.Random(seed))
    await control.start()
    pool = control._pools["app"]
    began = time.monotonic()
    try:
        async with asyncio.timeout(_FAR):
            if not await control.until_ready():
                raise RuntimeError("the workers cannot start")
            await _calm(pool)
        load_ = Load(f"http://{control.addresses[0]}", rate, rng)
        operator = Operator(pool, random.Random(seed + 1), log_file)
        sending = asyncio.create_task(load_.run())
        began = time.monotonic()
        await operator.operate(operations, pause)
        pool.resize(_LEAST + 1)
        pool.restart("benchmark", "the end")
        async with asyncio.timeout(_FAR):
            await _calm(pool)
        seconds = time.monotonic() - began
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        left = [one.pid for one in pool.processes]
    finally:
        await control.stop()
        lines.close()
        os.dup2(kept, 2)
    found = judge(load_, operator, log_file, lost(gateway_log))
    found["operations"] = dict(operator.done)
    found["seconds"] = round(seconds, 1)
    found["processes_that_left"] = dict(pool.ends)
    found["wrong"] = operator.wrong
    found["orphans"] = sum(map(_exists, left))
    return found


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def _calm(pool: ProcessPool) -> None:
    """Wait until exactly what is wanted is there and nothing is on its way."""
    while True:
        await asyncio.sleep(0.1)
        states = Counter(one.state for one in pool.processes)
        if states == {"ready": pool.desired, "standby": pool.settings.standby} and not any(
            place.epoch != pool._renewal.epoch for place in pool._places
        ):
            return


def is_good(found: dict[str, Any]) -> bool:
    """Whether nothing failed that should not."""
    return not (
        found["failed"]
        or found["unanswered"]
        or found["posts_done_twice"]
        or found["wrong"]
        or found["orphans"]
        or found["processes_that_left"].get("forced")
    )


def main() -> int:
    """Run, print what was found, and say by the exit status whether it is good."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool", description=__doc__)
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second")
    parser.add_argument("--workers", type=int, default=1, help="data planes")
    parser.add_argument("--pause", type=float, default=0.2, help="mean seconds between two operations")
    parser.add_argument("--keep", type=Path, help="a folder that keeps both logs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(exist_ok=True, parents=True)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(
                run(
                    options.operations,
                    options.seed,
                    rate=options.rate,
                    workers=options.workers,
                    pause=options.pause,
                    folder=folder,
                )
            )
    print(json.dumps(found, indent=2))
    return 0 if is_good(found) else 1


if __name__ == "__main__":
    sys.exit(main())
