"""The servers behind the proxies: nginx for answers of any size, a sink for uploads.

The sink is run as ``python -m benchmarks.origin PORT``. nginx cannot play it: it answers a ``return``
before the body has arrived, so a proxy would be measured on how fast it gives up.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, cast

import uvloop

from benchmarks.processes import ORIGIN_CORE, Running, free_port, running

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

SMALL = b"thirty-three bytes of plain text\n"
BODIES = {"64k": 64 * 1024, "10m": 10 * 1024 * 1024}
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 33\r\n\r\n" + SMALL


def start_origin(directory: Path) -> AbstractContextManager[Running]:
    """Run nginx on the origin's core: ``/small`` is 33 bytes, ``/64k`` and ``/10m`` are files in memory."""
    home = directory / "origin"
    home.mkdir(parents=True)
    for name, size in BODIES.items():
        (home / name).write_bytes(b"x" * size)
    port = free_port()
    config = home / "nginx.conf"
    config.write_text(
        f"""
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {home}/pid;
error_log {home}/error.log error;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi;
  scgi_temp_path {home}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  sendfile on;
  default_type text/plain;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /small {{ return 200 "{SMALL.decode().rstrip()}\\n"; }}
    location / {{ root {home}; }}
  }}
}}
""",
    )
    command = ["nginx", "-p", str(home), "-c", str(config), "-e", str(home / "error.log")]
    return running(command, cores=str(ORIGIN_CORE), port=port, log=home / "log")


def start_sink(directory: Path) -> AbstractContextManager[Running]:
    """Run the sink on the origin's core: it reads a whole request of any size and answers 33 bytes."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.origin", str(port)]
    return running(command, cores=str(ORIGIN_CORE), port=port, log=directory / "sink.log")


class _Sink(asyncio.BufferedProtocol):
    """Counts body bytes down without looking at them; understands Content-Length and chunked."""

    def __init__(self) -> None:
        self._buffer = bytearray(2**18)
        self._view = memoryview(self._buffer)
        self._head = b""
        self._left = 0
        self._chunked = False
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        if self._left > nbytes:
            self._left -= nbytes
            return
        self._take(bytes(self._view[:nbytes]))

    def _take(self, data: bytes) -> None:
        if self._chunked:
            # Good enough for a load whose bodies never contain the last chunk's bytes.
            self._tail = (self._tail + data)[-5:]
            if self._tail == b"0\r\n\r\n":
                self._chunked, self._tail = False, b""
                self._transport.write(_ANSWER)
            return
        if self._left:
            rest, self._left = data[self._left :], 0
            self._transport.write(_ANSWER)
            data = rest
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        head, body = self._head[:end].lower(), self._head[end + 4 :]
        self._head = b""
        if b"\r\ntransfer-encoding:" in head:
            self._chunked = True
            self._take(body)
            return
        _, found, rest = head.partition(b"\r\ncontent-length:")
        self._left = int(rest.split(b"\r\n", 1)[0]) if found else 0
        if len(body) < self._left:
            self._left -= len(body)
        else:
            self._left = 0
            self._transport.write(_ANSWER)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Sink, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
