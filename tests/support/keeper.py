"""``python -m tests.support.keeper FILE N``: a gateway whose pool shall have N processes; SIGUSR1 restarts them.

It says on standard output states and numbers of the pool's processes, one JSON object a line, whenever they change.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from gateway.config.load import load
from gateway.control.supervision import ControlProcess
from gateway.core.clock import SystemClock
from gateway.telemetry.lines import Lines
from gateway.telemetry.logs import make_log


async def _run(file: str, replicas: int) -> None:
    settings = load(file).settings
    clock = SystemClock()
    control = ControlProcess(settings, log=make_log(settings.log, process="control", clock=clock, lines=Lines()))
    await control.start()
    pool = control._pools["app"]
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, pool.restart, "test", "told to")
    pool.resize(replicas)
    told: list[tuple[str, int]] = []
    while True:
        present = [(one.state, one.pid) for one in pool.processes]
        if present != told:
            told = list(present)
            sys.stdout.write(json.dumps({"address": control.addresses[0], "processes": told}) + "\n")
            sys.stdout.flush()
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], int(sys.argv[2])))
