"""Standard output and error where they are files: opened anew under their first name after a rotation.

The name is the one at the start, because a rotated file takes the descriptor's name with it. Pipes, sockets and
terminals have nothing to open anew.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_STANDARD: Final = (1, 2)


def standard_files() -> dict[int, str]:
    """The paths of those that are files, by descriptor."""
    found: dict[int, str] = {}
    for fd in _STANDARD:
        try:
            path, here = os.readlink(f"/proc/self/fd/{fd}"), os.fstat(fd)  # noqa: PTH115 - a path that may be none
            there = os.stat(path)  # noqa: PTH116 - as above
        except OSError:  # closed, removed, or no path at all
            continue
        if stat.S_ISREG(here.st_mode) and (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
            found[fd] = path
    return found


def open_anew(files: Mapping[int, str]) -> dict[str, str]:
    """Open these files in the place of the descriptors; those that cannot be, with why, stay what they were."""
    failed: dict[str, str] = {}
    for fd, path in files.items():
        try:
            new = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_CLOEXEC, 0o640)
        except OSError as error:
            failed[path] = error.strerror or type(error).__name__
            continue
        os.dup2(new, fd)
        os.close(new)
    return failed


def silence_output() -> None:
    """Write standard output to nothing from here on: what is left in its buffer must not fail once more at the exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
