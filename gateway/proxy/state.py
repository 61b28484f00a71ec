"""All that is known of one request while it is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from gateway.core.errors import GatewayError
    from gateway.http.downstream import ClientConnection
    from gateway.http.heads import RequestHead
    from gateway.http.spool import Spool
    from gateway.http.upstream import UpstreamConnection
    from gateway.proxy.hedge import Hedge
    from gateway.proxy.place import Place
    from gateway.proxy.plane import DataPlane
    from gateway.proxy.rule import RouteRule
    from gateway.proxy.waiting import Waiting
    from gateway.resilience.retry import Repeats
    from gateway.resilience.route import Passes
    from gateway.upstream.endpoint import Endpoint


class RequestState:
    """One flat object, because making several for each request costs more than anything else here.

    What may be done with it is in the classes above, each with its own part of the way: how it comes in
    (:class:`~gateway.proxy.entrance.Entrance`), where it is sent (:class:`~gateway.proxy.attempts.Attempts`), what is
    relayed (:class:`~gateway.proxy.exchange.Exchange`), how it ends (:class:`~gateway.proxy.ending.Ending`).

    ``status`` is 0 until a final response head has gone to the client; after that no attempt follows.
    """

    __slots__ = (
        "_admitted_at",
        "_answered_at",
        "_attempt_at",
        "_attempt_n",
        "_attempts",
        "_awaits_body",
        "_bytes_in",
        "_bytes_out",
        "_client",
        "_connecting",
        "_connection",
        "_dispatched_at",
        "_early",
        "_early_size",
        "_endpoint",
        "_group_token",
        "_has_body",
        "_head",
        "_hedge",
        "_in_flight_then",
        "_is_body_lost",
        "_is_chunked",
        "_is_finished",
        "_is_kept",
        "_is_late",
        "_is_request_done",
        "_is_spool_sent",
        "_is_stream",
        "_last_endpoint",
        "_passes",
        "_pause",
        "_place",
        "_plane",
        "_rate_keys",
        "_repeats",
        "_rule",
        "_spool",
        "_started_at",
        "_status",
        "_ticket",
        "_token",
        "_tried",
        "_tunnel_ends",
        "_was_held_up",
        "is_answered",
        "request_id",
    )

    def __init__(self, plane: DataPlane, client: ClientConnection, head: RequestHead, started_at: float) -> None:
        self._plane = plane
        self._started_at = started_at
        self._client = client
        self._head = head
        self.request_id = head.request_id or plane.ids.next()
        self._rule: RouteRule = None  # type: ignore[assignment]  # set before anything is sent; asked for where it may be missing
        self._endpoint: Endpoint | None = None
        self._last_endpoint: Endpoint | None = None
        self._connection: UpstreamConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._token = 0
        self._group_token = 0
        self._passes: Passes = ()
        self._tried: tuple[Endpoint, ...] = ()
        self._repeats: Repeats | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._place: Place | None = None
        self._hedge: Hedge | None = None
        self._early: list[bytes] | None = None
        self._early_size = 0
        self._spool: Spool | None = None
        self._is_spool_sent = False
        self._awaits_body = False
        self._is_request_done = not head.length
        self._has_body = not self._is_request_done
        self._is_body_lost = False
        self._is_finished = False
        self.is_answered = False  # with a whole response
        self._is_late = False
        self._status = 0
        self._attempts = 0
        self._answered_at = 0.0
        self._dispatched_at = -1.0
        self._attempt_at = 0.0
        self._attempt_n = 0
        self._admitted_at = -1.0
        self._in_flight_then = 0
        self._ticket: Waiting | None = None
        self._rate_keys: list[str] | None = None
        self._is_chunked = False
        self._is_stream = False
        self._was_held_up = False  # by its client
        self._is_kept = True
        self._bytes_in = 0
        self._bytes_out = 0
        self._tunnel_ends = 0

    def _refuse(self, error: GatewayError) -> None:
        """Tell the client that no attempt was good."""
        raise NotImplementedError

    def _finish(self, status: int, reason: str = "", now: float = 0.0, detail: str = "") -> None:
        """The request is over."""
        raise NotImplementedError
