"""Lines go out whole and in order, and a reader that does not read costs lines only."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import socket
import subprocess
import sys
import tty
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gateway
from gateway.telemetry.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def read_all(fd: int) -> bytes:
    data = b""
    while True:
        try:
            more = os.read(fd, 1 << 20)
        except BlockingIOError:
            return data
        if not more:
            return data
        data += more


def test_without_a_loop_a_line_is_written_at_once(pipe: tuple[int, int]) -> None:
    """A command without an event loop needs no flush."""
    lines = Lines(pipe[1])
    lines.put(b"one")
    assert read_all(pipe[0]) == b"one\n"
    lines.close()


async def test_on_a_loop_lines_are_written_in_batches(pipe: tuple[int, int]) -> None:
    """Nothing is written in the turn that logs; a moment later everything is there, in order."""
    lines = Lines(pipe[1])
    for n in range(1000):
        lines.put(b"%d" % n)
    assert read_all(pipe[0]) == b""
    await asyncio.sleep(0.05)
    assert read_all(pipe[0]).split() == [b"%d" % n for n in range(1000)]
    lines.close()


async def test_a_reader_that_does_not_read_never_blocks(pipe: tuple[int, int]) -> None:
    """With a full pipe the loop goes on, memory stays bounded, what was kept is whole and the loss is told."""
    lines = Lines(pipe[1], capacity=100_000)
    sent = [b"%06d" % n + b"x" * 100 for n in range(10_000)]
    for n, line in enumerate(sent):
        lines.put(line)
        if n % 500 == 0:
            await asyncio.sleep(0.012)
    assert lines.dropped > 0
    got = b""
    for _ in range(50):
        got += read_all(pipe[0])
        await asyncio.sleep(0.012)
    kept = [line for line in got.splitlines() if not line.startswith(b"{")]
    told = [json.loads(line)["n"] for line in got.splitlines() if line.startswith(b"{")]
    assert lines.dropped + len(kept) == len(sent)
    assert kept == [line for line in sent if line in set(kept)]
    assert sum(told) == lines.dropped
    assert len(told) < 10
    lines.close()


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


async def test_what_is_closed_has_no_timer_left(pipe: tuple[int, int]) -> None:
    """Its descriptor may belong to something else by then: nothing is written later, and nothing opened again."""
    lines = Lines(pipe[1])
    lines.put(b"one")
    lines.close()
    assert read_all(pipe[0]) == b"one\n"
    opened = _descriptors()
    await asyncio.sleep(0.05)
    assert _descriptors() == opened


def test_the_descriptor_itself_stays_blocking(pipe: tuple[int, int]) -> None:
    """Other processes on the same pipe notice nothing."""
    lines = Lines(pipe[1])
    lines.put(b"x")
    assert os.get_blocking(pipe[1])
    lines.close()


def test_a_socket_and_a_file_work_too(tmp_path: Path) -> None:
    """Standard error may be a socket, as under systemd, or a file."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        lines = Lines(theirs.fileno())
        lines.put(b"to a socket")
        assert ours.recv(100) == b"to a socket\n"
        lines.close()
    with (tmp_path / "log").open("wb") as file:
        lines = Lines(file.fileno())
        lines.put(b"to a file")
        lines.close()
    assert (tmp_path / "log").read_bytes() == b"to a file\n"


def test_a_reader_that_left_is_no_error() -> None:
    """After the reader is gone lines go nowhere, quietly."""
    reading, writing = os.pipe()
    os.close(reading)
    lines = Lines(writing)
    lines.put(b"x")
    lines.put(b"y")
    lines.close()
    os.close(writing)


FOREIGN = """
import asyncio, ctypes, os, sys
from gateway.telemetry.lines import Lines

uid, seconds = int(sys.argv[1]), float(sys.argv[2])
os.setgid(uid)
os.setuid(uid)
ctypes.CDLL(None).prctl(4, 1)  # dumpable again, or /proc/self is not ours at all

async def main():
    lines = Lines(2, capacity=200_000)
    turns = 0
    for at in range(60):
        for number in range(100):
            lines.put(b"%06d" % (at * 100 + number) + b"x" * 100)
        await asyncio.sleep(0.011)
        turns += 1
    print(turns, lines.dropped, flush=True)
    sys.stdin.readline()
    while "waiting=0" not in repr(lines):
        await asyncio.sleep(0.011)
    lines.put(b"the last one")
    lines.close(seconds)

asyncio.run(main())
"""
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


def _foreign(error: int, uid: int = 65534) -> subprocess.Popen[bytes]:
    """A process of another user, whose standard error is this descriptor of ours."""
    folder = Path(gateway.__file__).parent.parent
    return subprocess.Popen(
        [sys.executable, "-c", FOREIGN, str(uid), "5"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=error,
        cwd=folder,
    )


@as_root
@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_a_descriptor_of_another_user_does_not_block_us_either(kind: str) -> None:
    """Nobody reads, and the loop goes on; then what was kept comes whole and in order, and the loss was counted."""
    reading, writing = os.pipe() if kind == "pipe" else pty.openpty()
    if kind == "terminal":
        tty.setraw(writing)
    with _foreign(writing) as process, ExitStack() as on_failure:
        on_failure.callback(process.kill)
        assert process.stdin is not None
        assert process.stdout is not None
        os.close(writing)
        turns, dropped = map(int, process.stdout.readline().split())
        assert turns == 60, "it would hang here"
        assert dropped > 0
        process.stdin.write(b"\n")
        process.stdin.flush()
        got = b""
        while b"the last one\n" not in got:
            got += os.read(reading, 65536)
        on_failure.pop_all()
    os.close(reading)
    kept = [line for line in got.splitlines() if line[:1].isdigit()]
    assert all(len(line) == 106 for line in kept)
    assert kept == sorted(kept)
    assert len(kept) + dropped == 6000
    told = [json.loads(line)["n"] for line in got.splitlines() if line.startswith(b"{")]
    assert sum(told) == dropped


def test_a_long_line_is_not_torn_by_those_of_other_processes(pipe: tuple[int, int]) -> None:
    """While the reader is behind it waits until all of it fits in, and at the end it is written all the same."""
    reader, writer = pipe
    ours, others = Lines(writer), Lines(writer)
    for _ in range(10):
        others.put(b"x" * 3000)
    ours.put(b"y" * 50_000)
    others.put(b"z")
    assert read_all(reader).splitlines() == [b"x" * 3000] * 10 + [b"z"]
    ours.put(b"w")
    assert read_all(reader).splitlines() == [b"y" * 50_000, b"w"]
    others.put(b"x" * 3000)
    ours.put(b"y" * 50_000)
    ours.close(0.1)
    assert read_all(reader).splitlines() == [b"x" * 3000, b"y" * 50_000]
