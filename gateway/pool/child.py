"""A child process that is awaited through its pidfd, on any event loop."""

from __future__ import annotations

import asyncio
import os
import signal as signals
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


class Child:
    """Starts ``command`` in a process group of its own, so that a terminal's Ctrl-C does not reach it.

    What is left in the group when it ends is killed.

    ``pass_fds`` are inherited under the same numbers; standard input is empty, standard output and error are
    the gateway's unless given. Signals that are ``blocked`` wait until the program, which has chosen what they do, lets
    them come. Must be made on a running loop. Rejected: asyncio's subprocesses, whose
    watcher on Python 3.11 is a thread for each child.
    """

    def __init__(  # noqa: PLR0913 - what a program is given
        self,
        command: Sequence[str],
        *,
        pass_fds: Sequence[int] = (),
        env: Mapping[str, str] | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        blocked: Collection[int] = (),
    ) -> None:
        mask = signals.pthread_sigmask(signals.SIG_BLOCK, blocked)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - running what the operator configured is the purpose
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=pass_fds,
                env=env,
                process_group=0,
            )
        finally:
            signals.pthread_sigmask(signals.SIG_SETMASK, mask)
        self.pid = self._process.pid
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except OSError:
            os.killpg(self.pid, signals.SIGKILL)
            self._process.wait()
            raise
        self._loop.add_reader(self._pidfd, self._on_end)

    def __repr__(self) -> str:
        """Say the process id and the exit status so far."""
        return f"<Child pid={self.pid} status={self.status}>"

    @property
    def status(self) -> int | None:
        """The exit status, minus the signal when one killed it; None while it runs."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Wait for the end; the exit status, minus the signal when one killed it."""
        return await asyncio.shield(self._ended)

    def signal(self, number: int) -> None:
        """Send a signal to the process if it still runs."""
        if not self._ended.done():
            with suppress(ProcessLookupError):
                signals.pidfd_send_signal(self._pidfd, number)

    def signal_group(self, number: signals.Signals) -> None:
        """Send a signal to the process and everything that it started, if it still runs.

        The group's number stays taken until the process is reaped, so this cannot hit a stranger.
        """
        if not self._ended.done():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _on_end(self) -> None:
        # An event may be another's that had this descriptor before. To wait here would stop the loop.
        if os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return
        # Until it is reaped its number is taken, so this reaches what it left behind in its group, and no stranger.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signals.SIGKILL)
        status = self._process.wait()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._ended.set_result(status)
