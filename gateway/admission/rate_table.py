"""Instants by key, for any number of keys in bounded memory.

A key is worth remembering until its instant has passed; after that it is as good as new. Two mappings take
turns: what is new goes into ``young``, and every new key examines ``EXAMINED`` entries of ``old``, which are
forgotten when their instant has passed and move to ``young`` otherwise. When ``old`` is empty the two swap. So
forgetting costs a few steps for each new key, never a scan, and at a steady rate of new keys the table holds
about twice as many as are worth remembering.

*Full of keys worth remembering.* Nobody is put out: a key that could make the table forget another one would
buy it a fresh burst. The newcomer shares one of ``SHARED`` instants with whoever else is dealt to it
(a keyed hash, so that neighbours cannot be chosen). A key that gets a place of its own later starts at its shared
instant. So no key ever gains by a full table, and a flood of invented keys leaves the others what
``SHARED`` more keys would.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from math import inf
from typing import Final

MAX_KEYS: Final = 100_000
SHARED: Final = 1024
# Two for each new key keep up with forgetting; a full table looks harder.
EXAMINED: Final = 2
_EXAMINED_WHEN_FULL: Final = 8


class RateTable:
    """An instant for each key, never more than ``max_keys`` of them; ``overflowed`` counts puts that had to share."""

    __slots__ = ("_max_keys", "_old", "_salt", "_shared", "_shared_until", "_young", "overflowed")

    def __init__(self, max_keys: int = MAX_KEYS, salt: bytes = b"") -> None:
        self._max_keys = max_keys
        self._salt = salt
        self._young: dict[str, float] = {}
        self._old: dict[str, float] = {}
        self._shared = array("d", [-inf]) * SHARED
        self._shared_until = -inf
        self.overflowed = 0

    def get(self, key: str, now: float) -> float:
        """The key's instant; one that has passed, or ``-inf``, when there is nothing to remember."""
        found = self._young.get(key)
        if found is not None:
            return found
        found = self._old.get(key)
        if found is not None:
            return found
        return self._shared[self._place(key)] if self._shared_until > now else -inf

    def own(self, key: str) -> float | None:
        """The instant that is this key's alone; None when it has none."""
        found = self._young.get(key)
        return self._old.get(key) if found is None else found

    def put(self, key: str, instant: float, now: float) -> None:
        """Remember a later instant than :meth:`get` just gave, or an earlier one for a key that has its own."""
        if key in self._young:
            self._young[key] = instant
        elif key in self._old:
            self._old[key] = instant
        else:
            self.forget(now, EXAMINED)
            if len(self) >= self._max_keys:
                self.forget(now, _EXAMINED_WHEN_FULL)
            if len(self) < self._max_keys:
                self._young[key] = instant
            else:
                self._share(key, instant)

    def forget(self, now: float, most: int) -> None:
        """Examine at most so many entries; those whose instant has passed are forgotten."""
        for _ in range(most):
            if not self._old:
                if not self._young:
                    return
                self._old, self._young = self._young, {}
            key, instant = self._old.popitem()
            if instant > now:
                self._young[key] = instant

    def _share(self, key: str, instant: float) -> None:
        self.overflowed += 1
        place = self._place(key)
        self._shared[place] = max(self._shared[place], instant)
        self._shared_until = max(self._shared_until, instant)

    def _place(self, key: str) -> int:
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=4, key=self._salt).digest()
        return int.from_bytes(digest, "big") % SHARED

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __repr__(self) -> str:
        return f"<RateTable keys={len(self)}/{self._max_keys}>"
