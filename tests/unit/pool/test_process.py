"""A process is asked whether it is ready and warmed up, and leaves no descriptor behind, nor takes another's."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
import uvloop
from aiohttp import web

from gateway.checks.settings import Ready
from gateway.core.clock import SystemClock
from gateway.core.units import Seconds
from gateway.pool.door import Door
from gateway.pool.process import PoolProcess
from gateway.pool.readiness import Asker
from gateway.pool.settings import WarmUp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.checks.question import Finding


@asynccontextmanager
async def answering(statuses: list[int], asked: list[str], path: Path | None = None) -> AsyncIterator[str]:
    """A server that answers with these statuses in turn, the last one for ever; its URL."""

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=statuses.pop(0) if len(statuses) > 1 else statuses[0])

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    if path is None:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    else:
        await web.UnixSite(runner, str(path)).start()
        yield f"unix:{path}"
    await runner.cleanup()


def _ignore(_found: Finding) -> None:
    """What does not pass is another test's matter."""


async def test_ready_means_so_many_times_in_a_row() -> None:
    """Passes count from the last failure on; a redirect is a pass."""
    asked: list[str] = []
    async with answering([200, 503, 204, 404, 200, 302, 200], asked) as url:
        found = await Asker(url, SystemClock()).until_ready(Ready(path="/up", passes=3), _ignore)
    assert found.is_ready
    assert asked == ["/up"] * 7


async def test_who_is_not_ready_in_time_is_not_ready() -> None:
    """Neither one that refuses nor one that answers badly is ever ready; each answer is told, and the last one stays."""
    asked: list[str] = []
    told: list[Finding] = []
    ready = Ready(timeout=Seconds(0.3))
    async with answering([500, 503], asked) as url:
        found = await Asker(url, SystemClock()).until_ready(ready, told.append)
    assert not found.is_ready
    assert found.last is not None
    assert (found.last.answered, told[0].answered) == ("503 Service Unavailable", "500 Internal Server Error")
    found = await Asker(url, SystemClock()).until_ready(ready, _ignore)
    assert (found.is_ready, found.last and found.last.answered) == (False, "Connection refused (ECONNREFUSED)")


async def test_without_a_path_any_answer_shows_that_it_is_there() -> None:
    """A service without a page at /, or one that does not know our name for it, is ready."""
    asked: list[str] = []
    for status in (404, 400, 426):
        async with answering([503, status], asked) as url:
            assert (await Asker(url, SystemClock()).until_ready(Ready(), _ignore)).is_ready
    assert set(asked) == {"/"}


async def test_any_answer_warms_up(tmp_path: Path) -> None:
    """All warm-up requests must be answered, with whatever status, over a unix socket too."""
    asked: list[str] = []
    async with answering([500], asked, tmp_path / "s") as url:
        assert await Asker(url, SystemClock()).warms_up(WarmUp("/w", 3), Ready()) is None
    assert asked == ["/w"] * 3
    unfit = await Asker(url, SystemClock()).warms_up(WarmUp("/w", 1), Ready())
    assert unfit is not None
    # from Python 3.13 on a server that ends takes its file along
    assert unfit.answered in {"file: Connection refused (ECONNREFUSED)", "file: No such file or directory (ENOENT)"}
    assert await Asker(url, SystemClock()).warms_up(WarmUp("/w", 0), Ready()) is None


def test_who_is_interrupted_closes_every_descriptor_once() -> None:
    """A process that must go before its pipes are followed closes each of them exactly once, on uvloop too."""

    async def begin_and_break_off(turns: int) -> None:
        process = PoolProcess(Door(["sleep", "1000", "{fd}"], _no_path))
        pipes = list(process._pipes.values())
        listening = asyncio.create_task(process.listen(structlog.get_logger()))
        for _ in range(turns):
            await asyncio.sleep(0)
        listening.cancel()
        await asyncio.wait({listening})
        await process.finish()
        await asyncio.sleep(0.05)
        assert all(pipe.closed for pipe in pipes)

    before = _descriptors()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for turns in range(1, 8):
            runner.run(begin_and_break_off(turns))
    assert _descriptors() <= before


async def test_no_descriptors_no_process_and_none_lost() -> None:
    """Where the machine has no descriptors left a process is not begun, and what was opened for it is closed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    door = Door(["sleep", "1000", "{fd}"], _no_path)
    (listener,) = door.descriptors
    gc.collect()  # what other tests have left is closed now, not meanwhile
    before = _descriptors()
    for spare in range(8):
        free = [number for number in range(1000) if number not in _descriptors()]
        resource.setrlimit(resource.RLIMIT_NOFILE, (free[spare], hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                PoolProcess(door)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert _descriptors() <= before - {listener}


def _descriptors() -> set[int]:
    found = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
    return {number for number in found if _is_open(number)}  # without the one that the folder was read by


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _no_path() -> Path:
    raise AssertionError("no path is needed")
