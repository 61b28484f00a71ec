"""A worker loads what serving needs and nothing else, because its start is an outage of its door."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import runpy, sys
sys.argv = ["worker"]
try:
    runpy.run_module("gateway.control.worker", run_name="__main__", alter_sys=True)
except ValueError:
    pass  # it was given no channel
print(*(name for name, module in sys.modules.items() if module is not None))
"""


def test_what_a_worker_does_not_load() -> None:
    """Command line, console, Prometheus and the control process's own rooms stay outside."""
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "gateway.proxy.plane" in loaded
    assert (
        loaded & {"rich", "typer", "prometheus_client", "pydantic", "gateway.control.supervision", "tomllib"} == set()
    )
