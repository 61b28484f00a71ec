"""What each signal does to the control process and its workers (signal(7)).

SIGINT, SIGTERM and SIGQUIT drain. SIGHUP opens log files anew, as after a rotation; where it comes because the terminal
that the gateway was started in the foreground of has closed, it drains, too. Every other signal that ends a process by
default is outlived, with a line in the log: SIGUSR1 asks other programs for other things, and not for the end of all
requests. Faults (SIGSEGV, SIGABRT and their like) and stops keep their default.
"""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from gateway.telemetry.logs import Logger

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
_DEFAULT: Final = frozenset(
    {
        signal.SIGHUP,  # has a meaning of its own
        signal.SIGKILL,
        signal.SIGSTOP,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGCONT,
        signal.SIGCHLD,
        signal.SIGWINCH,
        signal.SIGURG,
        signal.SIGPIPE,  # Python ignores this one and the next
        signal.SIGXFSZ,
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGSEGV,
        signal.SIGSYS,
        signal.SIGTRAP,
    }
)
OUTLIVED: Final = tuple(sorted(signal.valid_signals() - _DEFAULT - set(ENDING)))
"""Signals that would end a process by default and mean nothing here."""

SHIELDED: Final = (*OUTLIVED, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
"""Signals that must not end a worker before it can choose what they do."""


def shield() -> None:
    """In a new worker: ignore these signals until the loop has taken some of them over, and let them come."""
    # SIGINT and SIGHUP are for the control process to judge; a worker is in the background of every terminal, which it
    # may write to all the same.
    for number in (*SHIELDED, signal.SIGTTOU):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SHIELDED)


def outlive(loop: asyncio.AbstractEventLoop, log: Logger) -> None:
    """Let each of these signals do no more than to write a line."""
    for number in OUTLIVED:
        loop.add_signal_handler(number, partial(_note, log, name_of(number)))


def name_of(number: int) -> str:
    """The signal's name; most real-time signals have a number only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def _note(log: Logger, name: str) -> None:
    log.warning("signal ignored", signal=name)
