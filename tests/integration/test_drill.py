"""A drill against real gateways with real processes behind them: what it says, how it ends, and what it leaves."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
import termios
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.processes import free_port
from gateway.control.recollection import state_file
from tests.support.running import descendants, is_alive, pool_toml, running, toml, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SAMPLE = [*("python", "-m", "gateway.sample", "--port", "{port}"), *("--service-time", "20ms", "--workers", "2")]


def pool(port: int, admin: int) -> str:
    """A pool of one process that serves about a hundred requests per second, on ports that are free now."""
    text = pool_toml(SAMPLE)
    return text.replace("127.0.0.1:0", f"127.0.0.1:{port}", 1).replace("127.0.0.1:0", f"127.0.0.1:{admin}", 1)


class Drilling:
    """A started ``gateway drill``; ``lines`` is what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.family: set[int] = set()

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip())
            self.family |= descendants(self.process.pid)

    def says(self, words: str) -> bool:
        return any(words in line for line in self.lines)


@pytest.fixture
async def drilling() -> AsyncIterator[Any]:
    """Starts drills; none of them, and nothing that they started, may be left."""
    started: list[tuple[Drilling, asyncio.Task[None]]] = []

    async def start(*arguments: object) -> Drilling:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "drill", *map(str, arguments)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        one = Drilling(process)
        started.append((one, asyncio.create_task(one.read())))
        return one

    yield start
    for one, reading in started:
        if one.process.returncode is None:
            one.process.kill()
        await reading
        await one.process.wait()
        one.process._transport.close()  # type: ignore[attr-defined] # or it warns when it is collected after the loop
        await until(lambda: not any(map(is_alive, one.family)))  # noqa: B023 - waited for at once


@pytest.mark.timeout(120)
async def test_a_gateway_is_started_drilled_and_ended(drilling: Any, tmp_path: Path) -> None:
    """With a configuration that nobody serves: it is started, overloaded threefold, survives, and is gone."""
    file, seen = tmp_path / "pool.toml", tmp_path / "seen.json"
    port = free_port()
    file.write_text(pool(port, free_port()))
    one = await drilling(file, "--seconds", 12, "--rate", 300, "--calm", 20, "--ramp", "surge", "--json", seen)
    assert await one.process.wait() == 0, one.lines
    await until(lambda: one.says("The service survived."))
    found = json.loads(seen.read_text())
    assert found["survived"] is True
    assert found["outcomes"]["failed"] == found["outcomes"]["misdirected"] == 0
    assert found["outcomes"]["refused"] > 0  # three times what one process serves
    assert set(found["reasons"]["refused"]) <= {"queue_delay", "queue_full", "queue_timeout", "would_be_late"}
    assert sum(found["outcomes"].values()) == found["sent"] == sum(phase["offered"] for phase in found["phases"])
    assert found["replicas"][-1] == 1
    assert one.says("replicas=ready:1")
    assert len(one.family) >= 4  # warden, gateway, worker, a process of the pool
    await until(lambda: not any(map(is_alive, one.family)))
    kept = state_file("auto", str(file))
    assert kept is not None
    assert not kept.exists()  # overload was learned here, and is nothing to begin with


@pytest.mark.timeout(120)
async def test_a_dead_service_is_not_survived(drilling: Any) -> None:
    """Behind a gateway that runs already there is nobody: the drill ends with 1 and says the word."""
    async with running(toml(f"http://127.0.0.1:{free_port()}")) as gateway:
        one = await drilling("--url", gateway.url, "--admin", gateway.admin, "--seconds", 5, "--rate", 20, "--plain")
        assert await one.process.wait() == 1
        await until(lambda: one.says("The service did not survive:"))
        assert one.says("connect_refused")
        assert (await gateway.ask("/healthz"))[0] == 200  # it was not ours to end


@pytest.mark.timeout(120)
async def test_an_interrupt_ends_it_with_a_summary(drilling: Any, tmp_path: Path) -> None:
    """Ctrl-C in the middle: the summary comes, the gateway that was started drains, nothing is left."""
    file = tmp_path / "pool.toml"
    file.write_text(pool(free_port(), free_port()))
    one = await drilling(file, "--seconds", 60, "--rate", 20)
    await until(lambda: one.says("replicas=ready:1"))
    one.process.send_signal(signal.SIGINT)
    assert await one.process.wait() == 130, one.lines
    await until(lambda: one.says("Ended early."))
    await until(lambda: not any(map(is_alive, one.family)))


@pytest.mark.timeout(120)
async def test_an_interrupt_leaves_the_terminal_as_it_was() -> None:
    """On a terminal Ctrl-C is not echoed into the picture, whose last border would stay; the terminal echoes again."""
    async with running(toml(f"http://127.0.0.1:{free_port()}")) as gateway:
        ours, theirs = os.openpty()
        before = termios.tcgetattr(theirs)
        command = ["drill", "--url", gateway.url, "--admin", gateway.admin, "--seconds", "60", "--rate", "20"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", *command),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=partial(_take_terminal, theirs),
        )
        try:
            seen = await asyncio.to_thread(_read_until, ours, b"Ctrl-C ends it")
            os.write(ours, b"\x03")
            seen += await asyncio.to_thread(_read_until, ours, b"Ended early.")
            assert await process.wait() == 130
            assert b"^C" not in seen
            assert termios.tcgetattr(theirs) == before
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            os.close(ours)
            os.close(theirs)


def _take_terminal(descriptor: int) -> None:
    os.setsid()
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)


def _read_until(descriptor: int, words: bytes) -> bytes:
    seen = b""
    while words not in seen:
        seen += os.read(descriptor, 65536)
    return seen


@pytest.mark.timeout(120)
async def test_a_killed_drill_leaves_no_gateway(drilling: Any, tmp_path: Path) -> None:
    """kill -9 cannot be answered; the gateway and its processes go all the same."""
    file = tmp_path / "pool.toml"
    file.write_text(pool(free_port(), free_port()))
    one = await drilling(file, "--seconds", 60, "--rate", 20)
    await until(lambda: one.says("replicas=ready:1"))
    family = descendants(one.process.pid)
    assert len(family) >= 4
    os.kill(one.process.pid, signal.SIGKILL)
    await until(lambda: not any(map(is_alive, family)))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--url", "http://192.0.2.1:80"), "--yes-this-is-mine"),
        (("--url", "ftp://127.0.0.1"), "an endpoint begins with"),
        (("--path", "nowhere"), "begins with /"),
        (("--rate", "1000000"), "5000"),
        (("--json", "/no/such/folder/seen.json"), "in a folder that exists"),
        (("--json", "/tmp"), "in a folder that exists"),
        (("--url", "http://127.0.0.1:1"), "nothing listens at http://127.0.0.1:1"),
    ],
)
async def test_what_cannot_be_drilled_ends_with_two(drilling: Any, arguments: tuple[str, ...], words: str) -> None:
    """Nothing is sent, and one line says why."""
    one = await drilling(*arguments)
    assert await one.process.wait() == 2
    await until(lambda: any(words in line for line in (*one.lines, " ".join(line.strip("│ ") for line in one.lines))))


@pytest.mark.timeout(120)
async def test_a_gateway_that_cannot_start_is_said(drilling: Any, tmp_path: Path) -> None:
    """A pool whose command ends at once never becomes ready: the admin address is taken, and the log says so."""
    file = tmp_path / "pool.toml"
    async with running(toml("http://127.0.0.1:1")) as gateway:
        taken = int(gateway.admin.rpartition(":")[2])
        file.write_text(pool(free_port(), taken))
        one = await drilling(file, "--seconds", 5)
        assert await one.process.wait() == 2
        await until(lambda: one.says("Address already in use"))


@pytest.mark.timeout(120)
async def test_a_gateway_that_runs_at_the_address_of_a_file_is_drilled_and_that_is_said(
    drilling: Any, tmp_path: Path
) -> None:
    """It may have another configuration, so nobody takes its verdict for that of the file."""
    file = tmp_path / "other.toml"
    async with running(toml("http://127.0.0.1:1")) as gateway:
        listen, admin = gateway.url.removeprefix("http://"), gateway.admin.removeprefix("http://")
        file.write_text(
            toml("http://127.0.0.1:2").replace('listen = ["127.0.0.1:0"]', f'listen = ["{listen}"]', 1)
            .replace('listen = "127.0.0.1:0"', f'listen = "{admin}"', 1)
        )  # fmt: skip
        one = await drilling(file, "--seconds", 5, "--rate", 5, "--plain")
        await until(lambda: one.says("that one is drilled"), within=60)
        assert await one.process.wait() == 1
