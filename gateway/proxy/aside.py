"""An attempt beside the one that a client waits for: a hedge, or a copy for an endpoint on trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.errors import UpstreamFailed
from gateway.core.outcome import Outcome
from gateway.proxy.outcomes import outcome_of

if TYPE_CHECKING:
    import asyncio

    from gateway.http.heads import ResponseHead
    from gateway.http.upstream import UpstreamConnection
    from gateway.proxy.plane import DataPlane
    from gateway.resilience.page import Page
    from gateway.upstream.endpoint import Endpoint


class Aside:
    """A request without a body at one endpoint, heard by itself and not by an exchange.

    What it holds is given back once, in :meth:`_release`: its place at the endpoint, its breaker's token and its
    connection. ``endpoint`` and ``connection`` are None when it has none.
    """

    __slots__ = ("_began_at", "_connecting", "_page", "_plane", "_token", "connection", "endpoint")

    def __init__(self, plane: DataPlane, page: Page) -> None:
        self._plane = plane
        self._page = page
        self._connecting: asyncio.Task[None] | None = None
        self._began_at = 0.0
        self._token = 0
        self.connection: UpstreamConnection | None = None
        self.endpoint: Endpoint | None = None

    def _ask(self, endpoint: Endpoint, now: float) -> None:
        """Take a place at the endpoint, and a connection, kept or new."""
        endpoint.in_flight += 1
        self._token = endpoint.breaker.acquire(now, self._page)
        self.endpoint = endpoint
        self._began_at = now
        connection = endpoint.take_idle()
        if connection is not None:
            self._send(connection, now)
        else:
            self._connecting = self._plane.start_task(self._connect(endpoint))

    async def _connect(self, endpoint: Endpoint) -> None:
        try:
            connection = await endpoint.connect()
        except UpstreamFailed as error:
            self._connecting = None
            self._end(outcome_of(0, error.reason))
        except Exception:
            self._connecting = None
            self._end(Outcome.NEUTRAL)
            raise
        else:
            self._connecting = None
            self._send(connection, self._plane.clock.now())

    def _send(self, connection: UpstreamConnection, now: float) -> None:
        """Write the request, or abort the connection when nobody wants it any more."""
        raise NotImplementedError

    def _end(self, outcome: Outcome) -> None:
        """It has come to an end; no effect when it had before."""
        raise NotImplementedError

    def _release(self, outcome: Outcome, now: float) -> Endpoint | None:
        """Give back what is held; the endpoint, or None when nothing was held."""
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abort()
        endpoint, self.endpoint = self.endpoint, None
        if endpoint is not None:
            endpoint.in_flight -= 1
            endpoint.breaker.report(self._token, outcome, now - self._began_at, now)
        return endpoint

    # --- its connection tells --------------------------------------------------------------------

    def on_interim(self, head: ResponseHead) -> None:
        """Nobody waits for an interim response."""

    def on_switched(self, head: ResponseHead, ahead: bytes) -> None:
        """Nobody asked for a tunnel."""
        del head, ahead
        self._end(Outcome.FAILURE)

    def on_endpoint_lost(self) -> None:
        """Its endpoint is given up, and so is this."""
        self._end(Outcome.NEUTRAL)

    def stuck_for(self, now: float) -> float:
        """Never: whoever began it bounds its time."""
        del now
        return 0.0

    def on_upstream_paused(self) -> None:
        """Nothing: there is no body to send."""

    def on_upstream_resumed(self) -> None:
        """Nothing: there is no body to send."""

    def on_upstream_bytes(self, data: bytes) -> None:
        """Nothing: there is no tunnel."""

    def on_upstream_eof(self) -> None:
        """Nothing: there is no tunnel."""
