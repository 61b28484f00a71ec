"""Signals as server-sent events: one event a look, for a bounded number of readers, none of whom is ever waited for.

What is sent is made once for all. A reader that has not taken the last event gets the newest when it has; one that
takes nothing for :data:`PATIENCE` seconds is dropped.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web
from msgspec import json

from gateway.control.connections import Connection, problem
from gateway.control.scaling.published import numbers
from gateway.signals.signals import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.control.scaling.target import Target

MOST: Final = 32
PATIENCE: Final = 5.0
HEARTBEAT: Final = 15.0
_RETRY: Final = b"retry: 2000\n\n"
_BUFFER: Final = 64 * 1024


class Stream:
    """The readers of ``/v1/signals/stream``."""

    def __init__(self, *, most: int = MOST, patience: float = PATIENCE) -> None:
        self.readers = 0
        self.dropped = 0
        self._most = most
        self._patience = patience
        self._event = b""
        self._number = 0
        self._news = asyncio.Event()
        self._is_closed = False

    def publish(self, targets: Mapping[str, Target]) -> None:
        """Make the event of this look, if anybody reads, and wake the readers."""
        self._number += 1
        if self.readers:
            content = {
                "schema": SCHEMA,
                "targets": {
                    name: {
                        "seq": target.signals.seq,
                        "age_ms": round(target.signals.signal_age_s * 1000),
                        "signals": numbers(target),
                    }
                    for name, target in targets.items()
                },
            }
            self._event = b"id: %d\nevent: signals\ndata: %b\n\n" % (self._number, json.encode(content))
        self._news.set()
        self._news = asyncio.Event()

    def close(self) -> None:
        """End every reader."""
        self._is_closed = True
        self._news.set()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send events until the reader leaves, is too slow, or the gateway ends."""
        if self.readers >= self._most:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "10"})
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", **Connection.SERVER}
        )
        connection = request.protocol
        if isinstance(connection, Connection):
            connection.hold()
        self.readers += 1
        try:
            await response.prepare(request)
            if request.transport is not None:
                request.transport.set_write_buffer_limits(high=_BUFFER)
            await self._send_all(response)
        except TimeoutError:
            self.dropped += 1
            if request.transport is not None:
                request.transport.abort()
        except ConnectionResetError:
            pass  # the reader has left
        finally:
            self.readers -= 1
        response.force_close()
        return response

    async def _send_all(self, response: web.StreamResponse) -> None:
        await self._send(response, _RETRY)
        while not self._is_closed:
            news = self._news
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await news.wait()
            except TimeoutError:
                await self._send(response, b": heartbeat\n\n")
                continue
            if not self._is_closed and self._event:
                await self._send(response, self._event)

    async def _send(self, response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(self._patience):
            await response.write(data)
