"""A request body that waits: in memory while it is small, then in a file without a name."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator


class Spool:
    """Bytes in the order in which they came; ``size`` in all, at most ``in_memory`` of them outside the file.

    When nothing can be written to the file (no space, no folder) the bytes stay in memory and ``is_broken`` says so:
    then the caller stops reading the client.
    """

    __slots__ = ("_file", "_in_memory", "_pieces", "_read", "_written", "is_broken", "size")

    def __init__(self, in_memory: int) -> None:
        self._in_memory = in_memory
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None
        self._written = 0
        self._read = 0
        self.size = 0
        self.is_broken = False

    def append(self, payload: bytes) -> None:
        """Keep some more."""
        self.size += len(payload)
        self._pieces.append(payload)
        if self.size - self._written > self._in_memory and not self.is_broken:
            try:
                if self._file is None:
                    self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
                data = b"".join(self._pieces)
                self._file.seek(self._written)
                self._file.write(data)
                self._file.flush()
            except OSError:
                self.is_broken = True
            else:
                self._written += len(data)
                self._pieces = []

    def rewind(self) -> None:
        """Begin again from the first byte."""
        self._read = 0

    def read(self, most: int) -> bytes:
        """The next bytes, about ``most``; empty when all were read."""
        if self._read < self._written:
            self._file.seek(self._read)  # type: ignore[union-attr]  # written to
            data = self._file.read(min(most, self._written - self._read))  # type: ignore[union-attr]
            self._read += len(data)
            return data
        at = self._written
        for piece in self._pieces:
            if at >= self._read:
                self._read += len(piece)
                return piece
            at += len(piece)
        return b""

    def pieces(self, most: int) -> Iterator[bytes]:
        """What was not read yet."""
        while data := self.read(most):
            yield data

    def close(self) -> None:
        """Let go of everything."""
        self._pieces = []
        if self._file is not None:
            self._file.close()
            self._file = None
