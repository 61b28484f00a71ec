"""One trial: one service, one proxy before it and one load, all of them new, and everything that was seen."""

from __future__ import annotations

import json
import socket
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchmarks.generator import generating
from benchmarks.overload_load import Clients, Seen
from benchmarks.processes import LOAD_CORE, ORIGIN_CORE, free_port, processor_time, resident, running

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.overload_service import Service
    from benchmarks.peers import Peer

_STARTS_WITHIN = 20.0
_READY_PATH = "/ready"


class Change(NamedTuple):
    """A line for the service's control port, so many seconds after the beginning."""

    at: float
    line: str


class Second(NamedTuple):
    """One second of the machine: parts of a core, and bytes of memory of the proxy."""

    at: float
    proxy: float
    service: float
    memory: int


class Trial(NamedTuple):
    """What one trial showed; ``counts`` is what the service says about itself."""

    peer: str
    seed: int
    seen: Seen
    seconds: list[Second]
    counts: dict[str, float]


def run(
    name: str,
    peer: Peer | None,
    *,
    service: Service,
    clients: Clients,
    changes: Sequence[Change],
    directory: Path,
) -> Trial:
    """Put the load on the service through the proxy (or on the service itself) from the first instant it is ready."""
    result = directory / f"seen-{free_port()}"
    with ExitStack() as stack:
        load = stack.enter_context(generating("benchmarks.overload_load", clients, result, cores=str(LOAD_CORE)))
        control_port, port = free_port(), free_port()
        command = [sys.executable, "-m", "benchmarks.overload_service", str(port), str(control_port)]
        command.append(msgspec.json.encode(service).decode())
        origin = stack.enter_context(
            running(command, cores=str(ORIGIN_CORE), port=port, log=result.with_suffix(".log"), path=_READY_PATH)
        )
        control = stack.enter_context(socket.create_connection(("127.0.0.1", control_port), _STARTS_WITHIN))
        load.expect("ready")
        proxy = stack.enter_context(peer.start(directory, origin.port, ready=_READY_PATH)) if peer else None
        begin = load.begin(proxy.port if proxy else origin.port)
        duration = sum(phase.seconds for phase in clients.phases)
        pid = proxy.pid if proxy else None
        seconds = _watch(begin, duration, proxy=pid, service=origin.pid, control=control, changes=changes)
        load.expect("done")
        counts = _tell(control, "stats")
    return Trial(name, clients.seed, msgspec.json.decode(result.read_bytes(), type=Seen), seconds, counts)


def _tell(control: socket.socket, line: str) -> dict[str, float]:
    control.sendall(f"{line}\n".encode())
    answer: dict[str, float] = json.loads(control.makefile("r").readline())
    return answer


def _watch(
    begin: float,
    duration: float,
    *,
    proxy: int | None,
    service: int,
    control: socket.socket,
    changes: Sequence[Change],
) -> list[Second]:
    """Make the changes when they are due, and weigh the processes once a second."""
    due = sorted(changes)
    seconds: list[Second] = []
    used = processor_time(service), processor_time(proxy) if proxy else 0.0
    last = time.perf_counter()
    instants = sorted({float(second) for second in range(1, int(duration) + 1)} | {change.at for change in due})
    for instant in instants:
        time.sleep(max(0.0, begin + instant - time.perf_counter()))
        while due and due[0].at <= instant:
            _tell(control, due.pop(0).line)
        now = time.perf_counter()
        uses = processor_time(service), processor_time(proxy) if proxy else 0.0
        elapsed = now - last
        seconds.append(
            Second(
                now - begin,
                (uses[1] - used[1]) / elapsed,
                (uses[0] - used[0]) / elapsed,
                resident(proxy) if proxy else 0,
            )
        )
        used, last = uses, now
    return seconds
