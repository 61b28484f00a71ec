"""Reads how full this process's own resources are, for :mod:`gateway.admission.pressure` to judge."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

from gateway.admission.pressure import FULL_LAG, Strain

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
# What the kernel or a container gives, whichever is less (cgroup v2, "memory.max"; v1 has another name).
_BOUNDS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
# Descriptors that are no connection: listeners, logs, the channel, and room to look at /proc.
_RESERVED: Final = 32
# A lag is remembered this much from one look to the next, so that one slow turn of the loop is no strain.
_KEEP: Final = 0.7


class StrainGauge:
    """Looks at lag, memory and descriptors; one of ``workers`` that share the machine's memory."""

    __slots__ = ("_lag", "_memory", "_statm", "_worst")

    def __init__(self, workers: int) -> None:
        self._memory = _memory_bound() / workers
        # Held open: the moment at which no file can be opened is the one that it is for.
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._lag = 0.0
        self._worst = 0.0

    def note_lag(self, seconds: float) -> None:
        """The event loop woke up this late."""
        self._worst = max(self._worst, seconds)

    def read(self, connections: int) -> Strain:
        """The strain since the last look, with this many connections open on both sides."""
        self._lag = _KEEP * self._lag + (1 - _KEEP) * self._worst
        self._worst = 0.0
        pages = int(os.pread(self._statm, 128, 0).split()[1])
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return Strain(self._lag / FULL_LAG, pages * _PAGE / self._memory, connections / max(files - _RESERVED, 1))

    def close(self) -> None:
        """Look no more."""
        os.close(self._statm)


def _memory_bound() -> float:
    bound = float(os.sysconf("SC_PHYS_PAGES") * _PAGE)
    for path in _BOUNDS:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            bound = min(bound, float(text))
    return bound
