"""Whatever signal comes, and to whichever of its processes: the gateway drains, opens its logs anew, or goes on."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.control.dispositions import OUTLIVED, name_of
from gateway.pool import warden
from tests.support.running import RunningGateway, descendants, is_alive, pool_toml, running, toml, until

if TYPE_CHECKING:
    from tests.support.origin import Exchange, Origin

SAMPLE = ["python", "-m", "gateway.sample", "--port", "{port}", "--service-time", "200ms"]


def _programs(gateway: RunningGateway) -> list[int]:
    """The control process, its workers and its wardens: all that is the gateway's own."""
    found = [gateway.process.pid]
    for pid in descendants(gateway.process.pid):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"gateway.control.worker" in command or b"warden.py" in command:
            found.append(pid)
    return found


def _send(gateway: RunningGateway, number: int) -> None:
    for pid in _programs(gateway):
        os.kill(pid, number)


def test_what_one_of_us_outlives_the_others_do() -> None:
    """A warden ignores what the control process and workers note, but for its own signal; faults keep their default."""
    assert set(OUTLIVED) - set(warden.IGNORED) == {warden.KILL}
    assert not {signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM} & {*OUTLIVED, *warden.IGNORED}


@pytest.mark.parametrize(
    "number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGRTMIN + 9], ids=name_of
)
async def test_a_signal_to_everything_loses_no_request(number: int) -> None:
    """A request in flight is answered, no process is another one, and each of ours says what it did."""
    async with running(pool_toml(SAMPLE).replace("workers = 1", "workers = 2")) as gateway:
        await until(lambda: gateway.events("pool process ready"))
        before = _programs(gateway)
        assert len(before) == 4
        asked = [asyncio.create_task(gateway.get()) for _ in range(5)]
        await asyncio.sleep(0.05)
        _send(gateway, number)
        assert [code for code, _ in await asyncio.gather(*asked)] == [200] * 5
        assert (await gateway.get())[0] == 200
        assert sorted(_programs(gateway)) == sorted(before)
        if number == signal.SIGHUP:
            await until(lambda: gateway.events("log files opened anew"))
            assert "restart" in gateway.events("configuration not reloaded")[0]["why"]
        else:
            lines = await until(lambda: len(found := gateway.events("signal ignored")) == 3 and found)
            assert {line["signal"] for line in lines} == {name_of(number)}
            assert {line["process"] for line in lines} == {"control", "worker-0", "worker-1"}


async def test_sigquit_to_everything_drains(origin: Origin) -> None:
    """Ctrl-\\ is as good as Ctrl-C: what is in flight is finished, and the exit status is 0."""
    gone = asyncio.Event()

    async def wait(exchange: Exchange) -> None:
        await exchange.read_body()
        await gone.wait()
        await exchange.answer(b"done")

    origin.default = wait
    async with running(toml(f"http://127.0.0.1:{origin.port}", drain="20s")) as gateway:
        waiting = asyncio.create_task(gateway.get())
        await until(lambda: origin.requests)
        _send(gateway, signal.SIGQUIT)
        await until(lambda: gateway.events("draining"))
        gone.set()
        assert await waiting == (200, "done")
        assert await gateway.ended() == 0


async def test_a_rotated_log_is_left_at_sighup(origin: Origin, tmp_path: Path) -> None:
    """Control process and workers write to the file of the old name again; before, the renamed one gets the lines."""
    config = tmp_path / "gateway.toml"
    config.write_text(toml(f"http://127.0.0.1:{origin.port}") + '[log]\naccess = "all"\n')
    log, old = tmp_path / "gateway.log", tmp_path / "gateway.log.1"
    with log.open("w") as stream:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "run", str(config), stdout=stream, stderr=stream
        )
    try:
        await until(lambda: "status " in log.read_text())
        proxy = next(line.split()[1] for line in log.read_text().splitlines() if line.startswith("proxy"))
        log.rename(old)
        await _get(proxy, "/first")
        await until(lambda: '"/first"' in old.read_text())
        process.send_signal(signal.SIGHUP)
        await until(lambda: log.exists() and "not reloaded" in log.read_text())
        await asyncio.sleep(0.1)  # the order is on its way to the worker
        await _get(proxy, "/second")
        await until(lambda: '"/second"' in log.read_text())
        assert '"/second"' not in old.read_text()
        told = json.loads(log.read_text().splitlines()[0])
        assert (told["event"], told["files"]) == ("log files opened anew", [str(log)])
    finally:
        process.terminate()
        assert await process.wait() == 0
    assert '"stopped"' in log.read_text()
    assert not is_alive(process.pid)


async def _get(proxy: str, path: str) -> None:
    host, port = proxy.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    writer.close()


async def test_a_log_that_cannot_be_opened_anew_stays(origin: Origin, tmp_path: Path) -> None:
    """When the folder is gone the lines go where they went, and one of them says why."""
    folder = tmp_path / "logs"
    folder.mkdir()
    config = tmp_path / "gateway.toml"
    config.write_text(toml(f"http://127.0.0.1:{origin.port}"))
    log = folder / "gateway.log"
    with log.open("w") as stream:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "run", str(config), stdout=stream, stderr=stream
        )
    try:
        await until(lambda: "status " in log.read_text())
        moved = tmp_path / "elsewhere"
        folder.rename(moved)
        process.send_signal(signal.SIGHUP)
        await until(lambda: "No such file or directory" in (moved / "gateway.log").read_text())
    finally:
        process.terminate()
        assert await process.wait() == 0


def _in_terminal(command: list[str], terminal: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        preexec_fn=lambda: os.login_tty(0),  # noqa: PLW1509 - a session of its own, whose terminal this is
    )


async def test_what_runs_in_a_terminal_ends_with_it(tmp_path: Path) -> None:
    """As when its window is closed: the kernel hangs up, and nothing is left that holds the port."""
    file = tmp_path / "gateway.toml"
    file.write_text(toml("http://127.0.0.1:1"))
    master, slave = pty.openpty()
    process = _in_terminal([sys.executable, "-m", "gateway", "run", str(file)], slave)
    os.close(slave)
    os.set_blocking(master, False)
    said = b""

    def is_announced() -> bool:
        nonlocal said
        with suppress(BlockingIOError):
            said += os.read(master, 65536)
        return b"/v1/status" in said

    await until(is_announced)
    os.close(master)
    assert await asyncio.to_thread(process.wait, 30) == 0


async def test_what_runs_in_the_background_goes_on_without_the_terminal(tmp_path: Path) -> None:
    """A rotation of the logs a week later is no end, though no terminal is there any more."""
    file, log, number = tmp_path / "gateway.toml", tmp_path / "log", tmp_path / "pid"
    file.write_text(toml("http://127.0.0.1:1"))
    master, slave = pty.openpty()
    line = f"set -m; {sys.executable} -m gateway run {file} > {log} 2>&1 & echo $! > {number}; wait"
    shell = _in_terminal(["bash", "-c", line], slave)
    os.close(slave)
    await until(lambda: log.exists() and "/v1/status" in log.read_text())
    gateway = int(number.read_text())
    try:
        os.close(master)
        await asyncio.to_thread(shell.wait, 30)
        os.kill(gateway, signal.SIGHUP)
        await until(lambda: "configuration not reloaded" in log.read_text())
        os.kill(gateway, signal.SIGHUP)
        await until(lambda: log.read_text().count("configuration not reloaded") >= 2)
        assert is_alive(gateway)
        assert '"draining"' not in log.read_text()
    finally:
        os.kill(gateway, signal.SIGTERM)
        await until(lambda: not is_alive(gateway))


async def test_who_leaves_the_stream_of_signals_is_no_error() -> None:
    """A reader that has gone is found out at the next event, and no line is written about it."""
    async with running(toml("http://127.0.0.1:1")) as gateway:
        reader, writer = await asyncio.open_connection(*gateway.admin.removeprefix("http://").split(":"))
        writer.write(b"GET /v1/signals/stream HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200" in await reader.readline()
        await reader.readuntil(b"event: signals")
        writer.transport.abort()
        begun = json.loads((await gateway.ask("/v1/signals/app"))[1])["seq"]
        while json.loads((await gateway.ask("/v1/signals/app"))[1])["seq"] < begun + 3:
            await asyncio.sleep(0.1)
        assert not gateway.events("the admin address failed")
