"""``gateway run``: the control process on a loop of its own, with signals and an exit status."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

import uvloop

from gateway.control.dispositions import ENDING, outlive
from gateway.control.listeners import BindFailed
from gateway.control.supervision import ControlProcess
from gateway.core.clock import SystemClock
from gateway.telemetry.files import silence_output
from gateway.telemetry.lines import Lines
from gateway.telemetry.logs import Logger, capture_stdlib, make_log

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config.load import Loaded

_INTERRUPTED: Final = 130


def run(loaded: Loaded, path: Path | str) -> int:
    """Serve until a signal; the exit status: 0 drained, 1 could not start, 130 stopped by a second signal."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(loaded, str(path)))


async def _run(loaded: Loaded, path: str) -> int:
    lines = Lines()
    clock = SystemClock()
    log = make_log(loaded.settings.log, process="control", clock=clock, lines=lines)
    capture_stdlib(log, clock)
    for warning in loaded.warnings:
        log.warning("configuration", warning=str(warning))
    try:
        control = ControlProcess(loaded.settings, log=log, path=path, clock=clock)
        return await _serve(control, log, has_tls=loaded.settings.gateway.tls is not None)
    finally:
        lines.close()


async def _serve(control: ControlProcess, log: Logger, *, has_tls: bool) -> int:
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in ENDING:
        loop.add_signal_handler(number, signals.put_nowait, number)
    # What runs in the background of a shell goes on without its terminal, and so does what nohup has started.
    ends_with_terminal = _terminal_group() == os.getpgrp() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN

    def hang_up() -> None:
        if ends_with_terminal and _terminal_group() is None:
            signals.put_nowait(signal.SIGHUP)
        else:
            control.open_logs_anew()

    loop.add_signal_handler(signal.SIGHUP, hang_up)
    outlive(loop, log)
    try:
        await control.start()
    except BindFailed as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 1
    code = 0
    asked = asyncio.create_task(signals.get())
    starting = asyncio.create_task(control.until_ready())
    await asyncio.wait({asked, starting}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        if starting.result():
            _announce(control, log, has_tls=has_tls)
        else:
            sys.stderr.write("gateway: the workers cannot start; the log says why\n")
            code = 1
    if not code:
        await asyncio.wait({asked})
    asked.cancel()
    starting.cancel()
    return await _stop(control, signals, log, code)


def _terminal_group() -> int | None:
    """The process group in the foreground of our terminal; None without a terminal."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return None
    try:
        return os.tcgetpgrp(terminal)
    except OSError:
        return None
    finally:
        os.close(terminal)


async def _stop(control: ControlProcess, signals: asyncio.Queue[signal.Signals], log: Logger, code: int) -> int:
    again = asyncio.create_task(signals.get())
    stopping = asyncio.create_task(control.stop())
    await asyncio.wait({again, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        log.warning("stopped at once", signal=again.result().name)
        control.kill()
        code = _INTERRUPTED
    again.cancel()
    # After `kill` this takes a moment only: what it waits for has ended.
    await stopping
    return code


def _announce(control: ControlProcess, log: Logger, *, has_tls: bool) -> None:
    admin = _shown(control.admin_address)
    scheme = "https" if has_tls else "http"
    told = [f"proxy    {_shown(address, scheme)}" for address in control.addresses]
    told += [f"metrics  {admin}/metrics", f"status   {admin}/v1/status"]
    try:
        sys.stdout.write("\n".join(told) + "\n")
        sys.stdout.flush()
    except OSError as error:  # nobody reads it, or the disk is full: serving goes on, and the log has it
        log.warning("standard output cannot be written", error=error.strerror, lines=told)
        silence_output()


def _shown(address: str, scheme: str = "http") -> str:
    return address if address.startswith("unix:") else f"{scheme}://{address}"
