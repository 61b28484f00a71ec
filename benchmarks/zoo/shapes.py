"""The shapes, live: services and clients that are no web pages, each beside plain requests that must all be answered.

    python -m benchmarks.zoo.shapes [--quick] [--only streams,uploads,…] [--peers nothing,gateway,nginx,haproxy,envoy]

An aiohttp application without a bound, and one proxy with defaults before it (Envoy with its adaptive concurrency, the
other limit that is told nothing; nginx and HAProxy without limits). Printed for each: how many of the plain requests,
or of the requests of the shape itself, got their answer.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from contextlib import AsyncExitStack, ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.overload_peers import NOTHING, Told, Wishes, configure
from benchmarks.peers import OURS, PEERS
from benchmarks.processes import ORIGIN_CORE, free_port, running
from benchmarks.rounds import Words, chosen, installed, options, say, scratch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.peers import Peer

NAMES: Final = (OURS, NOTHING, "nginx", "haproxy", "envoy")
HELD: Final = 30
_GIVE_UP: Final = 5.0


class Shape(NamedTuple):
    """One kind of client or service: what holds the service, for how long it is looked at, what is counted."""

    title: str
    hold: Callable[[int], Awaitable[None]] | None
    tell: Callable[[int, float], Awaitable[Counter[str]]]
    seconds: float


async def ask(port: int, path: str, within: float = _GIVE_UP) -> str:
    """One plain request on a connection of its own: its status, or "none"."""
    writer = None
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            line = await reader.readline()
            while await reader.read(65536):
                pass
            return line.split()[1].decode() if line else "none"
    except (OSError, TimeoutError, IndexError):
        return "none"
    finally:
        if writer is not None:
            writer.close()


async def _plain(port: int, seconds: float) -> Counter[str]:
    """Ten plain requests a second."""
    return await _steadily(port, seconds, lambda _: "/plain")


async def _two_of_three(path: str, port: int, seconds: float) -> Counter[str]:
    """Two of three requests are to a page that fails; the good page's answers are counted."""

    async def bad() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(int(seconds * 20)):
                group.create_task(ask(port, path))
                await asyncio.sleep(0.05)

    failing = asyncio.create_task(bad())
    found = await _plain(port, seconds)
    await failing
    return found


async def _steadily(port: int, seconds: float, path: Callable[[int], str]) -> Counter[str]:
    async with asyncio.TaskGroup() as group:
        asked = []
        for number in range(int(seconds * 10)):
            asked.append(group.create_task(ask(port, path(number))))
            await asyncio.sleep(0.1)
    return Counter(task.result() for task in asked)


async def _loop(clients: int, sleep: float, port: int, seconds: float) -> Counter[str]:
    """Clients that ask the same slow page again and again."""
    found: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds

    async def one() -> None:
        while loop.time() < end:
            status = await ask(port, f"/sleep/{sleep:g}", 20 * sleep)
            found[status] += 1
            if status != "200":
                await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one())
    return found


async def _open(port: int, raw: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2048)
    writer.write(raw)
    return reader, writer


async def _held(raw: bytes, port: int, *, is_read: bool = False, is_sent: bool = False, count: int = HELD) -> None:
    """Hold so many; read them at 4 kB/s, or send to them at 200 B/s; until it is cancelled."""

    async def one() -> None:
        reader, writer = await _open(port, raw)
        try:
            while not writer.is_closing():
                if is_read:
                    await reader.read(400)
                elif is_sent:
                    writer.write(b"x" * 20)
                await asyncio.sleep(0.1)
        finally:
            writer.transport.abort()

    with suppress(OSError):
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(one())


def _get(path: str, fields: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode()


_WEBSOCKET: Final = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
_UPLOAD: Final = b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"


def shapes(*, quick: bool) -> dict[str, Shape]:
    """All of them; a third as long when it is to be quick."""
    part = 1 / 3 if quick else 1.0
    plain = 15 * part
    return {
        "streams": Shape("30 event streams, then plain GETs", partial(_held, _get("/events")), _plain, plain),
        "websockets": Shape("30 WebSockets", partial(_held, _get("/socket", _WEBSOCKET)), _plain, plain),
        "polls": Shape("30 long polls", partial(_held, _get("/sleep/60")), _plain, plain),
        "downloads": Shape(
            "30 downloads read at 4 kB/s", partial(_held, _get("/download"), is_read=True), _plain, plain
        ),
        "uploads": Shape("30 uploads sent at 200 B/s", partial(_held, _UPLOAD, is_sent=True), _plain, plain),
        "streams-300": Shape("300 event streams", partial(_held, _get("/events"), count=300), _plain, plain),
        "slow-3": Shape("a handler of 3 s, 100 clients in a loop", None, partial(_loop, 100, 3.0), max(30 * part, 12)),
        "slow-10": Shape("a handler of 10 s, 60 clients in a loop", None, partial(_loop, 60, 10.0), max(60 * part, 25)),
        "page-8": Shape(
            "25 requests to a page of 8 s, beside a page of 10 ms",
            partial(_held, _get("/sleep/8"), count=25), _plain, 8.0,
        ),
        "bug": Shape("a page that always answers 500, two thirds of all", None, partial(_two_of_three, "/bug"), plain),
        "later": Shape(
            "a page that answers 503 and Retry-After: 120", None, partial(_two_of_three, "/later"), plain
        ),
    }  # fmt: skip


async def _tell(shape: Shape, port: int) -> Counter[str]:
    async with AsyncExitStack() as stack:
        if shape.hold is not None:
            holding = asyncio.ensure_future(shape.hold(port))

            async def end() -> None:
                holding.cancel()
                await asyncio.gather(holding, return_exceptions=True)

            stack.push_async_callback(end)
            await asyncio.sleep(1.5)
        return await shape.tell(port, shape.seconds)


def _program(name: str) -> Peer | None:
    if name == NOTHING:
        return None
    return configure(name, Told(), Wishes()) if name in {OURS, "envoy"} else PEERS[name]


def _cell(found: Counter[str]) -> str:
    good, total = found["200"], sum(found.values())
    rest = " ".join(f"{status}:{n}" for status, n in sorted(found.items()) if status != "200")
    return f"{good} of {total}" + (f" ({rest})" if rest else "")


def main() -> None:
    """Run and print."""
    known = shapes(quick=True)
    words = Words(quick="a third of the time", only=f"some of {','.join(known)}", peers=NAMES, file="not written")
    arguments = options("benchmarks.zoo.shapes", __doc__, words, rounds=1).parse_args()
    known = shapes(quick=arguments.quick)
    asked = [known[name] for name in chosen(arguments.only, tuple(known))]
    names = installed(chosen(arguments.peers, NAMES), _program)
    minutes = sum(shape.seconds + 6 for shape in asked) * len(names) / 60
    say(f"{len(asked)} shapes, {len(names)} proxies: about {minutes:.0f} minutes")
    print(f"{'answered':56}" + "".join(f"{name:>24}" for name in names))
    with scratch("shapes-") as directory:
        for shape in asked:
            cells = []
            for name in names:
                with ExitStack() as stack:
                    port = free_port()
                    log = Path(directory) / f"app-{port}.log"
                    command = [sys.executable, "-m", "benchmarks.zoo.shapes_app", str(port)]
                    stack.enter_context(running(command, cores=str(ORIGIN_CORE), port=port, log=log, path="/plain"))
                    peer = _program(name)
                    if peer is not None:
                        port = stack.enter_context(peer.start(directory, port, ready="/plain")).port
                    cells.append(_cell(asyncio.run(_tell(shape, port))))
            print(f"{shape.title:56}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
