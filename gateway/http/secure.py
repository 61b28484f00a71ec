"""TLS to endpoints, read to the end even when a write fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.http.sockets import read_unread

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from gateway.http.upstream import UpstreamConnection


async def connect_tls(  # noqa: PLR0913 - what a connection is made of
    loop: asyncio.AbstractEventLoop,
    make: Callable[[], UpstreamConnection],
    host: str,
    port: int,
    *,
    context: ssl.SSLContext,
    server_name: str,
) -> UpstreamConnection:
    """A connection whose handshake is done; raises what the loop raises: OSError, of which ssl.SSLError is one."""
    bare, _ = await loop.create_connection(asyncio.Protocol, host, port)
    try:
        connection = make()
        transport = await loop.start_tls(bare, connection, context, server_hostname=server_name)
    except BaseException:
        bare.abort()
        raise
    if transport is None or bare.is_closing():
        raise ConnectionResetError("closed during the handshake")
    bare.set_protocol(_ReadToTheEnd(bare, bare.get_protocol()))  # type: ignore[arg-type]  # the loop's TLS is buffered
    connection.connection_made(transport)
    return connection


class _ReadToTheEnd(asyncio.BufferedProtocol):
    """Stands between a bare transport and the loop's TLS: what lies unread when a write fails is decrypted first.

    An endpoint may answer without reading the request, and close. Then the reset can overtake its answer.
    """

    def __init__(self, bare: asyncio.Transport, tls: asyncio.BufferedProtocol) -> None:
        self._bare = bare
        self._tls = tls
        self.get_buffer = tls.get_buffer  # type: ignore[method-assign]  # one call less for each read
        self.buffer_updated = tls.buffer_updated  # type: ignore[method-assign]
        self.eof_received = tls.eof_received  # type: ignore[method-assign]
        self.pause_writing = tls.pause_writing  # type: ignore[method-assign]
        self.resume_writing = tls.resume_writing  # type: ignore[method-assign]

    def connection_lost(self, exc: Exception | None) -> None:
        """The bare connection is closed."""
        if exc is not None:
            for data in read_unread(self._bare):
                at = 0
                while at < len(data):
                    room = memoryview(self._tls.get_buffer(len(data) - at))
                    size = min(len(room), len(data) - at)
                    room[:size] = data[at : at + size]
                    self._tls.buffer_updated(size)
                    at += size
        self._tls.connection_lost(exc)
