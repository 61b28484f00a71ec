"""Starting, pinning, weighing and stopping the processes that are measured."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE = CORES[0]
# With two cores the load and the origin share the second one; both are much lighter than a proxy.
LOAD_CORE = CORES[1] if len(CORES) > 1 else CORES[0]
ORIGIN_CORE = CORES[2] if len(CORES) > 2 else LOAD_CORE

_READY_WITHIN = 15.0
_STOP_WITHIN = 5.0
_TICK = 1 / os.sysconf("SC_CLK_TCK")


class StartError(Exception):
    """A program did not become ready; the message carries the end of its log."""


class Running(NamedTuple):
    """A started program: its own pid, its log file and the port it serves."""

    pid: int
    log: Path
    port: int


def free_port() -> int:
    """A port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinned(command: Sequence[str], cores: str) -> list[str]:
    """The same command, kept on ``cores`` (a list as ``taskset`` reads it)."""
    return ["taskset", "-c", cores, *command]


@contextmanager
def running(
    command: Sequence[str],
    *,
    cores: str,
    port: int,
    log: Path,
    environment: Mapping[str, str] | None = None,
    path: str = "/small",
) -> Iterator[Running]:
    """Run a server on ``cores`` until the block ends; StartError when ``path`` does not answer 200 in time."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(command, cores),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
            cwd=Path(__file__).parent.parent,
        )
    try:
        _wait_until_ready(process, port, log, path)
        yield Running(process.pid, log, port)
    finally:
        _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path, path: str) -> None:
    give_up = time.monotonic() + _READY_WITHIN
    seen = "nothing listens"
    while process.poll() is None and time.monotonic() < give_up:
        try:
            seen = f"status {fetch_status(port, path)}"
        except OSError as error:
            seen = str(error)
        except http.client.HTTPException as error:
            seen = repr(error)
        if seen == "status 200":
            return
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-600:]
    message = f"not ready ({seen}, exit code {process.returncode}); end of its log:\n{tail}"
    raise StartError(message)


def fetch_status(port: int, path: str) -> int:
    """The status that a GET of ``path`` on loopback ``port`` gets."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    # The children are noted first: once their parent is gone, nothing says whose they were.
    children = tree(process.pid)[1:]
    process.terminate()
    try:
        process.wait(_STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def tree(pid: int) -> list[int]:
    """``pid`` and all its descendants that live now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, ()))
    return found


def resident(pid: int) -> int:
    """Resident memory of the whole process tree, in bytes; pages shared by two processes count once each."""
    total = 0
    for member in tree(pid):
        try:
            text = Path(f"/proc/{member}/status").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS:"))
    return total


def processor_time(pid: int) -> float:
    """Processor seconds that the living processes of the tree have used, user and system."""
    total = 0.0
    for member in tree(pid):
        fields = _stat(member)
        if fields:
            total += (int(fields[11]) + int(fields[12])) * _TICK
    return total


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (state first); empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()
