"""Which program a command runs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS = "python"


def find_program(name: str) -> str | None:
    """The whole path of the program that ``name`` runs; None when there is none.

    ``python`` is the gateway's own interpreter. Others are looked for in PATH, then beside that interpreter, where the
    programs of a virtual environment are that is not activated.
    """
    if name == OURS:
        return sys.executable
    return shutil.which(name) or shutil.which(name, path=beside())


def beside() -> str:
    """The folder of the gateway's own interpreter."""
    return str(Path(sys.executable).parent)


def resolved(command: Sequence[str]) -> list[str]:
    """The command with the whole path of its program where it is not the one that PATH gives."""
    first, *rest = command
    if first == OURS or shutil.which(first) is None:
        first = find_program(first) or first
    return [first, *rest]


def missing(name: str) -> str:
    """Where a program that does not exist was looked for, in words."""
    if "/" in name:
        path = Path(name)
        if path.is_file() and not os.access(name, os.X_OK):
            return f'is not executable: "chmod +x {name}" makes it so'
        return "there is no such program" + ("" if path.is_absolute() else f" below {Path.cwd()}")
    return f"there is no such program in PATH, nor beside the gateway's own interpreter ({beside()})"
