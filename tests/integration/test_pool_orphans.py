"""When the gateway is killed, nothing of a pool outlives it, in whichever state."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import aiohttp

from benchmarks.pool import service
from tests.support.pools import FD, config
from tests.support.running import descendants, is_alive, until

if TYPE_CHECKING:
    from pathlib import Path


async def test_kill_9_leaves_nobody(tmp_path: Path) -> None:
    """Serving, standby, booting and draining processes, and what they have started, end with a gateway that is killed."""
    slow = tmp_path / "slow"
    script = f'test -e {slow} && exec sleep 1000; sleep 1000 & exec "$@"'
    words = (sys.executable, *service(FD, tmp_path / "service.log")[1:])
    file = tmp_path / "gateway.toml"
    pool = 'min = 1\nmax = 3\nstandby = 1\nstarts = 1\ndrain_timeout = "60s"\n'
    file.write_text(config(("sh", "-c", script, "sh", *words), pool))
    keeper = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.keeper", str(file), "2"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    family: set[int] = set()
    try:
        address = (await _until_states(keeper, {"ready": 2, "standby": 1}))["address"]
        async with aiohttp.ClientSession() as session:
            urls = [f"http://{address}/id/{number}?ms=1000000" for number in range(20)]
            asked = [asyncio.create_task(session.get(url)) for url in urls]
            log = tmp_path / "service.log"
            await until(lambda: log.exists() and log.read_text().count("begin") == len(urls))
            keeper.send_signal(signal.SIGUSR1)
            # A standby and one that serves are exchanged; the second one that serves drains, and its requests never end.
            said = await _until_states(keeper, {"draining": 1, "standby": 1})
            slow.touch()
            os.kill(dict(said["processes"])["standby"], signal.SIGKILL)
            await _until_states(keeper, {"draining": 1, "booting": 1, "ready": 2})
            family = descendants(keeper.pid)
            keeper.kill()
            await until(lambda: not any(map(is_alive, family)))
            await asyncio.gather(*asked, return_exceptions=True)
    finally:
        for pid in filter(is_alive, family):
            os.kill(pid, signal.SIGKILL)
        if keeper.returncode is None:
            keeper.kill()
        await keeper.wait()
        keeper._transport.close()  # type: ignore[attr-defined]


async def _until_states(keeper: asyncio.subprocess.Process, wanted: dict[str, int]) -> dict[str, Any]:
    """Read on until at least so many processes are in these states; what the gateway said then."""
    assert keeper.stdout is not None
    async with asyncio.timeout(30):
        while True:
            said: dict[str, Any] = json.loads(await keeper.stdout.readline())
            states = [state for state, _ in said["processes"]]
            if all(states.count(state) >= n for state, n in wanted.items()):
                return said
