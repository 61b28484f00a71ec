"""``gateway run`` as a user starts it: a real process with real workers, and the proof that all of them end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

# Generous: the tests say what happens, not how fast; two cores may be shared by many processes.
PATIENCE = 30.0

HEAD = """
[gateway]
listen = ["127.0.0.1:0"]
workers = {workers}
drain_timeout = "{drain}"
[admin]
listen = "127.0.0.1:0"
"""


def toml(origin: str, *, workers: int = 1, drain: str = "5s") -> str:
    """A configuration with one route, ``web``, to one upstream, ``app``."""
    return (
        HEAD.format(workers=workers, drain=drain)
        + f'[upstreams.app]\nendpoints = ["{origin}"]\n[routes.web]\nupstream = "app"\n'
    )


def pool_toml(command: list[str], *, n: int = 1, ready: str = "/healthz", drain: str = "3s") -> str:
    """A configuration whose upstream ``app`` is a pool of ``n`` processes."""
    return (
        HEAD.format(workers=1, drain="3s")
        + f'[upstreams.app.pool]\ncommand = {json.dumps(command)}\nmin = {n}\ndrain_timeout = "{drain}"\n'
        + f'ready = {{path = "{ready}", timeout = "20s"}}\n[routes.web]\nupstream = "app"\n'
    )


class RunningGateway:
    """A started gateway: ``url`` and ``admin`` are its addresses, ``log`` the lines on its standard error."""

    def __init__(self, process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        self.process = process
        self.session = session
        self.url = ""
        self.admin = ""
        self.log: list[str] = []
        self.family: set[int] = set()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events with this name so far."""
        # The command line says some things in plain words before the log begins.
        lines = [line for line in self.log if line.startswith("{")]
        return [event for line in lines if (event := json.loads(line))["event"] == name]

    async def get(self, path: str = "/", **options: Any) -> tuple[int, str]:
        """Status and body of a GET through the proxy."""
        async with self.session.get(self.url + path, **options) as response:
            return response.status, await response.text()

    async def ask(self, path: str, **options: Any) -> tuple[int, str]:
        """Status and body of a GET to the admin address."""
        async with self.session.get(self.admin + path, **options) as response:
            return response.status, await response.text()

    async def status(self) -> dict[str, Any]:
        """What /v1/status says."""
        found: dict[str, Any] = json.loads((await self.ask("/v1/status"))[1])
        return found

    async def metrics(self) -> dict[str, float]:
        """All series now."""
        _, text = await self.ask("/metrics")
        return series(text)

    async def worker_pid(self, number: int = 0) -> int:
        """The process id of one worker."""
        pid: int = (await self.status())["workers"][number]["pid"]
        return pid

    def signal(self, number: signal.Signals) -> None:
        """Signal the control process."""
        self.remember()
        self.process.send_signal(number)

    def remember(self) -> None:
        """Note which processes belong to the gateway now."""
        self.family |= descendants(self.process.pid)

    async def ended(self) -> int:
        """Wait for the end of the control process; its exit status."""
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()


def activated() -> dict[str, str]:
    """The environment with this interpreter's programs first in the path."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}


def series(text: str) -> dict[str, float]:
    """The series of a text exposition and their values."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def descendants(pid: int) -> set[int]:
    """All processes below this one."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found.update(below)
        waiting += below
    return found


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(condition: Callable[[], Any], within: float = PATIENCE) -> Any:
    """Wait until a condition holds, plain or awaitable, and give its value; TimeoutError when it never does."""
    async with asyncio.timeout(within):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(config: str, *, until_ready: bool = True, cwd: Path | None = None) -> AsyncIterator[RunningGateway]:
    """Start ``gateway run`` with this configuration, in a folder; afterwards nothing of it may be left.

    What is installed beside the interpreter is found by its name, as in an activated environment.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gateway.toml"
        file.write_text(config)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "gateway", "run", str(file)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=cwd,
            env=activated(),
        )
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            gateway = RunningGateway(process, session)
            reading = asyncio.create_task(_read(process.stderr, gateway.log))
            try:
                if until_ready:
                    await _read_addresses(gateway)
                yield gateway
                if process.returncode is None:
                    gateway.signal(signal.SIGTERM)
                    assert await gateway.ended() == 0
                await until(lambda: not any(map(is_alive, gateway.family)))
            finally:
                gateway.remember()
                if process.returncode is None:
                    process.kill()
                    await process.wait()
                left = {pid for pid in gateway.family if is_alive(pid)}
                for pid in left:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                await reading
                process._transport.close()  # type: ignore[attr-defined] # or it warns when it is collected after the loop


async def _read(stream: asyncio.StreamReader | None, lines: list[str]) -> None:
    assert stream is not None
    async for line in stream:
        lines.append(line.decode().rstrip("\n"))  # noqa: PERF401 - others read the list meanwhile


async def _read_addresses(gateway: RunningGateway) -> None:
    assert gateway.process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while not gateway.admin:
            line = (await gateway.process.stdout.readline()).decode()
            if not line:
                raise AssertionError("\n".join(gateway.log[-20:]))
            word, _, address = line.strip().partition(" ")
            if word == "proxy":
                gateway.url = address.strip()
            elif word == "metrics":
                gateway.admin = address.strip().removesuffix("/metrics")
    gateway.remember()
