"""Fair queuing: who is served next, so that everybody who waits gets service by weight.

Start-time fair queuing (Goyal, Vin & Cheng 1996) with the virtual time of WF²Q+ (Bennett & Zhang 1997). Each sharer has
a start tag; the least tag is served, and being served costs it ``cost / weight`` of virtual time. Virtual time
moves by the service given divided by the weights of all who wait, and is never behind the tag in service. Whoever comes
back after a pause starts at the present virtual time, so idle share is lent and never saved up. Because virtual
time moves with service alone, sharers that were never seen before cannot stop it: a flood of new ones gets their
shares and no more. When nobody waits all are even again.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from typing import Final, Generic, TypeVar

# Entries of the heap that may belong to sharers that left, beyond as many as are waiting.
_LEFT_OVER: Final = 16


class Sharer:
    """One of those that share; ``tag`` is the virtual time of its next service, ``finish`` the end of its last."""

    __slots__ = ("finish", "is_backlogged", "is_in_line", "tag", "weight")

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight
        self.tag = 0.0
        self.finish = 0.0
        self.is_backlogged = False
        self.is_in_line = False


_S = TypeVar("_S", bound=Sharer)


class FairShare(Generic[_S]):
    """The backlogged sharers in the order of their tags; ``backlogged`` is how many there are.

    Each sharer has at most one entry in the heap. The entry of one that left stays until it comes to the top, or
    until such entries outnumber the others.
    """

    __slots__ = ("_heap", "_latest_finish", "_number", "_weight", "backlogged", "virtual_time")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _S]] = []
        self._number = count()
        self._weight = 0.0
        self._latest_finish = 0.0
        self.backlogged = 0
        self.virtual_time = 0.0

    def activate(self, sharer: _S) -> None:
        """It has something to be served; no effect when it had before."""
        if sharer.is_backlogged:
            return
        sharer.is_backlogged = True
        self.backlogged += 1
        self._weight += sharer.weight
        sharer.tag = max(self.virtual_time, sharer.finish)
        if not sharer.is_in_line:
            sharer.is_in_line = True
            heappush(self._heap, (sharer.tag, next(self._number), sharer))

    def first(self) -> _S | None:
        """The sharer to be served next; None when nobody is backlogged."""
        heap = self._heap
        while heap:
            tag, _, sharer = heap[0]
            if not sharer.is_backlogged:
                heappop(heap)
                sharer.is_in_line = False
            elif sharer.tag != tag:  # it left and came back, with a later tag
                heapreplace(heap, (sharer.tag, next(self._number), sharer))
            else:
                return sharer
        return None

    def charge(self, sharer: _S, cost: float, *, is_backlogged: bool) -> None:
        """The :meth:`first` sharer was served at this cost; it stays in line only while ``is_backlogged``."""
        self.virtual_time = max(self.virtual_time + cost / self._weight, sharer.tag)
        sharer.finish = sharer.tag = sharer.tag + cost / sharer.weight
        self._latest_finish = max(self._latest_finish, sharer.finish)
        if is_backlogged:
            heapreplace(self._heap, (sharer.tag, next(self._number), sharer))
        else:
            heappop(self._heap)
            sharer.is_in_line = False
            self._leave(sharer)

    def deactivate(self, sharer: _S) -> None:
        """It has nothing left, though it was not served: what waited has gone."""
        if sharer.is_backlogged:
            self._leave(sharer)

    def _leave(self, sharer: _S) -> None:
        sharer.is_backlogged = False
        self.backlogged -= 1
        self._weight -= sharer.weight
        if not self.backlogged:
            self._weight = 0.0  # no rounding error outlives a busy period
            self.virtual_time = max(self.virtual_time, self._latest_finish)
        if len(self._heap) > 2 * self.backlogged + _LEFT_OVER:
            self._tidy()

    def _tidy(self) -> None:
        for _, _, sharer in self._heap:
            sharer.is_in_line = sharer.is_backlogged
        self._heap = [(sharer.tag, number, sharer) for _, number, sharer in self._heap if sharer.is_backlogged]
        heapify(self._heap)
