"""On which line of a TOML text every key and array item stands.

:mod:`tomllib` tells values, not places. This scanner runs only over a text that tomllib has accepted,
so it needs to know where things begin and end, not whether they are allowed.
"""

from __future__ import annotations

import tomllib
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config.shown import Path


def locate(text: str) -> dict[Path, int]:
    """The line, from 1, of every key path; items of arrays have their index in the path."""
    scanner = _Scanner(text)
    scanner.statements()
    return scanner.lines


class _Scanner:
    """Walks once over the text; ``lines`` grows as keys are met."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {(): 1}
        self._text = text + "\n"  # every token has an end
        self._at = 0
        self._breaks = [index for index, char in enumerate(text) if char == "\n"]
        self._last_item: dict[Path, int] = {}  # the index of the last [[table]] of each array

    def statements(self) -> None:
        table: Path = ()
        while True:
            self._skip_space()
            if self._at >= len(self._text):
                return
            if self._text.startswith("[[", self._at):
                self._at += 2
                array = self._resolve(self._key())
                index = self._last_item.get(array, -1) + 1
                self._last_item[array] = index
                table = (*array, index)
                self._note(table)
                self._at += 2
            elif self._text[self._at] == "[":
                self._at += 1
                table = self._resolve(self._key())
                self._note(table)
                self._at += 1
            else:
                self._pair(table)

    def _note(self, path: Path) -> None:
        """Remember a path and the parents that it creates."""
        line = bisect_left(self._breaks, self._at) + 1
        for length in range(1, len(path)):
            self.lines.setdefault(path[:length], line)
        self.lines[path] = line

    def _resolve(self, names: list[str]) -> Path:
        """A header's path, with the index of the current item where it goes through an array of tables."""
        path: Path = ()
        for position, name in enumerate(names):
            path = (*path, name)
            if position < len(names) - 1 and path in self._last_item:
                path = (*path, self._last_item[path])
        return path

    def _skip_space(self) -> None:
        """Go past blanks, line breaks and comments."""
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "#":
                self._at = self._text.index("\n", self._at)
            elif char not in " \t\r\n":
                return
            else:
                self._at += 1

    def _skip_blanks(self) -> None:
        while self._text[self._at] in " \t":
            self._at += 1

    def _key(self) -> list[str]:
        """Read a dotted key, up to what follows it."""
        names = []
        while True:
            self._skip_blanks()
            start = self._at
            if self._text[start] in "\"'":
                self._string()
                names.append(str(tomllib.loads(f"key = {self._text[start : self._at]}")["key"]))
            else:
                while self._text[self._at] not in " \t.=]":
                    self._at += 1
                names.append(self._text[start : self._at])
            self._skip_blanks()
            if self._text[self._at] != ".":
                return names
            self._at += 1

    def _pair(self, table: Path) -> None:
        path = (*table, *self._key())
        self._note(path)
        self._at += 1  # the equals sign
        self._skip_blanks()
        self._value(path)

    def _value(self, path: Path) -> None:
        char = self._text[self._at]
        if char in "\"'":
            self._string()
        elif char == "[":
            self._at += 1
            self._items(path)
        elif char == "{":
            self._at += 1
            self._pairs(path)
        else:
            while self._text[self._at] not in ",]}#\n":
                self._at += 1

    def _items(self, path: Path) -> None:
        index = 0
        while True:
            self._skip_space()
            if self._text[self._at] == "]":
                break
            self._note((*path, index))
            self._value((*path, index))
            index += 1
            self._skip_comma()
        self._at += 1

    def _pairs(self, path: Path) -> None:
        while True:
            self._skip_space()
            if self._text[self._at] == "}":
                break
            self._pair(path)
            self._skip_comma()
        self._at += 1

    def _skip_comma(self) -> None:
        self._skip_space()
        if self._text[self._at] == ",":
            self._at += 1

    def _string(self) -> None:
        """Go past a text of any of the four kinds."""
        quote = self._text[self._at]
        is_long = self._text.startswith(quote * 3, self._at)
        mark = quote * 3 if is_long else quote
        self._at += len(mark)
        while not self._text.startswith(mark, self._at):
            self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
        self._at += len(mark)
        while is_long and self._text[self._at] == quote:  # up to two quotes may stand before the end mark
            self._at += 1
