"""Runs one command and sees to it that nothing of it outlives the gateway.

``python -I -S warden.py STATUS_FD GATEWAY_PID COMMAND…``: run by path, knows only the standard library.
It writes ``pid N`` to the status descriptor once the command runs, and ``exit N`` (128 + signal when one
killed it) as soon as the command itself ended. It goes when the last process below it has gone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import Final

_SET_PDEATHSIG: Final = 1
_SET_CHILD_SUBREAPER: Final = 36
_NOT_FOUND: Final = 127


def main(status: int, gateway: int, command: list[str]) -> None:
    """Run the command; return when everything below has ended."""
    os.set_inheritable(status, False)  # noqa: FBT003 - the standard library's signature
    libc = ctypes.CDLL(None)
    signal.signal(signal.SIGUSR1, lambda *_: os.killpg(0, signal.SIGKILL))
    libc.prctl(_SET_PDEATHSIG, signal.SIGUSR1)
    libc.prctl(_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != gateway:  # it died before we could ask to be told
        return
    warden = os.getpid()
    app = os.fork()
    if app == 0:
        _become(command, warden, libc)
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    # A listening socket that the command inherits must close with it, or its callers would wait for nobody.
    os.closerange(3, status)
    os.closerange(status + 1, os.sysconf("SC_OPEN_MAX"))
    _tell(status, f"pid {app}")
    while True:
        try:
            pid, result = os.waitpid(-1, 0)
        except ChildProcessError:
            return
        if pid == app:
            code = os.waitstatus_to_exitcode(result)
            _tell(status, f"exit {code if code >= 0 else 128 - code}")


def _become(command: list[str], warden: int, libc: ctypes.CDLL) -> None:
    # If the warden is killed, the command goes too; it may be in the middle of anything, as after a power cut.
    libc.prctl(_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    try:
        if os.getppid() == warden:
            os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
    os._exit(_NOT_FOUND)


def _tell(status: int, line: str) -> None:
    with suppress(OSError):  # nobody listens any more
        os.write(status, line.encode() + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
