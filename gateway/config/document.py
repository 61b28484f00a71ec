"""A TOML file as data, with the line of every key."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.config import shown
from gateway.config.errors import InvalidConfig, InvalidToml, Problem, UnreadableFile
from gateway.config.positions import locate
from gateway.config.syntax import syntax_problem
from gateway.config.variables import with_variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.shown import Path

STANDARD_INPUT: Final = File("-")
"""Stands for what comes on standard input, where a file is named."""


class Document(NamedTuple):
    """``data`` with its variables replaced; ``lines`` by key path; ``written`` has the texts that had variables."""

    file: File
    data: dict[str, Any]
    lines: dict[Path, int]
    written: dict[Path, str]

    def line(self, path: Path) -> int:
        """The line of a key, or of its nearest parent that is written."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


def read(file: File, environment: Mapping[str, str] = os.environ) -> Document:
    """Read and parse; UnreadableFile, InvalidToml, or InvalidConfig for variables that are not set."""
    text = _text(file)
    file = File("<stdin>") if file == STANDARD_INPUT else file
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidToml([syntax_problem(file, text, str(error))]) from None
    except RecursionError:
        raise InvalidToml([Problem(str(file), 0, "", "expected values that are not nested this deeply")]) from None
    except ValueError as error:  # a number with thousands of digits
        raise InvalidToml([Problem(str(file), 0, "", f"expected a value that can be read ({error})")]) from None
    document = Document(file, data, locate(text), {})
    problems: list[Problem] = []

    def note(path: Path, rule: str) -> None:
        problems.append(Problem(str(file), document.line(path), shown.key(path), rule))

    data, written = with_variables(data, environment, note)
    if problems:
        raise InvalidConfig(problems)
    return document._replace(data=data, written=written)


def _text(file: File) -> str:
    try:
        raw = sys.stdin.buffer.read() if file == STANDARD_INPUT else file.read_bytes()
    except OSError as error:
        raise UnreadableFile([Problem(str(file), 0, "", f"cannot be read: {error.strerror}")]) from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UnreadableFile([Problem(str(file), line, "", "cannot be read: expected UTF-8")]) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n")
