"""TLS with clients: who is still shaking hands counts at the door from the first byte, and is bounded in time.

The loop's own TLS server shows a connection only when its handshake is done, so that clients who never finish one
would be neither counted nor limited. Here connections are accepted bare, the door's limits are asked first, and the
handshake has as long as a request head has.
"""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gateway.core.errors import BadRequest
from gateway.http.downstream import HANDSHAKE, ClientConnection

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Coroutine

    from gateway.http.door import Door

_AT_ONCE: Final = 128
_NO_DESCRIPTORS_PAUSE: Final = 0.1


class TlsServer:
    """Accepts on one listening socket and speaks TLS; :meth:`close` stops accepting, as a server of the loop does."""

    def __init__(
        self,
        door: Door,
        listener: socket.socket,
        context: ssl.SSLContext,
        start_task: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._door = door
        self._listener = listener
        self._context = context
        self._start_task = start_task
        self._is_closed = False
        self._pause: asyncio.TimerHandle | None = None
        listener.listen(4096)
        listener.setblocking(False)  # noqa: FBT003 - its only form
        door.loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more and close the listening socket; who was accepted stays."""
        if not self._is_closed:
            self._is_closed = True
            if self._pause is not None:
                self._pause.cancel()
            self._door.loop.remove_reader(self._listener.fileno())
            self._listener.close()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors are left: the socket stays readable, so look away for a moment
                self._door.loop.remove_reader(self._listener.fileno())
                self._pause = self._door.loop.call_later(_NO_DESCRIPTORS_PAUSE, self._accept_again)
                return
            sock.setblocking(False)  # noqa: FBT003
            Handshake(self._door, sock, self._context, self._start_task)

    def _accept_again(self) -> None:
        self._pause = None
        self._door.loop.add_reader(self._listener.fileno(), self._accept)


class Handshake:
    """One client that has not finished its handshake; stands where its connection expects a transport.

    It starts when it is made. It ends in the connection's ``connection_made``, or in its ``connection_lost``.
    """

    def __init__(
        self,
        door: Door,
        sock: socket.socket,
        context: ssl.SSLContext,
        start_task: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._door = door
        self._socket = sock
        self._task: asyncio.Task[None] | None = None
        self._reason = "tls_handshake_failed"
        connection = ClientConnection(door)
        connection.phase = HANDSHAKE
        refused = connection.arrive(self)  # type: ignore[arg-type]  # all of a transport that is asked for before HEAD
        if refused is not None:  # there is no way yet to say why
            door.report(connection, refused, door.ids.next(), b"")
            connection.connection_lost(None)
            sock.close()
            return
        self._task = start_task(self._shake_hands(context, connection))
        # a task that is cancelled before its first step runs no line of its own
        self._task.add_done_callback(partial(self._on_done, connection))

    def get_extra_info(self, name: str) -> object:
        """The peer's address, as a transport gives it."""
        try:
            return self._socket.getpeername() if name == "peername" else None
        except OSError:
            return None

    def abort(self) -> None:
        """Give the handshake up."""
        if self._task is not None:
            self._task.cancel()

    async def _shake_hands(self, context: ssl.SSLContext, connection: ClientConnection) -> None:
        door = self._door
        try:
            await door.loop.connect_accepted_socket(
                lambda: connection, self._socket, ssl=context, ssl_handshake_timeout=float(door.timeouts.head)
            )
        except (ConnectionAbortedError, TimeoutError):
            self._reason = "tls_handshake_timeout"
        except (ssl.SSLError, OSError):
            pass

    def _on_done(self, connection: ClientConnection, _task: asyncio.Task[None]) -> None:
        """Count who did not come through; else the connection has taken over."""
        if connection.phase == HANDSHAKE:
            door = self._door
            if not door.is_draining:
                door.report(connection, BadRequest(self._reason), door.ids.next(), b"")
            connection.connection_lost(None)
            self._socket.close()
