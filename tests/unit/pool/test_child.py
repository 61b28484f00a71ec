"""Children are awaited, signalled and reaped, on the loop."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from gateway.pool.child import Child
from tests.support.running import is_alive, until


async def test_the_exit_status_comes() -> None:
    """Waiting gives the exit status, to all who wait, also afterwards."""
    child = Child(["sh", "-c", "exit 3"])
    assert await asyncio.gather(child.wait(), child.wait()) == [3, 3]
    assert (await child.wait(), child.status) == (3, 3)
    child.signal(signal.SIGKILL)  # whoever has the number now is not hit
    child.signal_group(signal.SIGKILL)


async def test_a_signal_is_a_negative_status() -> None:
    """What a signal ended has minus its number."""
    child = Child(["sleep", "1000"])
    assert child.status is None
    child.signal(signal.SIGTERM)
    assert await child.wait() == -signal.SIGTERM


async def test_it_leads_its_own_group() -> None:
    """A child is not in our process group, so Ctrl-C at the terminal does not reach it."""
    child = Child(["sleep", "1000"])
    assert os.getpgid(child.pid) == child.pid
    child.signal_group(signal.SIGKILL)
    assert await child.wait() == -signal.SIGKILL


async def test_waiting_can_be_given_up() -> None:
    """A cancelled wait does not harm another one."""
    child = Child(["sleep", "1000"])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await child.wait()
    child.signal(signal.SIGKILL)
    assert await child.wait() == -9


async def test_a_program_that_is_not_there_is_an_error() -> None:
    """Starting nothing is an OSError, not a child."""
    with pytest.raises(FileNotFoundError):
        Child(["/no/such/program"])


async def test_what_it_leaves_in_its_group_ends_with_it() -> None:
    """However it ended itself, by a signal that it could not handle too."""
    for kill in (False, True):
        reading, writing = os.pipe()
        child = Child(["sh", "-c", "sleep 1000 & echo $!; read line; exit 0"], stdout=writing)
        os.close(writing)
        left = int(os.read(reading, 100))
        os.close(reading)
        if kill:
            child.signal(signal.SIGKILL)
        await child.wait()
        await until(lambda left=left: not is_alive(left))  # type: ignore[misc]
