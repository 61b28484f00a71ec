"""Numbers by key that all workers of a gateway share, without a lock and without waiting.

The workers map the same memory. It is cut into tables, by each worker in the same order; a table is a set-associative
hash table (W ways a set), in which every worker has a region of its own in each set. A worker writes its own region
alone and reads all of them, so no write is ever lost, whatever two workers do at the same instant.

*An entry* is a mark (63 bits of a keyed hash of the key; 0 = free) and two numbers. What a key has is the sum of the
first numbers, and the highest of the second, over all workers. What these mean is the user's business
(:mod:`gateway.admission.rate_limit`, :mod:`gateway.http.door`).

*Reading beside a writer.* Numbers are aligned machine words, which the interpreter copies whole. A place that is given
to another key has no mark while its numbers change, and a reader looks at the mark again after it has read them.

*Death.* The memory belongs to the control process. What a worker wrote stays when it dies, and its successor, which has
the same number, goes on with it.

*Full.* The places of a set are bounded. The last one of each region is ``OVERFLOW``, one account for
all keys of that set which find no other place.

Rejected: one owner for each key (a request that comes elsewhere must wait for it), parts of every quota for each worker
(a burst that is not there when it is asked for), messages (for as long as they travel each worker admits a whole
burst), a lock (its holder may be stopped).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

WAYS: Final = 8
OVERFLOW: Final = 1
_WORD: Final = 8
_COLUMNS: Final = 3
# The instant at which the ledger began, and the salt of its hashes; a page, so that tables begin on one.
_HEAD: Final = struct.Struct("d16s")
_HEAD_SIZE: Final = 4096
_REMEMBERED: Final = 8192


class Table:
    """The numbers of at least ``keys`` keys for each of ``workers``; this worker is ``number``.

    ``place`` says where a key is looked for: the first word of its set, and its mark. Plain tuples here and in
    :meth:`find`: this is on the request path.
    """

    __slots__ = ("_columns", "_first", "_last", "_marks", "_numbers", "_read", "_sets", "_stride", "_width", "place")

    def __init__(self, memory: memoryview, keys: int, *, workers: int, number: int, salt: bytes) -> None:
        self._sets = _sets(keys)
        self._width = WAYS * workers
        self._stride = self._width * _COLUMNS
        self._first = WAYS * number
        self._last = self._first + WAYS - 1
        self._columns = memory
        self._marks = memory.cast("Q")
        self._numbers = memory.cast("d")
        self._read = struct.Struct(f"{self._width}Q").unpack_from

        @lru_cache(_REMEMBERED)
        def place(key: str) -> tuple[int, int]:
            digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16, key=salt).digest()
            found, mark = struct.unpack("2Q", digest)
            return found % self._sets * self._stride, mark | 1 << 63

        self.place = place

    @staticmethod
    def size(keys: int, workers: int) -> int:
        """The bytes that a table takes."""
        return _sets(keys) * WAYS * workers * _COLUMNS * _WORD

    def find(self, base: int, mark: int) -> tuple[int, float, float]:
        """What the key of this place has now.

        That is its entry in the worker's own region (-1 = none), the sum and the highest over all workers.
        """
        marks = self._read(self._columns, base * _WORD)
        if mark not in marks:
            return _NOTHING
        numbers, width = self._numbers, self._width
        at = marks.index(mark)
        entry = base + at
        if marks.count(mark) == 1 and self._first <= at <= self._last:
            return entry, numbers[entry + width], numbers[entry + 2 * width]
        own, total, highest = -1, 0.0, -inf
        for left in range(marks.count(mark) - 1, -1, -1):
            one, other = numbers[entry + width], numbers[entry + 2 * width]
            if self._first <= at <= self._last:
                own = entry
                total += one
                highest = max(highest, other)
            elif self._marks[entry] == mark:  # else it has become another key's
                total += one
                highest = max(highest, other)
            if left:
                at = marks.index(mark, at + 1)
                entry = base + at
        return own, total, highest

    def claim(self, base: int, mark: int, worthless: float = -inf) -> int:
        """An empty entry of this worker's for a key that has none; -1 when there is no room.

        Room is where nothing is, or a key whose sum and highest together are at most ``worthless``.
        """
        marks = self._read(self._columns, base * _WORD)
        mine = range(self._first, self._last)
        for at in mine:
            if not marks[at]:
                return self._begin(base + at, mark)
        for at in mine if worthless > -inf else ():
            _, total, highest = self.find(base, marks[at])
            if total + highest <= worthless:
                return self._begin(base + at, mark)
        return -1

    def overflow(self, base: int) -> int:
        """The entry of this worker's for all keys of the set that found no room."""
        entry = base + self._last
        return entry if self._marks[entry] else self._begin(entry, OVERFLOW)

    def add(self, entry: int, amount: float) -> None:
        """Change the first number of an own entry."""
        self._numbers[entry + self._width] += amount

    def raise_to(self, entry: int, value: float) -> None:
        """Set the second number of an own entry."""
        self._numbers[entry + 2 * self._width] = value

    def free(self, entry: int) -> None:
        """Forget an own entry."""
        self._marks[entry] = 0

    def clear(self) -> None:
        """Forget all own entries."""
        for base in range(0, self._sets * self._stride, self._stride):
            for entry in range(base + self._first, base + self._last + 1):
                self._marks[entry] = 0

    def _begin(self, entry: int, mark: int) -> int:
        self._marks[entry] = 0
        self._numbers[entry + self._width] = 0.0
        self._numbers[entry + 2 * self._width] = -inf
        self._marks[entry] = mark
        return entry

    def __len__(self) -> int:
        """How many own entries are taken."""
        bases = range(0, self._sets * self._stride, self._stride)
        return sum(bool(self._marks[base + at]) for base in bases for at in range(self._first, self._last))

    def __repr__(self) -> str:
        return f"<Table keys={len(self)}/{self._sets * (WAYS - 1)}>"


_NOTHING: Final = (-1, 0.0, -inf)


class Ledger:
    """Hands out tables of the ``memory`` that :func:`begin` made, or of memory of its own.

    ``epoch`` is the instant from which all workers count.
    """

    __slots__ = ("_at", "_memory", "_number", "_salt", "_workers", "epoch")

    def __init__(
        self, memory: memoryview | None = None, *, workers: int = 1, number: int = 0, salt: bytes = b""
    ) -> None:
        self._memory = memory
        self._workers = workers
        self._number = number
        self._at = _HEAD_SIZE
        self.epoch, self._salt = (0.0, salt) if memory is None else _HEAD.unpack_from(memory)

    def table(self, keys: int) -> Table:
        """The next table; every worker must ask for the same ones in the same order."""
        size = Table.size(keys, self._workers)
        if self._memory is None:
            memory = memoryview(bytearray(size))
        else:
            memory = self._memory[self._at : self._at + size]
            self._at += size
        return Table(memory, keys, workers=self._workers, number=self._number, salt=self._salt)

    def __repr__(self) -> str:
        return f"<Ledger worker={self._number}/{self._workers} bytes={self._at}>"


def size(tables: Iterable[int], workers: int) -> int:
    """The bytes that a ledger takes; each table by the number of its keys."""
    return _HEAD_SIZE + sum(Table.size(keys, workers) for keys in tables)


def begin(memory: memoryview, epoch: float, salt: bytes) -> None:
    """Make a ledger of memory that is all zeros."""
    _HEAD.pack_into(memory, 0, epoch, salt)


def _sets(keys: int) -> int:
    return -(-keys // (WAYS - 1))
