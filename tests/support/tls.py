"""Certificates for tests."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def certified(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key; made once in each folder."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    if not key.exists():
        subprocess.run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=127.0.0.1 "
            f"-addext subjectAltName=IP:127.0.0.1,DNS:a.test,DNS:b.test -days 2 -keyout {key} -out {certificate}".split(),
            check=True,
            capture_output=True,
        )
    return certificate, key
