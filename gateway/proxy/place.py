"""A request's place in the limit, once it may be given back before the request ends.

A place is held while the service works for the request. It is given back

- at the 101 of a tunnel, and at the head of an event stream;
- when the body of an answer goes on for much longer than answers take to begin;
- while the client does not read the answer, or lets its upload trickle in; after the upload it is taken back.

Only requests whose body or answer does not come at once have this object; the others never notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.core.deadlines import Timed

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.keepalive import KeepAlive

LOOK: Final = 0.1
"""Seconds between two looks, and the shortest time for which an answer or a pause is borne with."""
USUAL: Final = 2.0
"""An answer goes on for long when its body takes this many times what answers usually take to begin."""
TRICKLE: Final = 64 * 1024
"""An upload of fewer bytes between two looks is one that its client holds up."""


class Place(Timed):
    """Looks again and again whether the place is to be given back; ``since`` is when it was, 0.0 while it is held.

    ``seconds`` is for how long it was not held, before it was taken back; ``is_counted`` says that the gate has it as a
    stream, which may be forbidden. ``keepalive`` sends comments to an event stream, where the route asks for them.
    """

    __slots__ = ("_exchange", "_seen", "is_counted", "keepalive", "seconds", "since")

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self._exchange: Exchange | None = exchange
        self._seen = 0
        self.is_counted = False
        self.seconds = 0.0
        self.since = 0.0
        self.keepalive: KeepAlive | None = None

    def on_deadline(self, now: float) -> None:
        """Time to look."""
        if self._exchange is not None:
            self._exchange.look_at_place(now)

    def is_trickling(self, received: int) -> bool:
        """Whether few bytes have come since the last look; ``received`` have in all."""
        came, self._seen = received - self._seen, received
        return came < TRICKLE

    def end(self) -> None:
        """The request is over."""
        self._exchange = None
