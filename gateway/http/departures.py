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

    __slots__ = ("_numbers", "_poll", "_watched")

    def __init__(self) -> None:
        self._poll = select.poll()
        self._numbers: dict[ClientConnection, int] = {}
        self._watched: dict[int, ClientConnection] = {}

    def watch(self, connection: ClientConnection, number: int) -> None:
        """Its reading is paused from now on; ``number`` is its file descriptor."""
        self._poll.register(number, select.POLLRDHUP)
        self._numbers[connection] = number
        self._watched[number] = connection

    def forget(self, connection: ClientConnection) -> None:
        """It is read again, or closed. No effect when it was not watched."""
        number = self._numbers.pop(connection, -1)
        if number >= 0:
            del self._watched[number]
            self._poll.unregister(number)

    def look(self) -> None:
        """Close the connections of clients that have gone since."""
        if self._watched:
            for number, _ in self._poll.poll(0):
                connection = self._watched[number]
                self.forget(connection)
                connection.close_now()

    def __len__(self) -> int:
        return len(self._numbers)
