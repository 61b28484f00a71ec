"""A pool grows, shrinks, replaces its processes and rolls to new ones, and no request fails of it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from benchmarks.pool import service
from gateway.core.units import Seconds
from gateway.pool.settings import Recycle
from gateway.signals.reading import Replicas
from tests.support.pools import FD, PORT, SOCKET, RunningPool, running_pool
from tests.support.running import descendants, is_alive, until

if TYPE_CHECKING:
    from typing import Self


class Traffic:
    """Requests one after another on two tracks, until the block ends; none of them may fail."""

    def __init__(self, pool: RunningPool) -> None:
        self._pool = pool
        self._is_over = False
        self.pids: list[int] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._send(method)) for method in ("GET", "POST")]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def _send(self, method: str) -> None:
        while not self._is_over:
            status, pid = await self._pool.ask(5, method)
            assert status == 200
            self.pids.append(pid)


@pytest.mark.parametrize("door", [PORT, FD, SOCKET])
async def test_a_process_is_told_where_to_listen(tmp_path: Path, door: str) -> None:
    """A port, a descriptor and a unix socket all lead to the process, also to the next one after a crash."""
    async with running_pool(tmp_path, "min = 1", door=door) as running:
        await running.until_states(ready=1)
        (before,) = running.pool.processes
        assert await running.ask() == (200, before.pid)
        assert before.endpoint == running.pool.endpoints[0].url
        os.kill(before.pid, signal.SIGKILL)
        await until(lambda: running.pool.processes[0].pid not in {0, before.pid})
        await running.until_states(ready=1)
        (after,) = running.pool.processes
        await until(lambda: _answered_by(running, after.pid))
        assert (after.restarts, after.reason) == (1, "crash")


async def _answered_by(running: RunningPool, pid: int) -> bool:
    return await running.ask() == (200, pid)


async def test_a_dead_process_with_a_descriptor_refuses(tmp_path: Path) -> None:
    """Nobody keeps a dead process's listening socket open, so who asks it is refused at once."""
    async with running_pool(tmp_path, "min = 2", door=FD) as running:
        await running.until_states(ready=2)
        one = running.pool.processes[0]
        _, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.close()
        assert _sockets(one.pid)
        assert not _sockets(_parent(one.pid))
        os.kill(one.pid, signal.SIGKILL)
        await until(lambda: not is_alive(one.pid))
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", one.port)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _sockets(pid: int) -> list[str]:
    links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    return [link for link in links if link.startswith("socket:")]


async def test_growing_and_shrinking_within_bounds(tmp_path: Path) -> None:
    """A wish beyond max is max, below min is min; who leaves has been drained; the time to each start is known."""
    async with running_pool(tmp_path, "min = 1\nmax = 3\nstarts = 1") as running:
        pool = running.pool
        await running.until_states(ready=1)
        assert pool.resize(99) is None  # type: ignore[func-returns-value] # it returns at once
        assert pool.desired == 3
        assert pool.replicas == Replicas(ready=1, warming=2, desired=3)
        assert max(running.states()["booting"], 1) == 1  # one boot at a time
        await running.until_states(ready=3)
        assert len(pool.cold_starts) == 3
        assert min(pool.cold_starts) > 0
        async with Traffic(running) as traffic:
            await until(lambda: len(set(traffic.pids)) == 3)
            pool.resize(0)
            assert pool.desired == 1
            assert pool.replicas == Replicas(ready=1, draining=2, desired=1)
            await running.until_states(ready=1)
        assert pool.ends == {"drained": 2}
        await until(lambda: pool.room)


async def test_memory_bounds_growth(tmp_path: Path) -> None:
    """A pool does not start more than fit, by the memory of the largest; what is there stays."""
    async with running_pool(tmp_path, 'min = 1\nmax = 9\nmax_memory = "1B"') as running:
        await running.until_states(ready=1)
        await until(lambda: running.pool.room == 0)
        running.pool.resize(5)
        assert running.pool.replicas == Replicas(ready=1, desired=5)


async def test_a_request_in_flight_is_waited_for(tmp_path: Path) -> None:
    """A process that shall go is not told to end before its last request is answered, by whichever worker it came."""
    async with running_pool(tmp_path, "min = 1\nmax = 2", workers=2) as running:
        await running.until_states(ready=1)
        first = running.pool.processes[0].pid
        asked = [await running.ask_and_wait(700) for _ in range(6)]
        await until(lambda: running.pool.processes[0].in_flight == 6)
        running.pool.restart("test", "to see it drain")
        await until(lambda: running.those("draining"))
        (leaving,) = running.those("draining")
        assert (leaving.pid, leaving.reason) == (first, "restart")
        assert {await task for task in asked} == {(200, first)}
        await running.until_states(ready=1)
        assert running.pool.ends == {"drained": 1}
        assert running.pool.processes[0].pid != first


async def test_a_request_without_end_is_cut_off(tmp_path: Path) -> None:
    """When the drain timeout is over the process is told to end, then killed; it is counted as forced."""
    async with running_pool(tmp_path, 'min = 1\nmax = 2\ndrain_timeout = "300ms"') as running:
        await running.until_states(ready=1)
        endless = await running.ask_and_wait(3_600_000, "POST")
        running.pool.restart("test", "to see it forced")
        await until(lambda: running.pool.ends["forced"])
        assert (await endless)[0] == 502
        await running.until_states(ready=1)
        (left,) = await until(lambda: running.events("pool process left"))
        assert left["end"] == "forced"


async def test_a_standby_serves_at_once(tmp_path: Path) -> None:
    """A standby gets no traffic until it is needed; then at once, and another one boots in its stead."""
    async with running_pool(
        tmp_path, 'min = 1\nmax = 3\nstandby = 1\nwarm_up = { path = "/warm", requests = 3 }'
    ) as running:
        pool = running.pool
        await running.until_states(ready=1, standby=1)
        (serving,), (waiting,) = running.those("ready"), running.those("standby")
        assert {(await running.ask())[1] for _ in range(10)} == {serving.pid}
        pool.resize(2)
        assert {one.pid for one in running.those("ready")} == {serving.pid, waiting.pid}
        assert pool.replicas == Replicas(ready=2, warming=1, desired=2)
        assert pool.cold_starts[-1] < pool.cold_starts[0]
        async with Traffic(running) as traffic:
            await until(lambda: waiting.pid in traffic.pids)
            await running.until_states(ready=2, standby=1)
            pool.resize(1)  # one of them stands by again, and nobody notices
            await running.until_states(ready=1, standby=1)
        assert pool.ends == {"drained": 1}


async def test_a_standby_stands_in_for_a_crash(tmp_path: Path) -> None:
    """When a process dies the standby takes its place at once."""
    async with running_pool(tmp_path, "min = 1\nstandby = 1") as running:
        await running.until_states(ready=1, standby=1)
        (serving,), (waiting,) = running.those("ready"), running.those("standby")
        os.kill(serving.pid, signal.SIGKILL)
        await until(lambda: [one.pid for one in running.those("ready")] == [waiting.pid])
        assert running.those("ready")[0].reason == "promoted"
        await running.until_states(ready=1, standby=1)


async def test_a_restart_replaces_all_and_fails_nothing(tmp_path: Path) -> None:
    """Every process is replaced, one at a time, and at no moment are there fewer endpoints than before."""
    async with running_pool(tmp_path, "min = 2\nmax = 3", workers=2) as running:
        await running.until_states(ready=2)
        before = {one.pid for one in running.pool.processes}
        async with Traffic(running):
            running.pool.restart("test", "new certificates")
            least = 9
            while before & {one.pid for one in running.pool.processes}:
                least = min(least, running.states()["ready"])
                assert sum(running.states().values()) <= 3
                await asyncio.sleep(0.005)
            assert least == 2
            await running.until_states(ready=2)
        assert running.pool.ends == {"drained": 2}
        (said,) = await until(lambda: running.events("pool restart"))
        assert (said["actor"], said["reason"]) == ("test", "new certificates")


async def test_a_new_command_takes_over(tmp_path: Path) -> None:
    """A roll replaces all processes by ones of the new command while requests are served."""
    async with running_pool(tmp_path, "min = 2", door=FD) as running:
        await running.until_states(ready=2)
        settings = replace(running.pool.settings, command=service(SOCKET, running.log_file))
        async with Traffic(running):
            assert await running.pool.roll(settings, "test", "a better command")
        assert running.pool.settings == settings
        await running.until_states(ready=2)
        assert {one.endpoint[:6] for one in running.pool.processes} == {"unix:/"}


@pytest.mark.parametrize("how", ["ends", "deaf"])
async def test_a_command_that_fails_is_rolled_back(tmp_path: Path, how: str) -> None:
    """When the new processes do not become ready the old ones have served all the time, and go on."""
    async with running_pool(tmp_path, "min = 2\nmax = 4", door=FD) as running:
        pool = running.pool
        await running.until_states(ready=2)
        pool.resize(3)
        await running.until_states(ready=3)
        before, settings = {one.pid for one in pool.processes}, pool.settings
        broken = replace(
            settings,
            command=service(FD, running.log_file, how),
            ready=replace(settings.ready, timeout=Seconds(0.3)),
            max=2,
        )
        async with Traffic(running):
            assert not await pool.roll(broken, "test", "a worse command")
            await running.until_states(ready=3)
        assert {one.pid for one in pool.processes} == before
        assert (pool.settings, pool.desired) == (settings, 3)
        (said,) = await until(lambda: running.events("pool rolled back"))
        assert said["why"] == "the new processes did not become ready"


async def test_processes_are_recycled_by_requests(tmp_path: Path) -> None:
    """After about so many answers a process is replaced, and no request fails of it."""
    async with running_pool(tmp_path, "min = 2\nrecycle = { requests = 50 }") as running:
        await running.until_states(ready=2)
        before = {one.pid for one in running.pool.processes}
        async with Traffic(running):
            await until(lambda: not before & {one.pid for one in running.pool.processes})
        assert running.pool.ends["forced"] == 0
        left = await until(lambda: running.events("pool process left"))
        assert {event["reason"] for event in left} == {"recycle_requests"}


async def test_a_successor_that_fails_lets_the_old_one_stay(tmp_path: Path) -> None:
    """When a recycled process's successor does not become ready the old one serves on."""
    flag = tmp_path / "broken"
    command = ("sh", "-c", f'test -e {flag} && exit 3; exec "$@"', "sh", *service(FD, tmp_path / "service.log"))
    command = tuple(os.sys.executable if word == "python" else word for word in command)  # type: ignore[attr-defined]
    async with running_pool(tmp_path, "min = 1", command=command) as running:
        await running.until_states(ready=1)
        (before,) = running.pool.processes
        flag.touch()
        assert running.pool.recycle(before.name, "test", "to see it fail")
        await until(lambda: running.events("pool replacement given up"))
        await running.until_states(ready=1)
        assert running.pool.processes[0].pid == before.pid
        assert not running.pool.recycle("app-9", "test", "there is none")


async def test_a_crash_loop_is_quarantined(tmp_path: Path) -> None:
    """Five quick deaths in a row: no more of them, no growth, not counted; an operator's restart tries again at once."""
    flag = tmp_path / "mended"
    command = ("sh", "-c", f'test -e {flag} || exit 3; exec "$@"', "sh", *service(FD, tmp_path / "service.log"))
    command = tuple(os.sys.executable if word == "python" else word for word in command)  # type: ignore[attr-defined]
    async with running_pool(tmp_path, "min = 1\nmax = 3", command=command) as running:
        pool = running.pool
        await running.until_states(quarantined=1)
        await until(lambda: len(running.events("pool process ended")) == 5)
        pool.resize(3)
        assert pool.replicas == Replicas(quarantined=1, desired=3)
        assert pool.processes[0].reason == "crash_loop"
        flag.touch()
        pool.restart("test", "mended")
        await running.until_states(ready=3)


async def test_what_stands_in_the_status(tmp_path: Path) -> None:
    """Each process has its memory, processor time, age, answers and the reason of its last change."""
    async with running_pool(tmp_path, "min = 1") as running:
        await running.until_states(ready=1)
        for _ in range(5):
            await running.ask()
        await until(lambda: running.pool.processes[0].requests == 5 and running.pool.processes[0].rss)
        (one,) = running.control.status().upstreams["app"].pool
        assert one.rss > 1_000_000
        assert one.cpu > 0
        assert one.age > one.since > 0
        assert (one.reason, one.in_flight, one.restarts) == ("start", 0, 0)


async def test_settings_may_recycle_by_age(tmp_path: Path) -> None:
    """Age alone is enough to be replaced."""
    async with running_pool(tmp_path, "min = 1") as running:
        await running.until_states(ready=1)
        before = running.pool.processes[0].pid
        settings = replace(running.pool.settings, recycle=Recycle(age=Seconds(0.5)))
        assert await running.pool.roll(settings, "test", "to be young")
        rolled = running.those("ready")[0].pid
        assert rolled != before
        await until(lambda: rolled not in {one.pid for one in running.pool.processes})
        await until(
            lambda: {event["reason"] for event in running.events("pool process left")} >= {"recycle_age", "roll"}
        )


async def test_kill_ends_every_state(tmp_path: Path) -> None:
    """At once means at once: booting, standby, ready and draining processes are all gone."""
    async with running_pool(tmp_path, "min = 1\nmax = 3\nstandby = 1\nstarts = 1") as running:
        await running.until_states(ready=1, standby=1)
        endless = await running.ask_and_wait(3_600_000)
        running.pool.restart("test", "to have one draining")
        await until(lambda: running.those("draining"))
        family = descendants(os.getpid())
        stopping = asyncio.create_task(running.control.stop())
        await asyncio.sleep(0)
        running.control.kill()
        await stopping
        running.is_stopped = True
        await until(lambda: not any(map(is_alive, family)))
        assert not endless.done() or endless.exception() or (await endless)[0] == 502
        endless.cancel()
        await asyncio.wait({endless})


async def test_when_all_are_killed_none_takes_the_place_of_another(tmp_path: Path) -> None:
    """As at a second Ctrl-C: nothing is started and nothing promoted on the way out."""
    async with running_pool(tmp_path, "min = 1\nmax = 4\nstandby = 1") as running:
        await running.until_states(ready=1, standby=1)
        promoted = len(running.events("pool process ready"))
        running.pool.kill()
        running.pool.resize(4)
        assert sum(running.states().values()) == 2
        await until(lambda: len(running.events("pool process ended")) == 2)
        assert len(running.events("pool process ready")) == promoted
