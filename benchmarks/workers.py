"""What a second worker process buys, and how much of that this machine could show at all.

With two cores the load and the origin take part of the second one, so two workers cannot reach twice the
requests of one. Processor time tells the two apart: with ``g`` seconds a request in the gateway and ``o``
in load and origin, one worker makes 1/g a second, two cores make at most 2/(g + o), so the machine
allows 2g/(g + o). Processor time a request with one worker and with two says what the second one would
bring where cores are free.
"""

from __future__ import annotations

import resource
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.load import press
from benchmarks.processes import CORES, processor_time

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peers import Peer
    from benchmarks.processes import Running


class SecondWorker(NamedTuple):
    """Ratios of requests per second, two workers to one: measured, allowed here, with free cores."""

    measured: float
    allowed: float
    unhindered: float


class _Round(NamedTuple):
    rate: float
    gateway: float
    others: float


def measure(ours: Peer, origin: Running, directory: Path, *, rounds: int, seconds: int) -> SecondWorker:
    """Load one worker and two in turn, on all cores but with the load on its own as far as it can be."""
    cores = ",".join(map(str, CORES))
    with (
        ours.start(directory, origin.port, workers=1, cores=cores) as one,
        ours.start(directory, origin.port, workers=2, cores=cores) as two,
    ):
        found = [(_round(one, origin, seconds), _round(two, origin, seconds)) for _ in range(rounds)]
    single = _median([a for a, _ in found])
    double = _median([b for _, b in found])
    total = single.gateway + single.others
    return SecondWorker(
        measured=double.rate / single.rate,
        allowed=min(2.0, len(CORES) * single.gateway / total) if len(CORES) < 4 else 2.0,
        unhindered=2 * single.gateway / double.gateway,
    )


def _round(proxy: Running, origin: Running, seconds: int) -> _Round:
    used = processor_time(proxy.pid), processor_time(origin.pid), _load_time()
    rate = press(proxy.port, "/small", connections=64, seconds=seconds).requests_per_second
    requests = rate * seconds
    gateway = (processor_time(proxy.pid) - used[0]) / requests
    others = (processor_time(origin.pid) - used[1] + _load_time() - used[2]) / requests
    return _Round(rate, gateway, others)


def _load_time() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def _median(rounds: list[_Round]) -> _Round:
    return _Round(*(median(column) for column in zip(*rounds, strict=True)))
