"""Memory and processor time of a process and of all that it started, as the kernel counts them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from msgspec import Struct

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Vitals(Struct, frozen=True):
    """Resident bytes (what is shared counts in each) and processor seconds."""

    rss: int = 0
    cpu: float = 0.0


def below(warden: int) -> Vitals:
    """Everything that runs below this process now, itself left out; ended processes count with whoever awaited them."""
    rss = 0
    ticks = 0
    waiting = _children(warden)
    while waiting:
        pid = waiting.pop()
        try:
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            rss += int(fields[21])
            ticks += sum(map(int, fields[11:15]))
        except (OSError, IndexError, ValueError):  # it has ended meanwhile
            continue
        waiting += _children(pid)
    return Vitals(rss * _PAGE, ticks / _TICKS)


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []
    found: list[int] = []
    for task in tasks:
        try:
            found += map(int, (task / "children").read_text("ascii").split())
        except OSError:
            continue
    return found
