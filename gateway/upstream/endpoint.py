"""One endpoint: its address, its idle connections, what is in flight on it, and what is thought of it."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gateway.core.errors import UpstreamFailed
from gateway.http.secure import connect_tls
from gateway.http.upstream import UpstreamConnection
from gateway.http.why import UNREACHED, errno_of, tells_more, why
from gateway.resilience.outlier import Standing
from gateway.upstream.address import parse_address
from gateway.upstream.load_report import read_report

if TYPE_CHECKING:
    from gateway.core.outcome import Outcome
    from gateway.http.line import Line
    from gateway.resilience.breaker import Breaker
    from gateway.upstream.rotation import Place
    from gateway.upstream.settings import Connections
    from gateway.upstream.tls import ClientTls


class Failure(NamedTuple):
    """What went wrong last: a reason word, what was seen, and when."""

    reason: str
    detail: str
    at: float


class Limit(Protocol):
    """How many attempts may be in flight at one endpoint."""

    @property
    def value(self) -> int:
        """The limit of this moment."""


class Endpoint:
    """Keeps connections alive and makes new ones; the idle one that was used last is taken first.

    ``is_in`` while it is in rotation.

    ``in_flight`` counts attempts, ``streams`` those of them that gave their place in the limit back, ``connecting``
    connections being made. ``part`` of the weight is in force (``share`` = weight × part), ``cost`` is what a choice is
    made by: slowness × penalty ÷ weight.
    """

    __slots__ = (
        "_hosts",
        "_idle",
        "_idle_timeout",
        "_is_gone",
        "_line",
        "_log_best",
        "_max_idle",
        "_misnamed",
        "_open",
        "_report",
        "_reported",
        "_served_before",
        "_server_name",
        "_timeout",
        "_tls",
        "address",
        "authority",
        "breaker",
        "connecting",
        "cost",
        "failure",
        "has_peers",
        "in_flight",
        "is_in",
        "limit",
        "part",
        "place",
        "share",
        "standing",
        "streams",
        "url",
        "weight",
    )

    def __init__(  # noqa: PLR0913 - one place where they meet
        self,
        url: str,
        weight: float,
        *,
        line: Line,
        settings: Connections,
        connect_timeout: float,
        breaker: Breaker,
        place: Place,
        tls: ClientTls,
        host: str | None = None,
        limit: Limit | None = None,
    ) -> None:
        self.url = url
        self.weight = weight
        self.part = 1.0
        self.share = weight
        self.cost = 1.0 / weight
        self.has_peers = False
        self._log_best = 0.0
        self.breaker = breaker
        self.place = place
        self.limit = limit
        self.standing = Standing()
        self.address = parse_address(url)
        self._hosts = self.address.hosts
        self._server_name = ""
        self.authority = ""
        self._misnamed: set[UpstreamConnection] = set()
        self._idle: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()
        self.set_host(host)
        self.in_flight = 0
        self.streams = 0
        self.is_in = False
        self.connecting = 0
        self.failure: Failure | None = None
        self._line = line
        self._max_idle = settings.max_idle
        self._idle_timeout = float(settings.idle_timeout)
        self._timeout = connect_timeout
        self._tls = tls if self.address.scheme == "https" else None
        self._served_before = 0
        self._report = b""
        self._reported: dict[str, float] = {}
        self._is_gone = False

    def set_host(self, host: str | None) -> None:
        """From now on its name, in TLS and in a Host field of ours, is this; None = its address.

        Connections that were verified under another name close, busy ones when their request is done.
        """
        name = host or self.address.host
        if name == self._server_name:
            return
        self._server_name = name
        self.authority = self.address._replace(host=host).authority if host else self.address.authority
        if self.address.scheme == "https":
            self._misnamed |= self._open
            for connection in list(self._idle):
                connection.abort()
            self._idle.clear()

    def learn(self, outcome: Outcome, seconds: float, now: float, total: float = -1.0) -> None:
        """An attempt has ended, and there are peers to compare with.

        The answer came after ``seconds``, or was waited for so long in vain; it was complete after ``total``, below 0
        when it never was.
        """
        standing = self.standing
        standing.note(outcome, seconds, now, total)
        self.cost = standing.slowness(self._log_best, now) * standing.penalty / self.weight

    @property
    def is_full(self) -> bool:
        """Whether a limit of its own is reached."""
        return self.limit is not None and self.in_flight - self.streams >= self.limit.value

    def stuck(self, now: float) -> list[float]:
        """For how many seconds each answer is under way that takes much longer than its page usually does."""
        if not self.in_flight:
            return []
        return [age for one in self._open if (age := one.stuck_for(now))]

    def assess(self, part: float, log_best: float, now: float) -> None:
        """Work out the cost again: this part of the weight is in force, and the best peer's latency is that."""
        self.part = part
        self.share = self.weight * part
        self._log_best = log_best
        standing = self.standing
        self.cost = standing.slowness(log_best, now) * standing.penalty / self.weight

    def take_idle(self) -> UpstreamConnection | None:
        """A kept-alive connection that is open as far as anybody can tell; None when there is none."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.is_open:
                return connection
        return None

    async def connect(self) -> UpstreamConnection:
        """Make a connection; raises :class:`UpstreamFailed`, with nothing sent, when that takes too long or fails."""
        self.connecting += 1
        name = self._server_name
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._connect()
        except TimeoutError:
            raise self._failed("connect_timeout", f"not accepted within {self._timeout:g} s") from None
        except (OSError, UnicodeError) as error:
            raise self._failed(_reason(error), why(error, is_file=bool(self.address.path))) from None
        finally:
            self.connecting -= 1
        if not connection.is_open:  # lost before anybody could hear of it, so it would be waited for in vain
            connection.abort()
            raise self._failed("connect_failed", "closed at once")
        self._line.counts.upstream_opened += 1
        self._open.add(connection)
        if name != self._server_name:
            self._misnamed.add(connection)
        return connection

    async def _connect(self) -> UpstreamConnection:
        """Connect to the first of its addresses that accepts, and begin with that one the next time."""
        if self.address.path:
            _, connection = await self._line.loop.create_unix_connection(self._make, self.address.path)
            return connection
        first, *others = self._hosts
        try:
            return await self._connect_to(first)
        except OSError as error:
            if not others or errno_of(error) not in UNREACHED:
                raise
            refused = error
        try:
            connection = await self._connect_to(others[0])
        except OSError as error:
            raise tells_more(refused, error) from None
        self._hosts = (others[0], first)
        return connection

    async def _connect_to(self, host: str) -> UpstreamConnection:
        loop = self._line.loop
        port = self.address.port
        if self._tls is not None:
            context = await self._tls.context()
            connection = await connect_tls(loop, self._make, host, port, context=context, server_name=self._server_name)
        else:
            _, connection = await loop.create_connection(self._make, host, port)
        return connection

    def _failed(self, reason: str, detail: str) -> UpstreamFailed:
        """No connection: nothing was sent."""
        error = UpstreamFailed(reason, detail, is_unsent=True)
        self.note_failure(error, self._line.clock.now())
        return error

    def note_failure(self, error: UpstreamFailed, now: float) -> None:
        """Remember what went wrong last, for people."""
        self.failure = Failure(error.reason, error.detail, now)

    def _make(self) -> UpstreamConnection:
        return UpstreamConnection(self._line, self._on_free, self._on_closed, self._on_load)

    def _on_free(self, connection: UpstreamConnection, now: float) -> None:
        idle = self._idle
        if self._is_gone or len(idle) >= self._max_idle or (self._misnamed and connection in self._misnamed):
            connection.abort()
            return
        idle.append(connection)
        hint = connection.keep_alive_timeout
        if hint < 0:
            connection.wait_idle(now + self._idle_timeout)
        else:  # the endpoint says when it will close; be gone before
            connection.wait_idle(now + min(self._idle_timeout, max(hint - 1.0, 0.0)))

    def _on_load(self, report: bytes) -> None:
        self._report = report

    @property
    def reported(self) -> dict[str, float]:
        """What it said last of its own load; read only when somebody asks, because it may say so in every answer."""
        if self._report:
            self._reported, self._report = read_report(self._report), b""
        return self._reported

    def _on_closed(self, connection: UpstreamConnection) -> None:
        if connection in self._open:
            self._open.remove(connection)
            self._misnamed.discard(connection)
            self._served_before += connection.served
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Take no more: idle connections close now, busy ones when their request is done."""
        self._is_gone = True
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

    def give_up(self) -> None:
        """Tell whoever waits for an answer that none is expected from here."""
        for connection in list(self._open):
            connection.give_up()

    def abort(self) -> None:
        """Close everything at once."""
        self.close()
        for connection in list(self._open):
            connection.abort()

    @property
    def connections(self) -> tuple[int, int]:
        """How many connections are idle, and how many carry a request or a tunnel."""
        idle = len(self._idle)
        return idle, len(self._open) - idle

    @property
    def load(self) -> int:
        """What may reach the endpoint still: attempts, and connections that are open or being made."""
        return max(self.in_flight, len(self._open) + self.connecting)

    @property
    def served(self) -> int:
        """Complete answers that came from here."""
        return self._served_before + sum(one.served for one in self._open)

    def __repr__(self) -> str:
        return f"<Endpoint {self.url} in_flight={self.in_flight} idle={len(self._idle)}>"


def _reason(error: OSError | UnicodeError) -> str:
    """The word for a connection that could not be made."""
    if isinstance(error, socket.gaierror | UnicodeError):  # the latter for names that DNS cannot write
        return "dns_failed"
    if isinstance(error, ssl.SSLError):
        return "tls_failed"
    return "connect_refused" if errno_of(error) == errno.ECONNREFUSED else "connect_failed"
