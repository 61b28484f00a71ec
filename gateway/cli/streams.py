"""Standard streams that may be closed, full, or a pipe that has ended, and are no reason to fail.

A descriptor of 0 to 2 that is closed goes to the next file or socket that is opened, and whatever is written to
"standard error" then goes into that; libuv aborts when it is to close one. So they are opened, on nothing, before
anything else is.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Final

from rich.console import Console

from gateway.telemetry.files import silence_output

if TYPE_CHECKING:
    from collections.abc import Callable

_UNWRITABLE: Final = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.ECONNRESET})
_FAILED: Final = 1


class _Patient(io.FileIO):
    """A descriptor whose lines are lost when nobody can have them."""

    def write(self, data: object) -> int:
        size = memoryview(data).nbytes  # type: ignore[arg-type]  # bytes, or something that has them
        try:
            return super().write(data) or 0  # type: ignore[arg-type]
        except OSError:
            return size


class Output(Console):
    """A console whose reader may leave: that is raised like any other error of a write, also on an event loop."""

    def on_broken_pipe(self) -> None:
        """Let :func:`run` end the command."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def open_missing() -> None:
    """Open on nothing what is closed of standard input, output and error; losing lines on the last is no error."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if fd == 0 else os.O_WRONLY)  # the lowest number that is free
            os.set_inheritable(fd, True)  # noqa: FBT003 - the standard library's signature
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    raw = io.BufferedWriter(_Patient(2, "w", closefd=False))
    encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
    sys.stderr = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", line_buffering=True)


def run(command: Callable[[], object]) -> None:
    """Run a command to the end of its output; end with 1 when that cannot be written, and say why if it is an error.

    A reader that has had enough, as in ``gateway schema | head``, is none.
    """
    try:
        try:
            command()
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        silence_output()
        if error.errno != errno.EPIPE:
            sys.stderr.write(f"gateway: standard output cannot be written: {error.strerror}\n")
        raise SystemExit(_FAILED) from None
