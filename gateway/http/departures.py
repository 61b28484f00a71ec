"""Clients that leave while nobody reads from them.

A connection whose reading is paused says nothing when its client goes: the FIN waits behind unread data.
The kernel knows all the same (POLLRDHUP), and is asked for all such connections at once.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.http.downstream import ClientConnection


class Departures:
    """Watches paused connections; :meth:`look` closes those whose client has gone."""

    __slots__ = ("_half_open", "_numbers", "_poll", "_watched")

    def __init__(self) -> None:
        self._poll = select.poll()
        self._numbers: dict[ClientConnection, int] = {}
        self._watched: dict[int, ClientConnection] = {}
        self._half_open: set[int] = set()

    def watch(self, connection: ClientConnection, number: int, *, may_half_close: bool = False) -> None:
        """Its reading is paused from now on; ``number`` is its file descriptor.

        One that ``may_half_close`` is gone only when it was reset: its FIN stands behind bytes that are still wanted.
        """
        self._poll.register(number, 0 if may_half_close else select.POLLRDHUP)
        if may_half_close:
            self._half_open.add(number)
        self._numbers[connection] = number
        self._watched[number] = connection

    def forget(self, connection: ClientConnection) -> None:
        """It is read again, or closed. No effect when it was not watched."""
        number = self._numbers.pop(connection, -1)
        if number >= 0:
            del self._watched[number]
            self._half_open.discard(number)
            self._poll.unregister(number)

    def look(self) -> None:
        """Close the connections of clients that have gone since."""
        if self._watched:
            for number, seen in self._poll.poll(0):
                if number in self._half_open and not seen & select.POLLERR:
                    continue
                connection = self._watched[number]
                self.forget(connection)
                connection.close_now()

    def __len__(self) -> int:
        return len(self._numbers)
