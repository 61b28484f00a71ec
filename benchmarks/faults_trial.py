"""One trial: endpoints, a proxy before them and a load, all new; faults at their instants; and all that was seen."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import urllib.request
from contextlib import ExitStack, suppress
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchmarks.faults_load import Clients, Seen
from benchmarks.faults_peers import NO_CHECKS, UNHEDGED, Place, configure
from benchmarks.generator import generating
from benchmarks.peers import OURS
from benchmarks.processes import CORES, Running, running

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.faults_service import Work

# Below those that the system gives to outgoing connections: a port that is closed for a while must stay free.
_FIRST_PORT = 20_000
_LAST_PORT = 32_000
_STARTS_WITHIN = 20.0
_ALL_CORES = ",".join(map(str, CORES))
_TOLD = (
    "gateway_breaker_transitions_total",
    "gateway_ejections_total",
    "gateway_retries",
    "gateway_hedges",
    "gateway_shed_total",
    "gateway_limit_changes_total",
    "gateway_concurrency_limit",
)


class Step(NamedTuple):
    """What happens so many seconds after the beginning.

    ``kill``, ``start``, ``stop``, ``cont`` to the first endpoint's process; ``errors X`` or ``slower X`` to the first
    endpoint (``all errors X`` to every one); anything else is a fault of the wire before the first endpoint.
    """

    at: float
    what: str


class Case(NamedTuple):
    """What a trial is made of."""

    endpoints: int
    has_wire: bool
    clients: Clients
    steps: tuple[Step, ...]
    work: Work
    hedges: bool = False


class Record(NamedTuple):
    """What an endpoint wrote about a request: when it came, when it was answered (0: never), and whose it was."""

    began: float
    ended: float
    case: str


class Trial(NamedTuple):
    """What one trial showed.

    ``records`` are those of each endpoint; ``steps`` the instants at which things were really done: for ``start``
    and ``cont``, when the endpoint answered again. ``told`` are the gateway's own counters at the end.
    """

    proxy: str
    seed: int
    seen: Seen
    records: list[list[Record]]
    steps: dict[str, float]
    told: list[str]


class _Ports:
    """Gives each port once."""

    def __init__(self) -> None:
        self._next = _FIRST_PORT + os.getpid() * 7 % 5000
        self._lock = Lock()

    def take(self) -> int:
        with self._lock:
            while True:
                self._next += 1
                if self._next > _LAST_PORT:
                    self._next = _FIRST_PORT
                with socket.socket() as probe, suppress(OSError):
                    probe.bind(("127.0.0.1", self._next))
                    return self._next


_PORTS = _Ports()


def take_port() -> int:
    """A port on loopback that is free and stays so while nobody listens on it for a while."""
    return _PORTS.take()


class _Endpoints:
    """The processes of one trial."""

    def __init__(self, case: Case, directory: Path, stack: ExitStack) -> None:
        self._case = case
        self._stack = stack
        self._directory = directory
        self.ports = [take_port() for _ in range(case.endpoints)]
        self.logs = [directory / f"endpoint-{port}.log" for port in self.ports]
        self._processes = [self._start(number) for number in range(case.endpoints)]
        self.gates = self.ports
        self._control: socket.socket | None = None
        if case.has_wire:
            self.gates = [take_port() for _ in self.ports]
            control = take_port()
            pairs = [f"{gate}:{port}" for gate, port in zip(self.gates, self.ports, strict=True)]
            command = [sys.executable, "-m", "benchmarks.faults_wire", str(control), *pairs]
            log = directory / "wire.log"
            self._stack.enter_context(running(command, cores=_ALL_CORES, port=self.gates[0], log=log, path="/healthz"))
            self._control = stack.enter_context(socket.create_connection(("127.0.0.1", control), _STARTS_WITHIN))

    def _start(self, number: int) -> Running:
        port = self.ports[number]
        work = msgspec.structs.replace(self._case.work, seed=self._case.work.seed * 100 + number)
        command = [sys.executable, "-m", "benchmarks.faults_service", str(port), str(self.logs[number])]
        command.append(msgspec.json.encode(work).decode())
        output = self._directory / f"endpoint-{port}-{time.perf_counter():.3f}.out"
        return self._stack.enter_context(running(command, cores=_ALL_CORES, port=port, log=output, path="/healthz"))

    def do(self, what: str) -> None:
        """Make one step."""
        words = what.split()
        if what == "start":
            self._processes[0] = self._start(0)
        elif what in {"kill", "stop", "cont"}:
            number = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "cont": signal.SIGCONT}[what]
            os.kill(self._processes[0].pid, number)
        elif words[-2:-1] in (["errors"], ["slower"]):
            for port in self.ports if words[0] == "all" else self.ports[:1]:
                url = f"http://127.0.0.1:{port}/control/{words[-2]}/{words[-1]}"
                urllib.request.urlopen(url, timeout=5).close()
        elif self._control is not None:
            self._control.sendall(f"{self.gates[0]} {what}\n".encode())
            self._control.recv(64)


def run(name: str, case: Case, *, seed: int, directory: Path) -> Trial:
    """Put the load on the endpoints through one proxy, and let happen what is to happen."""
    directory.mkdir()
    directory.chmod(0o755)
    clients = msgspec.structs.replace(case.clients, seed=seed)
    result = directory / "seen"
    with ExitStack() as stack:
        endpoints = _Endpoints(case, directory, stack)
        place = Place(endpoints.gates, take_port(), case.hedges)
        load = stack.enter_context(generating("benchmarks.faults_load", clients, result))
        peer = configure(name, place)
        proxy = stack.enter_context(peer.start(directory, endpoints.gates[0], cores=_ALL_CORES, ready="/healthz"))
        load.expect("ready")
        began = load.begin(proxy.port)
        steps = _play(case.steps, began, endpoints)
        load.expect("done")
        told = _counters(place.admin) if name in {OURS, NO_CHECKS, UNHEDGED} else []
    seen = msgspec.json.decode(result.read_bytes(), type=Seen)
    return Trial(name, seed, seen, [read_log(log.read_text(), began) for log in endpoints.logs], steps, told)


def _play(steps: Sequence[Step], began: float, endpoints: _Endpoints) -> dict[str, float]:
    done = {}
    for step in sorted(steps):
        time.sleep(max(0.0, began + step.at - time.perf_counter()))
        endpoints.do(step.what)
        done[step.what] = time.perf_counter() - began
    return done


def read_log(text: str, began: float) -> list[Record]:
    """The records of one endpoint, in order of their beginning; instants from ``began``."""
    records: list[Record] = []
    under_way: dict[str, list[int]] = {}
    for line in text.splitlines():
        what, instant, case = line.split(" ", 2)
        at = float(instant) - began
        if what == "B":
            under_way.setdefault(case, []).append(len(records))
            records.append(Record(at, 0.0, case))
        elif under_way.get(case):
            number = under_way[case].pop(0)
            if what == "E":
                records[number] = records[number]._replace(ended=at)
    return records


def _counters(admin: int) -> list[str]:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
        return [line for line in lines if line.startswith(_TOLD) and not line.endswith(" 0.0")]
    return []
