"""The command line as a script runs it: to its end, with both streams kept."""

from __future__ import annotations

import subprocess
import sys


def gateway(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``gateway`` with these arguments."""
    command = [sys.executable, "-m", "gateway", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
