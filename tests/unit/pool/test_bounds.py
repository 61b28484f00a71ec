"""Bounds of a pool: recycling, starts at once, memory; and where a process listens."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.units import Seconds, Size
from gateway.pool.child import Child
from gateway.pool.door import Door
from gateway.pool.memory import ceiling, room
from gateway.pool.recycling import Bounds
from gateway.pool.settings import Pool, Recycle
from gateway.pool.starts import free_starts
from gateway.pool.states import NEXT, STATES, diagram
from gateway.pool.vitals import Vitals, below


@given(st.integers(), st.integers(1, 10**6), st.floats(1, 10**6))
def test_each_process_has_bounds_of_its_own(seed: int, requests: int, age: float) -> None:
    """A process is due at its own bound, which is within a tenth of the configured one, and not before."""
    bounds = Bounds.draw(Recycle(requests, Seconds(age)), Random(seed))
    assert 0.9 * requests <= bounds.requests <= 1.1 * requests
    assert 0.9 * age <= bounds.age <= 1.1 * age
    assert bounds.due(int(0.9 * requests) - 1, 0.89 * age) == ""
    assert bounds.due(int(1.1 * requests) + 1, 0.0) == "recycle_requests"
    assert bounds.due(0, 1.11 * age) == "recycle_age"


def test_no_bounds_no_recycling() -> None:
    """Without bounds a process is never due."""
    assert Bounds.draw(Recycle(), Random(1)).due(10**9, 1e9) == ""


@pytest.mark.parametrize(
    ("booting", "starts", "cores", "is_serving", "free"),
    [
        (0, 0, 8, True, 4),
        (3, 0, 8, True, 1),
        (5, 0, 8, True, 0),
        (0, 0, 1, True, 1),
        (0, 3, 8, True, 3),
        (1, 0, 4, False, 3),
    ],
)
def test_boots_spare_those_that_serve(booting: int, starts: int, cores: int, is_serving: bool, free: int) -> None:  # noqa: FBT001
    """Half the cores may boot while somebody serves, as many as are configured, and all cores while nobody does."""
    assert free_starts(booting, starts=starts, cores=cores, is_serving=is_serving) == free


def test_room_is_by_the_fattest() -> None:
    """As many fit as if each were as large as the largest; nobody knows before one is measured."""
    assert room([100, 300, 200], 1000) == 3
    assert room([], 1000) is None
    assert room([0, 0], 1000) is None


def test_the_ceiling_is_the_smallest_limit(tmp_path: Path) -> None:
    """What is configured counts; else 80 % of the least of machine and control groups, those above ours included."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert ceiling(1234) == 1234
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (groups / "a/b").mkdir(parents=True)
    (proc / "self/cgroup").write_text("0::/a/b\n")
    assert ceiling(None, proc, groups) == int(0.8 * machine)
    (groups / "a/b/memory.max").write_text("max\n")
    (groups / "a/memory.max").write_text("1000000\n")
    assert ceiling(None, proc, groups) == 800_000
    (proc / "self/cgroup").write_text("5:memory:/x\n1:cpu:/y\n")
    (groups / "memory/x").mkdir(parents=True)
    (groups / "memory/x/memory.limit_in_bytes").write_text("500000\n")
    assert ceiling(None, proc, groups) == 400_000
    assert ceiling(None, tmp_path / "nothing", groups) == int(0.8 * machine)


async def test_vitals_are_of_all_below() -> None:
    """What a process has started counts, the process itself does not; nothing runs below one that has ended."""
    child = Child(["sh", "-c", "sleep 1000 & sleep 1000 & wait"])
    async with asyncio.timeout(10):
        while below(child.pid).rss == 0:
            await asyncio.sleep(0.01)
    assert below(os.getpid()).rss > below(child.pid).rss
    child.signal_group(signal.SIGKILL)
    await child.wait()
    assert below(child.pid) == Vitals()


def test_a_port_is_free_and_told_twice(tmp_path: Path) -> None:
    """A port stands in the command and in PORT, and nobody has it yet."""
    door = Door(["app", "--bind=127.0.0.1:{port}"], lambda: tmp_path / "s")
    assert door.command == ["app", f"--bind=127.0.0.1:{door.port}"]
    assert (door.environment, door.descriptors, door.url) == (
        {"PORT": str(door.port)},
        (),
        f"http://127.0.0.1:{door.port}",
    )
    with socket.socket() as ours:
        ours.bind(("127.0.0.1", door.port))


def test_a_descriptor_listens_until_it_is_handed_over(tmp_path: Path) -> None:
    """A descriptor can be connected to and is inherited; once we hand it over, our end is closed."""
    door = Door(["app", "--fd", "{fd}"], lambda: tmp_path / "s")
    (fd,) = door.descriptors
    assert door.command == ["app", "--fd", str(fd)]
    assert os.get_inheritable(fd)
    socket.create_connection(("127.0.0.1", door.port)).close()
    door.hand_over()
    assert door.descriptors == ()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", door.port))


def test_a_unix_socket_begins_without_a_file(tmp_path: Path) -> None:
    """The path of a unix socket is the process's to make: what a dead one left is removed."""
    path = tmp_path / "app-0.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert stat.S_ISSOCK(path.stat().st_mode)
    door = Door(["app", "--uds", "{socket}"], lambda: path)
    assert (door.url, door.command) == (f"unix:{path}", ["app", "--uds", str(path)])
    assert not path.exists()


def test_most_is_least_unless_said() -> None:
    """Without a max a pool does not grow."""
    assert (Pool(("a",), min=3).most, Pool(("a",), min=3, max=7).most) == (3, 7)


def test_the_diagram_is_the_table() -> None:
    """Every step of the table is in the diagram, and nothing else."""
    lines = diagram().splitlines()
    for state in STATES:
        for new in STATES:
            assert (f"    {state} --> {new}" in lines) == (new in NEXT[state])


def test_the_page_shows_the_table() -> None:
    """The diagram in the documentation is drawn from the table that the code obeys."""
    page = (Path(__file__).parents[3] / "docs/pool.md").read_text("utf-8")
    assert f"```mermaid\n{diagram()}\n```" in page
    assert all(f"| `{state}` |" in page for state in STATES)


def test_a_process_that_has_grown_is_due_for_its_memory() -> None:
    """From its own bound on, at most a tenth below the written one; not when it has been as large from the start."""
    drawn = [Bounds.draw(Recycle(memory=Size(1000)), Random(seed)).memory for seed in range(50)]
    assert all(900 <= bound <= 1000 for bound in drawn)
    assert len(set(drawn)) == 50
    bounds = Bounds(memory=1000.0)
    assert bounds.due(0, 0.0, 1000, 500) == ""
    assert bounds.due(0, 0.0, 1001, 500) == "recycle_memory"
    assert bounds.due(0, 0.0, 2000, 1900) == ""
    assert Bounds().due(0, 0.0, 10**12, 1) == ""
    assert Bounds.draw(Recycle(), Random(1)).memory == 0
