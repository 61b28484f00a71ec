"""The command line as a script runs it: to its end, with both streams kept."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def gateway(*arguments: object, given: str = "", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``gateway`` with these arguments in ``folder``; ``given`` is on its standard input."""
    command = [sys.executable, "-m", "gateway", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, input=given, cwd=folder)
