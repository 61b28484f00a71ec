"""A load generator is a process of its own, and talks with the trial line by line.

It is told who asks, as JSON, and says ``ready``; is told a port and says the instant at which it began; says ``done``
when what it saw is in the file that its command line names.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, TypeVar, cast

import msgspec

from benchmarks.processes import pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_Clients = TypeVar("_Clients", bound=msgspec.Struct)


class Load(Protocol):
    """Clients that are laid out and wait for the word; ``seen`` is what became of them."""

    @property
    def seen(self) -> msgspec.Struct:
        """What became of them."""

    def run(self, port: int, begin: float) -> None:
        """Ask whoever listens on this port, and come back when all is over."""


def generate(kind: type[_Clients], make: Callable[[_Clients], Load]) -> None:
    """The generator's side of one trial."""
    load = make(msgspec.json.decode(sys.stdin.readline(), type=kind))
    # nothing here is garbage in cycles, and a collection would be a stall that looks like the proxy's
    gc.disable()
    print("ready", flush=True)
    port = int(sys.stdin.readline())
    begin = time.perf_counter()
    print(begin, flush=True)
    load.run(port, begin)
    Path(sys.argv[1]).write_bytes(msgspec.json.encode(load.seen))
    print("done", flush=True)


class Generator:
    """The trial's side."""

    def __init__(self, orders: IO[str], answers: IO[str]) -> None:
        self._orders = orders
        self._answers = answers

    def tell(self, line: str) -> None:
        """Say something to it."""
        self._orders.write(f"{line}\n")
        self._orders.flush()

    def expect(self, word: str) -> None:
        """Wait until it says this; RuntimeError when it says anything else, or nothing any more."""
        if self._answers.readline().strip() != word:
            message = f"the load generator broke before it was {word}"
            raise RuntimeError(message)

    def begin(self, port: int) -> float:
        """Let it begin; the instant at which it did."""
        self.tell(str(port))
        return float(self._answers.readline())


@contextmanager
def generating(module: str, clients: msgspec.Struct, result: Path, *, cores: str = "") -> Iterator[Generator]:
    """Start one that is to write ``result``, on these cores or on all; it ends with the block."""
    command = [sys.executable, "-m", module, str(result)]
    with subprocess.Popen(
        pinned(command, cores) if cores else command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    ) as process:
        generator = Generator(cast("IO[str]", process.stdin), cast("IO[str]", process.stdout))
        generator.tell(msgspec.json.encode(clients).decode())
        try:
            yield generator
        finally:
            process.kill()
