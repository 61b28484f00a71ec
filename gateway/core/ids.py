"""Request ids: unique across workers and restarts, cheap enough for every request."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


class RequestIds:
    """Makes ids of 24 hexadecimal digits: 12 random ones per worker, 12 that count up.

    They are unique, not secret: whoever sees one can guess the next.
    """

    __slots__ = ("_counter", "_prefix")

    def __init__(self, rng: Random) -> None:
        self._prefix = b"%012x" % rng.getrandbits(48)
        self._counter = count(1).__next__

    def next(self) -> bytes:
        """The next id, as ASCII bytes ready for a header field."""
        return self._prefix + b"%012x" % self._counter()
