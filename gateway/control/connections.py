"""How the admin address treats whoever connects: aiohttp's server with bounds and without its words.

aiohttp lets a client that never finishes its first request stay for ever, puts what a client sent wrong
into its error pages and its own version into every answer. Here a connection has 10 seconds for each
request, there are at most 256, of which the oldest idle one goes when another comes (so slow strangers
cannot shut out the operator), and errors are problem+json without any input.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final

from aiohttp import web
from msgspec import json

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUEST_TIMEOUT: Final = 10.0
_CONNECTIONS: Final = 256
_SILENT: Final = logging.getLogger("gateway.control.access")
_SILENT.disabled = True


class Server(web.Server):
    """Makes bounded connections that ask one handler."""

    def __init__(self, handler: Any) -> None:  # noqa: ANN401 - aiohttp does not export the handler's type
        super().__init__(handler)
        self.waiting: dict[Connection, None] = {}

    def __call__(self) -> Connection:
        """Make the protocol of a new connection; the one that has waited longest goes when there are too many."""
        if len(self.connections) >= _CONNECTIONS and self.waiting:
            next(iter(self.waiting)).force_close()
        return Connection(self)


class Connection(web.RequestHandler):
    """One connection to the admin address."""

    SERVER: ClassVar[dict[str, str]] = {"Server": "gateway"}
    __slots__ = ("_bound", "_server")

    def __init__(self, server: Server) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            access_log=_SILENT,
            keepalive_timeout=_REQUEST_TIMEOUT,
            lingering_time=1.0,
            max_line_size=4096,
            max_field_size=4096,
        )
        self._server = server
        self._bound: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give it its time."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget it."""
        self._stop_waiting()
        super().connection_lost(exc)

    def hold(self) -> None:
        """Take as long as it likes from now on: its answer is a stream."""
        self._stop_waiting()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Give it its time again after each answer."""
        self._stop_waiting()
        done = await super().finish_response(request, resp, start_time)
        self._wait()
        return done

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - may quote what the client sent
    ) -> web.StreamResponse:
        """Answer a request that cannot be read (400) or that we failed on (500), and close."""
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.log_exception("the admin address failed", exc_info=exc)
        response = problem(HTTPStatus(status))
        response.force_close()
        return response

    def _wait(self) -> None:
        if self.transport is not None:
            self._server.waiting[self] = None
            self._bound = asyncio.get_running_loop().call_later(_REQUEST_TIMEOUT, self.force_close)

    def _stop_waiting(self) -> None:
        self._server.waiting.pop(self, None)
        if self._bound is not None:
            self._bound.cancel()
            self._bound = None


def problem(status: HTTPStatus, fields: Mapping[str, str] | None = None) -> web.Response:
    """An error without a word of the request in it (RFC 9457)."""
    body = json.encode({"title": status.phrase, "status": status.value})
    kind = {"Content-Type": "application/problem+json", "Cache-Control": "no-store", **Connection.SERVER}
    return web.Response(body=body, status=status, headers={**kind, **(fields or {})})
