"""The admin address: health, readiness, metrics, status and orders, answered without asking any worker."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web
from msgspec import json

from gateway.control.connections import Connection, Server, problem
from gateway.control.orders import LARGEST, OrderRefused, Orders
from gateway.telemetry.collector import Exposition

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from gateway.control.supervision import ControlProcess

_INDEX: Final = """gateway
  /healthz     200 while the control process lives
  /readyz      200 when traffic should come here, else 503 with the reasons
  /metrics     Prometheus text, or OpenMetrics when asked for
  /v1/status   everything at a glance, as JSON
  /v1/decisions  the newest refusals with everything known at the time, as JSON
  /v1/breakers  the state of every breaker; POST sets one by hand
"""


class Admin:
    """Serves the admin pages of one control process. Only orders change anything, and they need a token."""

    def __init__(self, control: ControlProcess, token_file: str | None) -> None:
        self._control = control
        self._orders = Orders(token_file)
        self._exposition = Exposition(control.reading)
        self._encode = json.Encoder().encode
        self._pages: dict[str, Callable[[web.BaseRequest], web.Response]] = {
            "/": self._index,
            "/healthz": self._health,
            "/readyz": self._readiness,
            "/metrics": self._metrics,
            "/v1/status": self._status,
            "/v1/decisions": self._decisions,
            "/v1/breakers": self._breakers,
        }
        self._server: Server | None = None
        self._listening: list[asyncio.Server] = []

    async def start(self, sockets: list[socket.socket]) -> None:
        """Answer on these listening sockets."""
        self._server = Server(self._answer)
        loop = asyncio.get_running_loop()
        for listener in sockets:
            # A copy, because the loop closes what it is given.
            if listener.family.name == "AF_UNIX":
                self._listening.append(await loop.create_unix_server(self._server, sock=listener.dup()))
            else:
                self._listening.append(await loop.create_server(self._server, sock=listener.dup()))

    async def stop(self) -> None:
        """Stop answering."""
        for server in self._listening:
            server.close()
        if self._server is not None:
            await self._server.shutdown(1.0)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        page = self._pages.get(request.path)
        if page is None:
            return problem(HTTPStatus.NOT_FOUND)
        if request.path == "/v1/breakers" and request.method == "POST":
            return await self._set_breaker(request)
        if request.method not in {"GET", "HEAD"}:
            allow = "GET, HEAD, POST" if request.path == "/v1/breakers" else "GET, HEAD"
            return problem(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": allow})
        return page(request)

    def _index(self, _request: web.BaseRequest) -> web.Response:
        return _response(_INDEX.encode(), "text/plain; charset=utf-8")

    def _health(self, _request: web.BaseRequest) -> web.Response:
        return self._json({"status": "ok"})

    def _readiness(self, _request: web.BaseRequest) -> web.Response:
        reasons = self._control.not_ready()
        if reasons:
            return self._json({"status": "not ready", "reasons": reasons}, HTTPStatus.SERVICE_UNAVAILABLE)
        return self._json({"status": "ready", "reasons": reasons})

    def _metrics(self, request: web.BaseRequest) -> web.Response:
        kind, body = self._exposition.answer(request.headers.get("Accept", ""))
        return _response(body, kind)

    def _status(self, _request: web.BaseRequest) -> web.Response:
        return self._json(self._control.status())

    def _decisions(self, _request: web.BaseRequest) -> web.Response:
        return self._json({"decisions": self._control.decisions()})

    def _breakers(self, _request: web.BaseRequest) -> web.Response:
        return self._json({"breakers": self._control.breakers()})

    async def _set_breaker(self, request: web.BaseRequest) -> web.Response:
        try:
            body = await request.content.read(LARGEST + 1)
            order = self._orders.breaker(request.headers.get("Authorization", ""), body, self._control.endpoint_names())
        except OrderRefused as refusal:
            content = {"title": refusal.status.phrase, "status": refusal.status.value, "detail": refusal.detail}
            return _response(self._encode(content), "application/problem+json", refusal.status)
        self._control.set_breaker(order)
        return self._json({"accepted": order}, HTTPStatus.ACCEPTED)

    def _json(self, content: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
        return _response(self._encode(content), "application/json", status)


def _response(body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    fields = {
        "Content-Type": kind,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **Connection.SERVER,
    }
    return web.Response(body=body, status=status, headers=fields)
