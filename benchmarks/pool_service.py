"""A small HTTP service that keeps a log of its own: which request it began and which it finished, by process.

At SIGTERM it takes no more connections, finishes what it has, and goes; or, with ``--rude``, it drops everything at
once, so that only whoever sends the signal can see to it that nothing is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from pathlib import Path


class Service:
    """Answers after ``?ms=`` milliseconds; ``log`` is a descriptor that is only appended to."""

    def __init__(self, log: int) -> None:
        self._log = log
        self._busy = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._idle: set[asyncio.StreamWriter] = set()
        self.is_ending = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._writers.add(writer)
        try:
            while not self.is_ending:
                self._idle.add(writer)
                head = await reader.readuntil(b"\r\n\r\n")
                self._idle.discard(writer)
                await self._answer(head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._idle.discard(writer)
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *lines = head.decode("latin-1").split("\r\n")
        fields = dict(one.lower().split(": ", 1) for one in lines if one)
        body = await reader.readexactly(int(fields.get("content-length", "0")))
        path, _, query = line.split(" ")[1].partition("?")
        number = path.removeprefix("/id/")
        if number != path:
            self._note("begin", number)
        await asyncio.sleep(float(query.removeprefix("ms=") or 0) / 1000)
        text = f"{os.getpid()} {number} {len(body)}".encode()
        if number != path:
            self._note("end", number)
        close = b"Connection: close\r\n" if self.is_ending else b""
        writer.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (close, len(text), text))
        await writer.drain()

    def _note(self, event: str, number: str) -> None:
        os.write(self._log, f"{event} {os.getpid()} {number}\n".encode())

    async def end(self) -> None:
        """Close what is idle, wait for the rest."""
        self.is_ending = True
        for writer in list(self._idle):
            writer.close()
        while self._writers:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(0.01)


async def _run(options: argparse.Namespace) -> None:
    log = os.open(options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    service = Service(log)
    stop = asyncio.Event()
    if not options.rude:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.sleep(options.boot)
    if options.socket:
        server = await asyncio.start_unix_server(service.serve, options.socket)
    elif options.fd is not None:
        server = await asyncio.start_server(service.serve, sock=socket.socket(fileno=options.fd))
    else:
        server = await asyncio.start_server(service.serve, "127.0.0.1", options.port)
    await stop.wait()
    server.close()
    await service.end()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="pool_service.py", description=__doc__)
    parser.add_argument("--port", type=int)
    parser.add_argument("--fd", type=int)
    parser.add_argument("--socket")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--boot", type=float, default=0.0, help="seconds before it listens")
    parser.add_argument("--rude", action="store_true", help="end at once at SIGTERM")
    parser.add_argument("--broken", choices=("ends", "deaf"), help="how it fails to become ready")
    options = parser.parse_args()
    if options.broken == "ends":
        sys.exit(1)
    if options.broken == "deaf":
        signal.pause()
    asyncio.run(_run(options))


if __name__ == "__main__":
    main()
