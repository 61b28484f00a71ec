"""A pool's processes get traffic exactly while they are ready, and none survives its time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import TYPE_CHECKING

from tests.support.running import PATIENCE, RunningGateway, descendants, is_alive, pool_toml, running, until

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = ["python", "-m", "gateway.sample", "--port", "{port}", "--service-time", "1ms"]


async def _ready(gateway: RunningGateway, n: int) -> list[dict[str, object]] | None:
    pool = (await gateway.status())["upstreams"]["app"]["pool"]
    return pool if [process["state"] for process in pool].count("ready") == n else None


async def test_traffic_goes_to_all_ready_processes() -> None:
    """With two ready processes both serve, and the gateway is ready."""
    async with running(pool_toml(SAMPLE, n=2)) as gateway:
        pool = await until(lambda: _ready(gateway, 2))
        assert (await gateway.ask("/readyz"))[0] == 200
        answers = [await gateway.get(f"/{n}") for n in range(60)]
        assert {code for code, _ in answers} == {200}
        assert {json.loads(text)["pid"] for _, text in answers} == {process["pid"] for process in pool}


async def test_a_process_that_crashes_is_replaced() -> None:
    """After kill -9 of one of two processes requests go to the other, then to its successor on its own port too."""
    async with running(pool_toml(SAMPLE, n=2)) as gateway:
        before = await until(lambda: _ready(gateway, 2))
        gateway.remember()
        os.kill(before[0]["pid"], signal.SIGKILL)
        await until(lambda: _ready(gateway, 1))
        survivor = before[1]["pid"]
        endpoints = (await gateway.status())["upstreams"]["app"]["endpoints"]
        assert endpoints == [f"http://127.0.0.1:{before[1]['port']}"]
        await asyncio.sleep(0.1)  # the endpoints are on their way to the worker
        for _ in range(10):
            code, text = await gateway.get()
            assert (code, json.loads(text)["pid"]) == (200, survivor)
        after = await until(lambda: _ready(gateway, 2))
        assert after[0]["pid"] not in {process["pid"] for process in before}
        assert [process["restarts"] for process in after] == [1, 0]
        assert [event["status"] for event in gateway.events("pool process ended")] == [137]
        successor = after[0]["pid"]
        await until(lambda: _answers(gateway, successor))


async def _answers(gateway: RunningGateway, pid: int) -> bool:
    return json.loads((await gateway.get())[1])["pid"] == pid


async def test_no_process_no_readiness() -> None:
    """While no process is ready the gateway is not, and says why; a request waits for as long as it may."""
    command = ["sh", "-c", "echo starting; sleep 1000"]
    async with running(pool_toml(command)) as gateway:
        code, text = await gateway.ask("/readyz")
        assert (code, json.loads(text)["reasons"]) == (503, ["no process of pool app is ready"])
        code, text = await gateway.get(headers={"X-Request-Timeout-Ms": "300"})
        assert (code, json.loads(text)["reason"]) == (504, "request_timeout")


async def test_what_processes_write_is_logged_as_it_is(tmp_path: Path) -> None:
    """Each line of a process is one event with its name, stream and level, uncut; a line of JSON gives it its fields."""
    long = "x" * 60_000
    (tmp_path / "long").write_text(f"{long}\n")
    script = (
        rf"printf 'one\033[31m\npassword=hunter2 two\n'; cat {tmp_path}/long; printf 'ERROR: three\n' >&2; "
        r"""echo '{"level": "warning", "event": "sign-in", "n": 12345678901234567890, "in": {"a": [1, 2]}}'; """
        "exec python3 -m http.server {port}"
    )
    async with running(pool_toml(["sh", "-c", script], ready="/")) as gateway:
        await until(lambda: gateway.events("pool process ready"))
        found = gateway.events("pool process output")
        events = {event["line"]: event for event in found if "line" in event}
        assert events["one\x1b[31m"]["stream"] == "stdout"
        assert events["one\x1b[31m"]["pool_process"] == "app-0"
        assert events["one\x1b[31m"]["level"] == "info"
        assert {"password=hunter2 two", long} < set(events)
        assert events["ERROR: three"]["level"] == "error"
        assert "\x1b" not in "".join(gateway.log)
        (merged,) = [event for event in found if "n" in event]
        assert merged["level"] == "warning"
        assert (merged["event_"], merged["n"], merged["in"]) == ("sign-in", 12345678901234567890, {"a": [1, 2]})


async def test_a_command_that_ends_at_once_backs_off() -> None:
    """A crash loop slows down: each delay is in its interval of the doubling series."""
    async with running(pool_toml(["sh", "-c", "exit 7"])) as gateway:
        delays = [
            event["in_seconds"] for event in await until(lambda: _at_least(gateway.events("pool process restarts"), 4))
        ]
        for delay, nominal in zip(delays, (0.5, 0.5, 1.0, 2.0), strict=False):
            assert nominal / 2 <= delay < nominal
        assert {event["status"] for event in gateway.events("pool process ended")} == {7}


def _at_least(events: list[dict[str, object]], n: int) -> list[dict[str, object]] | None:
    return events if len(events) >= n else None


async def test_a_command_that_cannot_be_run_is_said(tmp_path: Path) -> None:
    """A command whose own interpreter is not there ends with 127 and its name in the log."""
    command = tmp_path / "command"
    command.write_text("#!/no/such/interpreter\n")
    command.chmod(0o700)
    async with running(pool_toml([str(command)])) as gateway:
        await until(lambda: gateway.events("pool process ended"))
        assert gateway.events("pool process ended")[0]["status"] == 127
        assert gateway.events("pool process output")[0]["line"] == f"{command}: No such file or directory"


LEAKING = """
import http.server, sys
kept = []
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/leak":
            kept.append(b"x" * 4_000_000)
        body = str(len(kept)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


async def test_a_process_that_leaks_is_replaced(tmp_path: Path) -> None:
    """From its bound of memory on another one takes its place, and no request fails of it."""
    script = tmp_path / "leaking.py"
    script.write_text(LEAKING)
    toml = pool_toml(["python", str(script), "{port}"], ready="/") + '[upstreams.app.pool.recycle]\nmemory = "100MB"\n'
    async with running(toml) as gateway:
        await until(lambda: gateway.events("pool process ready"))
        async with asyncio.timeout(PATIENCE):
            while not gateway.events("pool process left"):
                assert (await gateway.get("/leak"))[0] == 200
        assert gateway.events("pool process left")[0]["reason"] == "recycle_memory"
        status, kept = await gateway.get("/")
        assert (status, int(kept) < 50) == (200, True)


async def test_a_deaf_process_is_killed_after_its_drain_timeout(tmp_path: Path) -> None:
    """A process that ignores SIGTERM, and its children, are gone after the pool's drain timeout."""
    script = f"trap '' TERM; (trap '' TERM; sleep 1000) & echo $! > {tmp_path}/child; python3 -m http.server {{port}}"
    async with running(pool_toml(["sh", "-c", script], ready="/", drain="200ms")) as gateway:
        await until(lambda: gateway.events("pool process ready"))
        child = int((tmp_path / "child").read_text())
        assert child in descendants(gateway.process.pid)
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
        assert not is_alive(child)
        assert gateway.events("pool process killed")
