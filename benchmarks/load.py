"""Requests and bytes per second as wrk sees them, always from the same core."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.processes import LOAD_CORE, pinned

if TYPE_CHECKING:
    from pathlib import Path

_UNITS = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_UPLOAD = """
wrk.method = "POST"
wrk.body = string.rep("x", {size})
wrk.headers["Content-Type"] = "application/octet-stream"
"""


class Load(NamedTuple):
    """One wrk run; ``failures`` are answers other than 2xx and 3xx plus socket errors."""

    requests_per_second: float
    bytes_per_second: float
    failures: int


def press(port: int, path: str, *, connections: int, seconds: int, script: Path | None = None) -> Load:
    """Load ``path`` for ``seconds`` over ``connections`` kept-alive connections, one thread."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    if script is not None:
        command += ["-s", str(script)]
    command.append(f"http://127.0.0.1:{port}{path}")
    output = subprocess.run(
        pinned(command, str(LOAD_CORE)), capture_output=True, text=True, check=True, timeout=seconds + 30
    ).stdout
    return read_report(output)


def read_report(text: str) -> Load:
    """Read what wrk prints; ValueError when it is not a report."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    transfer = re.search(r"Transfer/sec:\s+([\d.]+)([KMG]?B)", text)
    if rate is None or transfer is None:
        message = f"not a report of wrk: {text!r}"
        raise ValueError(message)
    failures = sum(int(n) for n in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    for counts in re.findall(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text):
        failures += sum(map(int, counts))
    return Load(float(rate[1]), float(transfer[1]) * _UNITS[transfer[2]], failures)


def write_upload(directory: Path, size: int) -> Path:
    """A wrk script that uploads ``size`` bytes with each request."""
    path = directory / f"upload-{size}.lua"
    path.write_text(_UPLOAD.format(size=size))
    return path
