"""The cells of the zoo, live: the same services and the same arrivals on real time, behind real proxies.

    python -m benchmarks.zoo.live [--quick] [--only WORD,…] [--peers nothing,gateway,nginx-conn,envoy]

The service is the simulated one on the clock of this machine, behind sockets; work goes on after a client has left.
nginx is told the true capacity; Envoy and the gateway are told nothing. Columns: refused or given up, in percent;
99th percentile; goodput before and after max(2 s, 5 S), of which nginx has that of a fixed limit at the true capacity.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import uvloop

from benchmarks.overload_peers import NOTHING, Told, Wishes, configure
from benchmarks.peers import OURS
from benchmarks.rounds import Words, installed, options, say, scratch
from benchmarks.zoo.cells import Cell, all_cells
from benchmarks.zoo.services import UNBOUNDED
from benchmarks.zoo.story import Told as Came
from gateway.core.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.peers import Peer
    from gateway.simulate.service import Service

NAMES: Final = (OURS, NOTHING, "nginx-conn", "envoy")
# What this machine can offer and serve beside a proxy, in requests a second, and how long a cell may take.
_FASTEST: Final = 300.0
_LONGEST: Final = 45.0
_USUAL: Final = (
    "unbounded, 300 ms exponential, 100 in use",
    "unbounded, 3 s constant, 100 clients",
    "unbounded, 3 s exponential, 100 in use",
    "64 workers, 300 ms exponential, 0.9x",
    "8 workers, 300 ms exponential, 0.5x",
    "8 workers, 300 ms exponential, 0.9x",
    "8 workers, 300 ms exponential, 1.5x",
    "8 workers, 300 ms exponential, 5x",
    "64 workers, 300 ms exponential, 1.5x",
    "half event streams, unbounded, 300 ms",
    "half long polls, unbounded, 300 ms",
    "step x10 to 2x, 8 workers, 300 ms",
    "step x10, unbounded, 300 ms",
    "8 workers, own backlog, 300 ms exponential, 1.5x",
    "bursts of 90 from idle, unbounded, 300 ms",
)


class RealClock:
    """The clock of the simulation on a loop's time; seconds since it was made."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._begin = time.perf_counter()

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._begin

    def at(self, instant: float, call: Callable[..., object], *args: object) -> None:
        """Call it at this instant."""
        self.after(instant - self.now(), call, *args)

    def after(self, delay: float, call: Callable[..., object], *args: object) -> None:
        """Call it in so many seconds."""
        self._loop.call_later(max(delay, 0.0), call, *args)


class ServiceConnection(asyncio.Protocol):
    """One connection to the service; the path of a request is its kind."""

    def __init__(self, service: Service, streams: dict[str, float]) -> None:
        self._service = service
        self._streams = streams
        self._data = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client, or a proxy."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Heads only."""
        self._data += data
        while b"\r\n\r\n" in self._data:
            head, _, self._data = self._data.partition(b"\r\n\r\n")
            kind = head.split(b" ", 2)[1].decode()[1:]
            if kind == "ready":
                self._answer(kind)
            else:
                self._service.begin(kind, lambda outcome=Outcome.SUCCESS, kind=kind: self._answer(kind, outcome))

    def _answer(self, kind: str, outcome: Outcome = Outcome.SUCCESS) -> None:
        transport = self._transport
        if transport.is_closing():
            return
        if outcome is not Outcome.SUCCESS:
            transport.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        elif kind in self._streams:
            transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n:\r\n"
            )
            asyncio.get_running_loop().call_later(self._streams[kind], transport.close)
        else:
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Load:
    """Brings a cell's requests to a port, and keeps the book."""

    def __init__(self, cell: Cell, port: int, clock: RealClock, kind: Callable[[], str]) -> None:
        self._cell = cell
        self._port = port
        self._clock = clock
        self._kind = kind
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.arrived = 0
        self.lost = 0
        self.answers: list[tuple[float, float]] = []

    def submit(self, ended: Callable[[], None] | None = None) -> None:
        """One request, now."""
        if self._clock.now() >= self._cell.until:
            return
        self.arrived += 1
        task = asyncio.get_running_loop().create_task(self._ask(self._kind(), ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, kind: str, ended: Callable[[], None] | None) -> None:
        begun = self._clock.now()
        writer = None
        try:
            async with asyncio.timeout(self._cell.give_up):
                if self._idle:
                    reader, writer = self._idle.pop()
                else:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(f"GET /{kind} HTTP/1.1\r\nHost: zoo\r\n\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if b"content-length: " in head:
                    await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            now = self._clock.now()
            if head.startswith(b"http/1.1 200"):
                self.answers.append((now, now - begun))
            else:
                self.lost += 1
            if kind in self._cell.streams:
                self._clock.after(self._cell.streams[kind], writer.close)
            elif b"connection: close" in head:
                writer.close()
            else:
                self._idle.append((reader, writer))
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
            self.lost += 1
            if writer is not None:
                writer.close()
        if ended is not None:
            ended()

    async def end(self) -> None:
        """Who still waits is neither answered nor lost."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _, writer in self._idle:
            writer.close()

    def came(self) -> Came:
        """What came of it, as of a simulated cell."""
        cell = self._cell
        took = sorted(each for _, each in self.answers)
        good = [at for at, each in self.answers if each <= cell.useful]
        early = sum(at <= cell.early for at in good)
        return Came(
            self.arrived, self.lost, took[len(took) * 99 // 100] if took else 0.0, early / cell.early,
            (len(good) - early) / (cell.until - cell.early), [],
        )  # fmt: skip


def live_through(cell: Cell, peer: Peer | None, seed: int, directory: Path) -> Came:
    """One cell behind one proxy, or with nothing in front."""

    async def story() -> Came:
        loop = asyncio.get_running_loop()
        clock = RealClock(loop)
        work = cell.work(Random(f"work {seed} {cell.name}"))
        service = cell.service(clock, work)  # type: ignore[arg-type]  # all of a clock that a service asks for
        server = await loop.create_server(lambda: ServiceConnection(service, cell.streams), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with ExitStack() as stack:
            if peer is not None:  # started beside the loop, which answers while it becomes ready
                running = peer.start(directory, port, ready="/ready")
                port = (await loop.run_in_executor(None, stack.enter_context, running)).port
            clock._begin = time.perf_counter()
            load = Load(cell, port, clock, work.kind)
            for instant, change in cell.changes:
                clock.at(instant, change, service)
            for arrivals in cell.arrivals(Random(f"arrivals {seed} {cell.name}")):
                arrivals.start(clock, load.submit)  # type: ignore[arg-type]
            await asyncio.sleep(cell.until)
            await load.end()
            came = load.came()
            await loop.run_in_executor(None, stack.close)
        server.close()
        return came

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, suppress(asyncio.CancelledError):
        return runner.run(story())
    raise SystemExit(1)


def fits(cell: Cell) -> bool:
    """Whether this machine can play the cell."""
    return cell.requests / cell.until <= _FASTEST and cell.until <= _LONGEST and cell.usual >= 0.02 and not cell.restart


def _program(name: str) -> Peer | None:
    return None if name == NOTHING else configure(name, Told(), Wishes())


def _peer(name: str, cell: Cell) -> Peer | None:
    at_once = 60_000 if cell.slots >= UNBOUNDED else cell.slots
    return None if name == NOTHING else configure(name, Told(at_once), Wishes())


def main() -> None:
    """Run and print."""
    words = Words(
        quick="every third of the usual cells", only="words of cells' names (of all that fit)", peers=NAMES,
        file="not written",
    )  # fmt: skip
    arguments = options("benchmarks.zoo.live", __doc__, words, rounds=1).parse_args()
    known = {name: cell for name, cell in all_cells().items() if fits(cell)}
    wanted = [word for word in arguments.only.split(",") if word]
    if wanted:
        cells = [cell for name, cell in known.items() if any(word in name for word in wanted)]
    else:
        cells = [known[name] for name in _USUAL if name in known][:: 3 if arguments.quick else 1]
    names = installed([name for name in NAMES if not arguments.peers or name in arguments.peers.split(",")], _program)
    seconds = sum(cell.until + 3 for cell in cells) * len(names) * arguments.rounds
    minutes = seconds / 60
    say(f"{len(cells)} of {len(known)} cells that fit here, {len(names)} proxies: about {minutes:.0f} minutes")
    print(f"{'lost % · p99 s · goodput/s early, late':52}" + "".join(f"{name:>30}" for name in names))
    with scratch("zoo-") as directory:
        for cell in cells:
            shown = []
            for name in names:
                each = [
                    live_through(cell, _peer(name, cell), seed, Path(directory)) for seed in range(arguments.rounds)
                ]
                shown.append(_show(each))
            print(f"{cell.name:52}" + "".join(f"{text:>30}" for text in shown), flush=True)


def _show(each: list[Came]) -> str:
    count = len(each)
    lost = 100 * sum(came.lost for came in each) / max(sum(came.arrived for came in each), 1)
    p99, early, late = (sum(getattr(came, name) for came in each) / count for name in ("p99", "early", "late"))
    return f"{lost:5.1f} % {p99:6.2f} {early:6.1f} {late:6.1f}"


if __name__ == "__main__":
    main()
