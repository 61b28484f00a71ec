"""What all client connections of a data plane share, and which of them are open."""

from __future__ import annotations

from email.utils import formatdate
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

from gateway.core.errors import Shed
from gateway.http.codec import RequestHeads
from gateway.http.departures import Departures
from gateway.http.forwarded import Trust
from gateway.http.recent import Recent

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.core.clock import Clock
    from gateway.core.deadlines import DeadlineWheel
    from gateway.core.errors import GatewayError
    from gateway.core.ids import RequestIds
    from gateway.core.ledger import Table
    from gateway.http.downstream import ClientConnection
    from gateway.http.heads import RequestHead
    from gateway.http.settings import ClientIp, Limits, Timeouts


_LOOK_FOR_LEAVERS: Final = 0.1


class ByteCounts(Protocol):
    """Where a connection counts what passes it."""

    accepted: int
    client_in: int
    client_out: int


class Door:
    """What all client connections of a data plane share: limits, timeouts, the head parser, the wheel.

    In ``clients`` every worker says how many connections each client has there, so that a limit on them is one for the
    whole gateway; workers that let a client in at the same instant do not see one another, so one more for each other
    worker may come in.
    """

    __slots__ = (
        "_clients",
        "_date",
        "_date_second",
        "_keys",
        "_leavers",
        "_looked_for_leavers_at",
        "_per_client",
        "begin",
        "body_limit",
        "client_ip",
        "clock",
        "connections",
        "counts",
        "departures",
        "heads",
        "ids",
        "is_draining",
        "keepalive",
        "keeps_alive",
        "limits",
        "loop",
        "max_connections",
        "pseudonym",
        "pseudonym_bytes",
        "recent",
        "report",
        "scheme",
        "timeouts",
        "trust",
        "wheel",
    )

    def __init__(  # noqa: PLR0913 - one place where they meet
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        wheel: DeadlineWheel,
        limits: Limits,
        timeouts: Timeouts,
        client_ip: ClientIp,
        max_connections: int,
        pseudonym: str,
        scheme: str,
        counts: ByteCounts,
        ids: RequestIds,
        clients: Table | None = None,
        begin: Callable[[ClientConnection, RequestHead, float], None],
        report: Callable[[ClientConnection, GatewayError, bytes, bytes], None],
    ) -> None:
        self.loop = loop
        self.clock = clock
        self.wheel = wheel
        self.limits = limits
        self.body_limit = int(limits.body)
        self.timeouts = timeouts
        self.keepalive = float(timeouts.keepalive)
        self.trust = Trust(client_ip)
        self.max_connections = max_connections
        self.pseudonym = pseudonym
        self.pseudonym_bytes = pseudonym.encode("ascii")
        self.scheme = scheme
        self.counts = counts
        self.ids = ids
        self.begin = begin
        self.report = report
        self.heads = RequestHeads(loop, limit=limits.head, max_headers=limits.headers, max_target=limits.target)
        self.recent: Recent[RequestHead] = Recent()
        self.connections: set[ClientConnection] = set()
        self.departures = Departures()
        self.is_draining = False
        self.keeps_alive = True
        self._per_client: dict[str, int] = {}
        self._keys: dict[ClientConnection, str] = {}
        self._clients = clients
        if clients is not None:
            clients.clear()  # the connections of a predecessor went with it
        self._date = b""
        self._date_second = -1
        self._leavers: list[tuple[float, ClientConnection]] = []
        self._looked_for_leavers_at = -inf

    def enter(self, connection: ClientConnection) -> Shed | None:
        """Note an open connection; says why it may not stay."""
        self.connections.add(connection)
        self.counts.accepted += 1
        if len(self.connections) > self.max_connections and not self._make_room():
            return Shed("connection_limit", f"{self.max_connections} connections are open")
        limit = self.limits.connections_per_client
        if limit and not connection.is_trusted:
            key = self.trust.key(connection.peer)
            if self._open_of(key) >= limit:
                return Shed("client_connection_limit", f"{limit} connections are open")
            self._keys[connection] = key
            self._count(key, self._per_client.get(key, 0) + 1)
        return None

    def leave(self, connection: ClientConnection) -> None:
        """Forget a closed connection."""
        self.connections.discard(connection)
        key = self._keys.pop(connection, "")
        if key:  # who was turned away was not counted
            self._count(key, self._per_client.get(key, 0) - 1)

    def _open_of(self, key: str) -> int:
        """How many connections a client has at all workers."""
        here = self._per_client.get(key, 0)
        if self._clients is None:
            return here
        own, total, _ = self._clients.find(*self._clients.place(key))
        return int(total) if own >= 0 else here + int(total)

    def _count(self, key: str, count: int) -> None:
        """Set the number of a client's connections here; the other workers see it as long as the table has room."""
        before = self._per_client.pop(key, 0)
        if count > 0:
            self._per_client[key] = count
        if self._clients is None:
            return
        base, mark = self._clients.place(key)
        own = self._clients.find(base, mark)[0]
        if own < 0 and count > 0:
            own, before = self._clients.claim(base, mark), 0
        if own >= 0:
            self._clients.add(own, max(count, 0) - before)
            if count <= 0:
                self._clients.free(own)

    def _make_room(self) -> bool:
        """Close the connection that was idle longest between two requests; False when there is none.

        All of them are sorted at once and serve as many newcomers; one that was used meanwhile has another deadline.
        A connection on which no request came yet is as good as the newcomer, and stays.
        """
        leavers = self._leavers
        for is_fresh in (False, True):
            while leavers:
                deadline, connection = leavers.pop()
                if connection.is_idle and connection.deadline == deadline:
                    connection.close_if_idle()
                    return True
            now = self.clock.now()
            if is_fresh or now < self._looked_for_leavers_at + _LOOK_FOR_LEAVERS:
                break
            self._looked_for_leavers_at = now
            leavers = self._leavers = [pair for pair in self._idle() if pair[1].is_kept]
        return False

    def _idle(self) -> list[tuple[float, ClientConnection]]:
        """The connections between requests, the one that was idle longest last."""
        idle = [(connection.deadline, connection) for connection in self.connections if connection.is_idle]
        idle.sort(key=lambda pair: pair[0], reverse=True)
        return idle

    def close_idle(self, most: int) -> None:
        """Close up to this many connections between requests, those that were idle longest first."""
        for _, connection in self._idle()[::-1][:most]:
            connection.close_if_idle()

    def date(self) -> bytes:
        """The present Date field value, made once a second."""
        second = int(self.clock.wall())
        if second != self._date_second:
            self._date_second = second
            self._date = formatdate(second, usegmt=True).encode("ascii")
        return self._date
