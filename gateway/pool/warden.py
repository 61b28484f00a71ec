"""Runs one command and sees to it that nothing of it outlives the gateway.

``python -I -S warden.py STATUS_FD GATEWAY_PID COMMAND…``: run by path, knows only the standard library.
It writes ``pid N`` to the status descriptor once the command runs, and ``exit N`` (128 + signal when one
killed it) as soon as the command itself ended. It goes when the last process below it has gone.

Orphans of the command become its children (PR_SET_CHILD_SUBREAPER), so everything stays below it, also what left the
process group (``setsid``, daemons). At a signal of its own, :data:`KILL`, and when the gateway dies, it kills what is
below it, again and again, until nothing is left. SIGTERM, which the gateway sends to the group, it passes on to those
that left the group.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
from contextlib import suppress
from typing import Final, NoReturn

# No other program sends this one, which cannot be said of SIGUSR1.
KILL: Final = signal.SIGRTMIN + 5
_SET_PDEATHSIG: Final = 1
_SET_CHILD_SUBREAPER: Final = 36
# What may be sent to all that belongs to a service and would end us; the command gets it too, and does what it does.
IGNORED: Final = signal.valid_signals() - {
    KILL,
    signal.SIGKILL,
    signal.SIGTERM,
    signal.SIGSTOP,
    signal.SIGTSTP,
    signal.SIGCONT,
    signal.SIGCHLD,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSEGV,
    signal.SIGSYS,
    signal.SIGTRAP,
}
_NOT_FOUND: Final = 127
_PAUSE: Final = 0.01
# A process of another user (sudo) cannot be killed from here: after five seconds it is left.
_ROUNDS: Final = 500


class _Killed(BaseException):
    """Everything must end now."""


def main(status: int, gateway: int, command: list[str]) -> None:
    """Run the command; return when everything below has ended."""
    os.set_inheritable(status, False)  # noqa: FBT003 - the standard library's signature
    libc = ctypes.CDLL(None)
    signal.signal(KILL, _on_kill)
    libc.prctl(_SET_PDEATHSIG, KILL)
    libc.prctl(_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != gateway:  # it died before we could ask to be told
        return
    warden = os.getpid()
    app = os.fork()
    if app == 0:
        _become(command, warden, libc)
    signal.signal(signal.SIGTERM, lambda *_: _terminate_strays(warden))
    for ignored in IGNORED:
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)  # which were blocked while we came to be
    try:
        _watch(status, app)
    except _Killed:
        _kill_all(warden)


def _on_kill(*_: object) -> NoReturn:
    signal.signal(KILL, signal.SIG_IGN)
    raise _Killed


def _watch(status: int, app: int) -> None:
    """Tell what becomes of the command; return when everything below has ended."""
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


def _kill_all(warden: int) -> None:
    """Kill what is below until nothing is; what was forked meanwhile is found the next time."""
    for _ in range(_ROUNDS):
        for pid in _below(warden):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        select.select((), (), (), _PAUSE)


def _terminate_strays(warden: int) -> None:
    """Send SIGTERM to those below that are in another process group; ours has it already."""
    group = os.getpgid(0)
    for pid in _below(warden):
        with suppress(OSError):
            if os.getpgid(pid) != group:
                os.kill(pid, signal.SIGTERM)


def _below(warden: int) -> list[int]:
    """All processes that descend from this one."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - pathlib takes 20 ms to import
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):  # it has ended meanwhile
            continue
        children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    waiting = [warden]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _become(command: list[str], warden: int, libc: ctypes.CDLL) -> None:
    # If the warden is killed, the command goes too; it may be in the middle of anything, as after a power cut.
    libc.prctl(_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(KILL, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
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
