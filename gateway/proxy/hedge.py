"""A second attempt beside the first, at another endpoint; whoever begins to answer first carries the request on."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from gateway.core.outcome import Outcome
from gateway.proxy.aside import Aside
from gateway.proxy.outcomes import outcome_of

if TYPE_CHECKING:
    from gateway.core.errors import UpstreamFailed
    from gateway.http.heads import ResponseHead
    from gateway.http.upstream import UpstreamConnection
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.plane import DataPlane

_SERVER_ERROR: Final = 500


class Hedge(Aside):
    """Waits ``delay`` seconds, then asks another endpoint the same.

    It hears its own connection. With the response head it steps aside: the exchange takes the connection over, or the
    hedge has lost and its connection is broken off. A hedge that fails does so in silence while the first is under way.
    """

    __slots__ = ("_exchange", "_timer")

    def __init__(self, plane: DataPlane, exchange: Exchange, delay: float) -> None:
        super().__init__(plane, exchange.page)
        self._exchange: Exchange | None = exchange
        # not on the wheel: a hedge that is 20 ms late is one that need not come
        self._timer = plane.call_later(delay, self._begin) if delay < inf else None

    @property
    def is_under_way(self) -> bool:
        """Whether the second attempt was begun and has not ended."""
        return self.endpoint is not None

    def _begin(self) -> None:
        """The first attempt is late: begin another, if there is somebody to ask and the budget allows."""
        now = self._plane.clock.now()
        exchange = self._exchange
        if exchange is None:
            return
        endpoint = exchange.hedge_endpoint(now)
        if endpoint is not None:
            self._ask(endpoint, now)

    def _send(self, connection: UpstreamConnection, now: float) -> None:
        exchange = self._exchange
        endpoint = self.endpoint
        if exchange is None or endpoint is None:
            connection.abort()
            return
        self.connection = connection
        exchange.send_hedge(self, connection, endpoint, now)

    def cancel(self) -> None:
        """The first attempt has answered, or the request is over."""
        if self._timer is not None:
            self._timer.cancel()
        self._exchange = None
        self._end(Outcome.NEUTRAL)

    def _end(self, outcome: Outcome) -> None:
        now = self._plane.clock.now()
        endpoint = self._release(outcome, now)
        if endpoint is None:
            return
        endpoint.learn(outcome, now - self._began_at, now)
        if self._exchange is not None:
            self._exchange.on_hedge_failed(outcome)

    def _take_over(self) -> tuple[Exchange, UpstreamConnection] | None:
        """Make the exchange's attempt ours."""
        exchange, connection, endpoint = self._exchange, self.connection, self.endpoint
        if exchange is None or connection is None or endpoint is None:
            return None
        self._exchange = None
        self.connection = None
        self.endpoint = None
        exchange.adopt(connection, endpoint, self._token, self._began_at)
        return exchange, connection

    # --- its connection tells --------------------------------------------------------------------

    def on_response(self, head: ResponseHead, payload: bytes, now: float, *, is_complete: bool) -> None:
        """The hedge answers first; unless it answers that it cannot."""
        if head.status >= _SERVER_ERROR:
            if is_complete:
                self.connection = None  # it may serve somebody else already
            self._end(Outcome.FAILURE)
            return
        found = self._take_over()
        if found is not None:
            found[0].on_response(head, payload, now, is_complete=is_complete)

    def on_response_body(self, payload: bytes, now: float, *, is_complete: bool) -> None:
        """Nothing: with the head the exchange took over."""

    def on_upstream_failed(self, error: UpstreamFailed, *, is_first_byte_missing: bool) -> None:
        """The hedge failed."""
        del is_first_byte_missing
        self.connection = None
        self._end(outcome_of(0, error.reason))
