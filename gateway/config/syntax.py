"""What the TOML reader refuses, with the line as written and what to do about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.config import shown
from gateway.config.errors import Problem

if TYPE_CHECKING:
    from pathlib import Path as File

_LONGEST: Final = 500  # of a line that is looked at
_PLACE: Final = re.compile(r" \((?:at line (\d+), column (\d+)|at end of document)\)\Z")
_HEADER: Final = re.compile(r"\s*\[\[?\s*([^\[\]#]+?)\s*\]\]?\s*(?:#.*)?\Z")
_PAIR: Final = re.compile(r"\s*([A-Za-z0-9_.\"' -]+?)\s*(=)\s*([^#]*?)\s*(?:#.*)?\Z")
_YAML: Final = re.compile(r"\s*([A-Za-z0-9_-]+):(?:\s|\Z)")
_BARE: Final = re.compile(r"[^\"'\[\]{},\s][^\"'\[\]{},]*\Z")

# What the reader says -> what to do.
_ADVICE: Final = (
    ("Unterminated string", "a text ends with the quote that it began with"),
    ("Illegal character", 'a text stands on one line and has no control characters; """ … """ takes several lines'),
    ("Unescaped '\\'", "a backslash in \"…\" is written twice; '…' takes it as it is"),
    ("Invalid hex value", "\\u takes four hexadecimal digits, \\U eight"),
    ("Unclosed array", 'an array ends with "]" and has commas between its items'),
    ("Unclosed inline table", 'a table in braces ends with "}", and has commas between its keys and no line breaks'),
    ("Expected ']'", 'the name of a table stands between "[" and "]" on a line of its own'),
    ("Expected '='", 'a key and its value are written "key = value"'),
    (
        "Invalid initial character for a key part",
        "a key of other characters than letters, digits, - and _ needs quotes",
    ),
    ("Invalid statement", 'expected "[table]", "key = value" or a comment that begins with "#"'),
    ("Duplicate inline table key", "every key stands once in a table"),
)


def syntax_problem(file: File, text: str, message: str) -> Problem:
    """The problem that tomllib reports with this message about this text."""
    found = _PLACE.search(message)
    if found is None:
        return Problem(str(file), 0, "", message)
    lines = text.split("\n")
    number = int(found[1]) if found[1] else text.rstrip("\n").count("\n") + 1
    line = lines[number - 1][:_LONGEST] if number <= len(lines) else ""
    said = message[: found.start()] + ("" if found[1] else " at the end of the file")
    advice = _advice(said, line, lines[: number - 1])
    if not advice and not found[1]:
        # a value that is missing in its middle began earlier, with the last "key ="
        advice = 'the last value has no end: an array needs its "]", a text its quote'
    rule = f"{said}: {advice}" if advice else said
    return Problem(str(file), number, "", rule, _shown(line), column=int(found[2] or 0))


def _shown(line: str) -> str:
    """The line itself, without what may be secret."""
    line = line.strip()
    if not line:
        return ""
    key, equals, _ = line.partition("=")
    if shown.is_secret(key) and equals:
        return f"{key.strip()} = ***"
    return shown.line(line)


def _advice(said: str, line: str, before: list[str]) -> str:
    header = _HEADER.match(line)
    if header is not None and said.startswith(
        ("Cannot declare", "Cannot overwrite", "Cannot mutate", "Cannot redefine")
    ):
        return _twice(header[1], before)
    if _YAML.match(line) and "=" not in line:
        return 'TOML writes "key = value", with "=" instead of ":"'
    pair = _PAIR.match(line)
    if pair is not None:
        key, _, value = pair.groups()
        if said.startswith("Cannot overwrite"):
            return f'"{key}" is in this table already; every key stands once'
        if said.startswith(("Cannot mutate", "Cannot redefine", "Cannot declare")):
            return "a table in braces { … } is complete where it stands; write it as a [table] to add keys"
        if said.startswith(("Invalid value", "Expected newline", "Invalid date or datetime")):
            return _bare_value(key, value)
    return next((advice for begin, advice in _ADVICE if said.startswith(begin)), "")


def _twice(name: str, before: list[str]) -> str:
    for number, line in enumerate(before, 1):
        header = _HEADER.match(line)
        if header is not None and header[1] == name:
            return f"[{name}] is on line {number} already; a table's keys stand together under one header"
    return f"[{name}] is there already, as {{ … }} or with dotted keys; a table is written in one place"


def _bare_value(key: str, value: str) -> str:
    """What is wrong with a value that the reader does not know."""
    lower = value.lower()
    quoted = "" if shown.is_secret(key) else f': {key} = "{shown.line(value)}"'
    for is_so, advice in (
        ("${" in value, 'a variable stands in quotes, "${NAME}", also where a number is expected'),
        (not value, f'"{key} =" has no value'),
        (lower in {"true", "false"}, "true and false are written in small letters"),
        (lower in {"none", "null", "nil", "~"}, "there is no empty value; leave the key out"),
        (_BARE.match(value), f"a text stands in quotes{quoted}"),
        (
            value.startswith("[") and not value.endswith("]"),
            'an array ends with "]" and has commas between its items; texts in it stand in quotes',
        ),
        (
            value[:1] in {"[", "{"},
            'items and keys are separated by commas, keys in braces are written "key = value", texts stand in quotes',
        ),
    ):
        if is_so:
            return advice
    return ""
