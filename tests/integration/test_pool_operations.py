"""Random operations on a pool under load fail no request but those inside a process that was killed."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from benchmarks.pool import is_good


@pytest.mark.timeout(180)
async def test_sixty_operations() -> None:
    """Growing, shrinking, crashes, recycling, restarts and new commands, with two workers: nothing fails of them."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.pool", "--operations", "60", "--seed", "7", "--rate", "100", "--workers", "2"),
        stdout=asyncio.subprocess.PIPE,
    )
    text, _ = await process.communicate()
    found = json.loads(text)
    assert is_good(found), found
    assert process.returncode == 0
    assert found["requests"] > 500
    assert (
        found["answered"] + found["inside_a_killed_process"] + found["in_the_socket_of_a_killed_process"]
        == found["requests"]
    )
    assert {"grow", "shrink", "crash", "recycle"} <= found["operations"].keys()
