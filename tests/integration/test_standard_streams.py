"""Standard output and error may be closed, full, or a pipe that has ended: the gateway serves, and commands say so."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.support.running import descendants, is_alive, toml, until
from tests.support.silence import unused_port

if TYPE_CHECKING:
    from tests.support.origin import Origin

GATEWAY = f"{sys.executable} -m gateway"
REFERENCE = Path(__file__).parents[2] / "config" / "reference.toml"
# The reader of a named pipe has gone before anything is written to it.
ENDED = "{folder}/ended"


def _free_ports(n: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [one.getsockname()[1] for one in listeners]
    for one in listeners:
        one.close()
    return ports


@pytest.mark.parametrize(
    "streams",
    [
        ">&-",
        ">/dev/full",
        f">{ENDED}",
        "2>&-",
        "2>/dev/full",
        f"2>{ENDED}",
        ">&- 2>&- <&-",
        f">{ENDED} 2>&1",
        ">/dev/full 2>&1",
    ],
)
async def test_the_gateway_serves_and_drains_all_the_same(origin: Origin, tmp_path: Path, streams: str) -> None:
    """No traceback, no abort and no end: requests are answered, no line lands in somebody's socket, SIGTERM exits 0."""
    proxy, admin = _free_ports(2)
    config = toml(f"http://127.0.0.1:{origin.port}", workers=2) + '[log]\naccess = "all"\n'
    config = config.replace("127.0.0.1:0", f"127.0.0.1:{proxy}", 1).replace("127.0.0.1:0", f"127.0.0.1:{admin}", 1)
    (tmp_path / "gateway.toml").write_text(config)
    if ENDED in streams:
        # opened for both, the pipe is there at once; closed at the far end, it has ended
        ended = f"mkfifo {tmp_path}/fifo; sleep 1000 <{tmp_path}/fifo & exec 9>{tmp_path}/fifo; kill $!; wait $!; "
        streams = streams.replace(f">{ENDED}", ">&9")
    else:
        ended = ""
    errors = tmp_path / "errors"
    keep = "" if "2>" in streams else f" 2>{errors}"
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f"{ended}exec {GATEWAY} run {tmp_path}/gateway.toml {streams}{keep} 9>&-",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    family: set[int] = set()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            await until(lambda: _is_ready(session, admin))
            for n in range(20):
                async with session.get(f"http://127.0.0.1:{proxy}/{n}") as response:
                    assert response.status == 200
            family = descendants(process.pid)
            assert len(family) == 2
        process.send_signal(signal.SIGTERM)
        said, complained = await process.communicate()
        assert process.returncode == 0
        assert b"Traceback" not in complained
        if keep:
            lines = [json.loads(line) for line in errors.read_text().splitlines()]
            events = {line["event"]: line for line in lines}
            if streams == ">&-":
                assert "standard output cannot be written" not in events
            else:  # where it serves is not lost
                assert f"127.0.0.1:{proxy}" in events["standard output cannot be written"]["lines"][0]
        elif not streams.startswith(">"):
            assert f"127.0.0.1:{proxy}".encode() in said
        await until(lambda: not any(map(is_alive, family)))
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def _is_ready(session: aiohttp.ClientSession, admin: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{admin}/readyz") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


@pytest.mark.parametrize("command", ["schema", f"check {REFERENCE}", "--help"])
@pytest.mark.parametrize(
    ("streams", "status", "said"),
    [
        (">&-", 0, b""),
        (">/dev/full", 1, b"gateway: standard output cannot be written: No space left on device\n"),
        ("2>&-", 0, b""),
        ("2>/dev/full", 0, b""),
    ],
)
def test_a_command_says_what_it_could_not_write(command: str, streams: str, status: int, said: bytes) -> None:
    """What was asked for and cannot be had is an error of one line; streams that are closed are none."""
    ran = subprocess.run(["bash", "-c", f"{GATEWAY} {command} {streams}"], capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (status, said)


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    """As in ``gateway schema | head -1``: nothing is said."""
    line = f"set -o pipefail; {GATEWAY} schema | head -1; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", line], capture_output=True, check=False)
    assert ran.stderr == b""
    assert ran.stdout.startswith(b"{\n")


def test_a_drill_whose_reader_has_had_enough_ends(tmp_path: Path) -> None:
    """As in ``gateway drill FILE | head -1``: nothing is said, and the gateway that it has started ends with it."""
    file = tmp_path / "gateway.toml"
    file.write_text(
        f'[gateway]\nlisten = ["127.0.0.1:{unused_port()}"]\n[admin]\nlisten = "127.0.0.1:{unused_port()}"\n'
        '[upstreams.app]\nendpoints = ["http://127.0.0.1:1"]\n[routes.web]\nupstream = "app"\n'
    )
    line = f"{GATEWAY} drill {file} --seconds 30 --rate 5 | head -1"
    ran = subprocess.run(["bash", "-c", line], capture_output=True, check=False)
    assert ran.stderr == b""
    assert ran.stdout.startswith(b"starting a gateway with ")


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", ">&- 2>&-"])
def test_a_bad_configuration_ends_with_2_whether_it_can_be_said_or_not(tmp_path: Path, streams: str) -> None:
    """A script looks at the status."""
    (tmp_path / "bad.toml").write_text("x = 1\n")
    ran = subprocess.run(
        ["bash", "-c", f"{GATEWAY} check {tmp_path}/bad.toml {streams}"], capture_output=True, check=False
    )
    assert ran.returncode == 2
