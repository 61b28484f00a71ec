"""What this process uses, read from the kernel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from gateway.telemetry.reading import ProcessReading

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_STATM: Final = Path("/proc/self/statm")


class Vitals:
    """Reads memory and processor time each time, open files every eighth time (with 10,000 it takes 3 ms)."""

    def __init__(self) -> None:
        self._turn = 0
        self._fds = 0

    def read(self) -> ProcessReading:
        """The figures of this process now."""
        if self._turn % 8 == 0:
            self._fds = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - one call, no objects
        self._turn += 1
        used = os.times()
        return ProcessReading(int(_STATM.read_bytes().split()[1]) * _PAGE, used.user + used.system, self._fds)
