"""One endpoint: its address, its idle connections, and what is in flight on it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

from gateway.core.errors import UpstreamFailed
from gateway.http.upstream import Line, UpstreamConnection
from gateway.upstream.address import parse_address

if TYPE_CHECKING:
    from gateway.upstream.settings import Connections


class Endpoint:
    """Keeps connections alive and makes new ones; the idle one that was used last is taken first.

    ``in_flight`` counts attempts, ``opened`` connections ever made, ``connecting`` those being made.
    """

    __slots__ = (
        "_idle",
        "_idle_timeout",
        "_is_gone",
        "_line",
        "_max_idle",
        "_open",
        "_timeout",
        "_tls",
        "address",
        "connecting",
        "in_flight",
        "opened",
        "url",
        "weight",
    )

    def __init__(self, url: str, weight: float, *, line: Line, settings: Connections, connect_timeout: float) -> None:
        self.url = url
        self.weight = weight
        self.address = parse_address(url)
        self.in_flight = 0
        self.opened = 0
        self.connecting = 0
        self._line = line
        self._max_idle = settings.max_idle
        self._idle_timeout = float(settings.idle_timeout)
        self._timeout = connect_timeout
        self._tls = ssl.create_default_context() if self.address.scheme == "https" else None
        self._idle: list[UpstreamConnection] = []
        self._open: set[UpstreamConnection] = set()
        self._is_gone = False

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
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._connect()
        except TimeoutError:
            raise UpstreamFailed("connect_timeout", f"{self._timeout:g} s", is_unsent=True) from None
        except ConnectionRefusedError:
            raise UpstreamFailed("connect_refused", is_unsent=True) from None
        except socket.gaierror:
            raise UpstreamFailed("dns_failed", is_unsent=True) from None
        except ssl.SSLError:
            raise UpstreamFailed("tls_failed", is_unsent=True) from None
        except OSError:
            raise UpstreamFailed("connect_failed", is_unsent=True) from None
        finally:
            self.connecting -= 1
        self.opened += 1
        self._open.add(connection)
        return connection

    async def _connect(self) -> UpstreamConnection:
        loop = self._line.loop
        address = self.address
        if address.path:
            _, connection = await loop.create_unix_connection(self._make, address.path)
        elif self._tls is not None:
            _, connection = await loop.create_connection(
                self._make, address.host, address.port, ssl=self._tls, server_hostname=address.host
            )
        else:
            _, connection = await loop.create_connection(self._make, address.host, address.port)
        return connection

    def _make(self) -> UpstreamConnection:
        return UpstreamConnection(self._line, self._on_free, self._on_closed)

    def _on_free(self, connection: UpstreamConnection, now: float) -> None:
        idle = self._idle
        if self._is_gone or len(idle) >= self._max_idle:
            connection.abort()
            return
        idle.append(connection)
        hint = connection.keep_alive_timeout
        if hint < 0:
            connection.wait_idle(now + self._idle_timeout)
        else:  # the endpoint says when it will close; be gone before
            connection.wait_idle(now + min(self._idle_timeout, max(hint - 1.0, 0.0)))

    def _on_closed(self, connection: UpstreamConnection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Take no more: idle connections close now, busy ones when their request is done."""
        self._is_gone = True
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

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

    def __repr__(self) -> str:
        return f"<Endpoint {self.url} in_flight={self.in_flight} idle={len(self._idle)}>"
