"""A service with a fixed number of slots and a fixed service time; what finds no slot waits in it, first come.

``scaling_live_service.py --fd N --slots 4 --seconds 0.05 --boot 3``: listens on the descriptor after ``--boot``
seconds. Knows only the standard library, so that many of them boot quickly and cheaply.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket


class Service:
    """Answers every request line after its time in a slot."""

    def __init__(self, slots: int, seconds: float) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._seconds = seconds

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if not head.startswith(b"GET /healthz "):
                    async with self._slots:
                        await asyncio.sleep(self._seconds)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _run(options: argparse.Namespace) -> None:
    service = Service(options.slots, options.seconds)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.sleep(options.boot)
    server = await asyncio.start_server(service.serve, sock=socket.socket(fileno=options.fd))
    await stop.wait()
    server.close()


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="scaling_live_service.py", description=__doc__)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.05)
    parser.add_argument("--boot", type=float, default=3.0, help="seconds before it listens")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
