"""Heads seen lately, by their bytes.

Clients and services repeat themselves: the same head, byte for byte, comes again and again. What it means
cannot change, so it is worked out once. A head is kept when it comes for the second time, because keeping
those that never come again would push everything else out of the processor's caches. The tables are bounded
in count and in bytes and simply emptied when full; whoever sends a new head every time costs the others
one lookup.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

_Head = TypeVar("_Head")
MAX_HEADS: Final = 1024
MAX_HEAD_BYTES: Final = 2048
_MAX_ONCE: Final = 4096


class Recent(Generic[_Head]):
    """A bounded memo from the bytes of a head to what was made of them; ``get`` is a dictionary's."""

    __slots__ = ("_heads", "_once", "get")

    def __init__(self) -> None:
        self._heads: dict[bytes, _Head] = {}
        self._once: set[int] = set()
        self.get = self._heads.get

    def keep(self, raw: bytes, head: _Head) -> None:
        """Remember a head that comes for the second time, unless it is large."""
        once = self._once
        mark = hash(raw)
        if mark not in once:
            if len(once) >= _MAX_ONCE:
                once.clear()
            once.add(mark)
        elif len(raw) <= MAX_HEAD_BYTES:
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            self._heads[raw] = head

    def __len__(self) -> int:
        return len(self._heads)
