"""The admin address: health, readiness, metrics, status and orders, answered without asking any worker.

A page in a browser can ask this address under a name of its author's choice (DNS rebinding), and read the answers as
its own. So the Host must be a name that no stranger can own: see :mod:`gateway.control.hosts`.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from gateway.control.answers import answer, as_json, refused
from gateway.control.connections import Server, problem
from gateway.control.hosts import Hosts
from gateway.control.orders import LARGEST, OrderRefused, Orders, read_breaker_order
from gateway.control.scaling.orders import read_order
from gateway.control.scaling.pages import DECISIONS, TARGETS, ScalingPages
from gateway.telemetry.exposition import Exposition

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from aiohttp import web

    from gateway.config.settings import Admin as AdminSettings
    from gateway.control.supervision import ControlProcess
    from gateway.core.clock import Clock

_STREAM: Final = "/v1/signals/stream"
_METRICS: Final = "/metrics"
_INDEX: Final = """gateway
  /healthz     200 while the control process lives
  /readyz      200 when anything can be served, else 503 with the reasons; what can, by upstream
  /metrics     Prometheus text, or OpenMetrics when asked for
  /v1/status   everything at a glance, as JSON
  /v1/decisions  the newest refusals and scaling decisions with everything known at the time; /ID for one of the latter
  /v1/breakers  the state of every breaker; POST sets one by hand
  /v1/signals  the demand at every upstream, in numbers; /UPSTREAM for one, /stream for server-sent events
  /queue       requests present and asked for, as KEDA's http-add-on wants them
  POST /v1/scaling  pins, modes and other orders about replicas
"""


class Admin:
    """Serves the admin pages of one control process. Only orders change anything, and they need a token."""

    def __init__(self, control: ControlProcess, settings: AdminSettings, clock: Clock) -> None:
        self._control = control
        self._orders = Orders(settings.token_file)
        self._hosts = Hosts(settings.hosts, settings.listen)
        self._exposition = Exposition(control.reading, control.settle, control.shown)
        self._scaling = ScalingPages(lambda: control.scaling, clock)
        self._pages: dict[str, Callable[[web.BaseRequest], web.Response]] = {
            "/": self._index,
            "/healthz": self._health,
            "/readyz": self._readiness,
            "/v1/status": self._status,
            "/v1/decisions": self._decisions,
            "/v1/breakers": self._breakers,
            "/v1/signals": self._scaling.signals,
            "/queue": self._scaling.queue,
        }
        self._below: dict[str, Callable[[web.BaseRequest], web.Response]] = {
            TARGETS: self._scaling.target,
            DECISIONS: self._scaling.decision,
        }
        self._by_order: dict[str, Callable[[bytes], object]] = {
            "/v1/breakers": self._set_breaker,
            "/v1/scaling": self._order_scaling,
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

    def _refusal(self, request: web.BaseRequest) -> web.Response | None:
        """Why the request is not looked at, whatever it asks for."""
        if request.version[0] != 1:  # HTTP/0.9 has no fields to judge it by, and HTTP/2 does not begin like this
            return problem(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, {"Connection": "close"})
        if not all(map(self._hosts.allow, {request.host, *request.headers.getall("Host", ())})):
            return refused(OrderRefused(HTTPStatus.MISDIRECTED_REQUEST, "this name is not in admin.hosts"))
        return None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        path, method = request.path, request.method
        order = self._by_order.get(path)
        if order is not None and method == "POST":
            return await self._obey(request, order)
        page = self._page(path)
        allowed = ("GET, HEAD",) * (page is not None or path in {_STREAM, _METRICS}) + ("POST",) * (order is not None)
        if not allowed:
            return problem(HTTPStatus.NOT_FOUND)
        if method not in {"GET", "HEAD"} or "GET, HEAD" not in allowed:
            return problem(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": ", ".join(allowed)})
        if path == _METRICS:
            return await self._metrics(request)
        return await self._control.scaling.stream.answer(request) if page is None else page(request)

    def _page(self, path: str) -> Callable[[web.BaseRequest], web.Response] | None:
        if path in {_STREAM, _METRICS}:
            return None
        below = (page for prefix, page in self._below.items() if path.startswith(prefix))
        return self._pages.get(path) or next(below, None)

    def _index(self, _request: web.BaseRequest) -> web.Response:
        return answer(_INDEX.encode(), "text/plain; charset=utf-8")

    def _health(self, _request: web.BaseRequest) -> web.Response:
        return as_json({"status": "ok"})

    def _readiness(self, _request: web.BaseRequest) -> web.Response:
        upstreams = self._control.upstreams()
        reasons = self._control.not_ready(upstreams)
        content = {
            "status": "not ready" if reasons else "ready",
            "reasons": reasons,
            "remarks": [one for one in self._control.remarks(upstreams) if one not in reasons],
            "upstreams": upstreams,
        }
        return as_json(content, HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK)

    async def _metrics(self, request: web.BaseRequest) -> web.Response:
        scrape = self._exposition.scrape(request.headers.get("Accept", ""))
        for _ in scrape.steps():
            await asyncio.sleep(0)  # there are other things to do, and thousands of series
        kind, body = scrape.answer()
        return answer(body, kind)

    def _status(self, _request: web.BaseRequest) -> web.Response:
        return as_json(self._control.status())

    def _decisions(self, _request: web.BaseRequest) -> web.Response:
        return as_json({"decisions": self._control.decisions(), "scaling": self._scaling.decisions()})

    def _breakers(self, _request: web.BaseRequest) -> web.Response:
        return as_json({"breakers": self._control.breakers()})

    async def _obey(self, request: web.BaseRequest, order: Callable[[bytes], object]) -> web.Response:
        try:
            self._orders.authorize(request.headers.get("Authorization", ""))
            accepted = order(await _body(request))
        except OrderRefused as refusal:
            return refused(refusal)
        return as_json({"accepted": accepted}, HTTPStatus.ACCEPTED)

    def _set_breaker(self, body: bytes) -> object:
        order = read_breaker_order(body, self._control.endpoint_names())
        self._control.set_breaker(order)
        return order

    def _order_scaling(self, body: bytes) -> object:
        order = read_order(body, self._control.scaling.targets)
        self._control.order_scaling(order)
        return order


async def _body(request: web.BaseRequest) -> bytes:
    """The whole body, in however many pieces it comes; of one that is too large so much that it can be seen."""
    body = b""
    while len(body) <= LARGEST and (piece := await request.content.readany()):
        body += piece
    return body
