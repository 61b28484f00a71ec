"""A TOML file as data, with the line of every key."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.config.errors import InvalidToml, Problem, UnreadableFile
from gateway.config.positions import locate

if TYPE_CHECKING:
    from pathlib import Path as File

    from gateway.config.shown import Path

_PLACE: Final = re.compile(r" \((?:at line (\d+), column (\d+)|at end of document)\)\Z")


class Document(NamedTuple):
    """``data`` as tomllib gives it; ``lines`` by key path."""

    file: File
    data: dict[str, Any]
    lines: dict[Path, int]

    def line(self, path: Path) -> int:
        """The line of a key, or of its nearest parent that is written."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


def read(file: File) -> Document:
    """Read and parse; UnreadableFile or InvalidToml."""
    text = _text(file)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidToml([_syntax_problem(file, text, str(error))]) from None
    except RecursionError:
        raise InvalidToml([Problem(str(file), 0, "", "expected values that are not nested this deeply")]) from None
    except ValueError as error:  # a number with thousands of digits
        raise InvalidToml([Problem(str(file), 0, "", f"expected a value that can be read ({error})")]) from None
    return Document(file, data, locate(text))


def _text(file: File) -> str:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise UnreadableFile([Problem(str(file), 0, "", f"cannot be read: {error.strerror}")]) from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UnreadableFile([Problem(str(file), line, "", "cannot be read: expected UTF-8")]) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _syntax_problem(file: File, text: str, message: str) -> Problem:
    found = _PLACE.search(message)
    if found is None:
        return Problem(str(file), 0, "", message)
    line = int(found[1]) if found[1] else text.rstrip("\n").count("\n") + 1
    rule = message[: found.start()] if found[1] else f"{message[: found.start()]} at the end of the file"
    return Problem(str(file), line, "", rule, column=int(found[2] or 0))
