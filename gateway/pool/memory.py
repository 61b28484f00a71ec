"""How much memory a pool may have, and for how many processes that is enough."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_PART: Final = 0.8


def room(sizes: Iterable[int], ceiling: int) -> int | None:
    """How many processes fit below ``ceiling`` bytes when each is as large as the largest; None while none is known."""
    fattest = max(sizes, default=0)
    return ceiling // fattest if fattest > 0 else None


def ceiling(configured: int | None, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """The bytes that a pool may use: as configured, or 80 % of the memory of the machine or of our cgroup."""
    if configured is not None:
        return configured
    return int(_PART * min([_machine(), *_cgroup_limits(proc, cgroups)]))


def _machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cgroup_limits(proc: Path, cgroups: Path) -> list[int]:
    """The limits of our cgroup and of those above it (version 2: memory.max; version 1: memory.limit_in_bytes)."""
    found: list[int] = []
    with suppress(OSError):
        for line in (proc / "self/cgroup").read_text("ascii").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                root, name = cgroups, "memory.max"
            elif "memory" in controllers.split(","):
                root, name = cgroups / "memory", "memory.limit_in_bytes"
            else:
                continue
            here = root / path.strip("/")
            for folder in (here, *here.parents):
                if not folder.is_relative_to(root):
                    break
                with suppress(OSError, ValueError):  # "max" is no number and no limit
                    found.append(int((folder / name).read_text("ascii")))
    return found
