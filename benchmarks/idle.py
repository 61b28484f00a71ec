"""Memory that one idle keep-alive connection costs, over the whole process tree of a proxy.

Each connection does one request first: a connection that has never spoken costs less than a real one.

Run as ``python -m benchmarks.idle PORT CONNECTIONS``; prints how many it holds and keeps them until its
input closes.
"""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import time
from typing import IO, cast

from benchmarks.processes import LOAD_CORE, Running, pinned, resident

_REQUEST = b"GET /small HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_SPARE_FILES = 200
_TOGETHER = 50
_SETTLE = 1.0


def bytes_per_connection(proxy: Running, connections: int) -> tuple[float, int]:
    """Growth of resident memory per connection, and how many connections were really held."""
    before = resident(proxy.pid)
    command = pinned([sys.executable, "-m", "benchmarks.idle", str(proxy.port), str(connections)], str(LOAD_CORE))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        output, keep = cast("IO[str]", holder.stdout), cast("IO[str]", holder.stdin)
        held = int(output.readline() or 0)
        time.sleep(_SETTLE)
        grown = resident(proxy.pid) - before
        keep.close()
    return (grown / held if held else 0.0), held


def most_connections(wanted: int) -> int:
    """As many as the limit of open files allows, for a process that holds one side of them."""
    return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_FILES)


def _hold(port: int, connections: int) -> None:
    held: list[socket.socket] = []
    while len(held) < connections:
        batch = [socket.create_connection(("127.0.0.1", port)) for _ in range(min(_TOGETHER, connections - len(held)))]
        for client in batch:
            client.sendall(_REQUEST)
        for client in batch:
            client.settimeout(10)
            if not client.recv(4096).startswith(b"HTTP/1.1 200"):
                sys.exit("a connection got no good answer")
        held += batch
    print(len(held), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _hold(int(sys.argv[1]), int(sys.argv[2]))
