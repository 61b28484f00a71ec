"""Compares a document with the settings, key by key, and collects every problem.

What is broken is left out of the result, so that the rest can still be checked.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, Final

from msgspec import inspect

from gateway.config import formats, shown
from gateway.config.elsewhere import other_name, other_table
from gateway.config.errors import Problem
from gateway.config.planned import planned_under
from gateway.core.units import AutoSeconds, Rate, Seconds, Size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.config.document import Document
    from gateway.config.shown import Path

BROKEN: Final = object()
_RATE_RULE: Final = 'expected a rate above 0 and up to 1000000/s, such as "50/s", "1000/m" or "10/h"'
_LONGEST: Final = Seconds(365 * 86400)
_SURE: Final = 0.87  # so alike that it is the key beside it, and a slip
_LARGEST: Final = Size(2**53)  # every reader of numbers agrees up to here


class Walk:
    """One pass over a document; ``problems`` and ``warnings`` grow, ``broken`` has the keys left out."""

    def __init__(self, document: Document) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.broken: set[Path] = set()
        self._document = document
        self._root: type = object

    def problem(self, path: Path, rule: str, value: str = "", nearest: str = "") -> None:
        """Record something to repair at a key, or at the nearest parent that is written."""
        self.broken.add(path)
        self.problems.append(self._at(path, rule, value, nearest))

    def warning(self, path: Path, rule: str) -> None:
        """Record something to know."""
        self.warnings.append(self._at(path, rule))

    def is_whole(self, path: Path) -> bool:
        """Whether nothing at this key or below it is broken."""
        return not any(broken[: len(path)] == path for broken in self.broken)

    def settings(self, cls: type) -> dict[str, Any]:
        """The whole document as far as it fits a settings class."""
        self._root = cls
        fitting = self._table(inspect.type_info(cls), self._document.data, (), required=False)  # type: ignore[arg-type]
        return dict(fitting)

    def _at(self, path: Path, rule: str, value: str = "", nearest: str = "") -> Problem:
        document = self._document
        return Problem(str(document.file), document.line(path), shown.key(path), rule, value, nearest)

    def _wrong(self, path: Path, rule: str, value: object, words: Iterable[str] = ()) -> object:
        by_lower = {word.lower(): word for word in words}
        close = get_close_matches(value.lower(), list(by_lower), 1) if isinstance(value, str) else []
        self.problem(path, rule, self._shown(value, path), by_lower[close[0]] if close else "")
        return BROKEN

    def _shown(self, value: object, path: Path) -> str:
        """A value, and the variable that it comes from; the value of a secret one is not shown."""
        written = self._document.written.get(path)
        if written is None:
            return shown.value(value, path)
        origin = shown.value(written, path)
        return origin if shown.is_secret(written) else f"{shown.value(value, path)} from {origin}"

    def _visit(self, kind: inspect.Type, value: Any, path: Path, extra: Mapping[str, Any]) -> Any:  # noqa: ANN401, PLR0911 - one line per kind of value
        match kind:
            case inspect.Metadata():
                return self._visit(kind.type, value, path, {**extra, **(kind.extra or {})})
            case inspect.UnionType():
                return self._visit(_alternative(kind, value), value, path, extra)
            case inspect.StructType():
                return (
                    self._table(kind, value, path, required=True)
                    if _is(value, dict)
                    else self._not_a(kind, value, path)
                )
            case inspect.DictType():
                return self._names(kind, value, path) if _is(value, dict) else self._not_a(kind, value, path)
            case inspect.VarTupleType():
                return self._items(kind, value, path) if _is(value, list) else self._not_a(kind, value, path)
            case inspect.CustomType():
                return self._with_unit(kind.cls, value, path, may_be_zero="zero" in extra)
            case inspect.LiteralType():
                words = [str(word) for word in kind.values]
                return value if value in kind.values else self._wrong(path, describe(kind), value, words)
            case inspect.BoolType():
                value = self._plain(value, path)
                return value if _is(value, bool) else self._wrong(path, describe(kind) + _unquoted(value), value)
            case inspect.IntType() | inspect.FloatType():
                value = _whole(kind, self._plain(value, path))
                return (
                    value if _is_in_range(kind, value) else self._wrong(path, describe(kind) + _unquoted(value), value)
                )
            case _:
                return self._text(value, path, extra)

    def _plain(self, value: object, path: Path) -> object:
        """A number or truth value that a variable gave as text."""
        if path not in self._document.written or not isinstance(value, str):
            return value
        found = _number_or_truth(value)
        return value if found is None else found

    def _not_a(self, kind: inspect.Type, value: object, path: Path) -> object:
        return self._wrong(path, describe(kind) + _as_array(kind, value), value)

    def _table(self, kind: inspect.StructType, value: dict[str, Any], path: Path, *, required: bool) -> Any:  # noqa: ANN401
        fields = {field.encode_name: field for field in kind.fields}
        planned = planned_under(path)
        fitting = {}
        for name, found in value.items():
            here = (*path, name)
            if name in fields:
                fitting[name] = self._visit(fields[name].type, found, here, {})
            elif name in planned:
                self.warning(here, "is read but not acted on by this version")
            else:
                self._unknown(here, sorted(fields.keys() | planned))
        missing = [name for name, field in fields.items() if field.required and name not in value]
        for name in missing:
            self.problem((*path, name), f"is missing; {describe(fields[name].type)}")
        fitting = {name: found for name, found in fitting.items() if found is not BROKEN}
        lacks_one = any(field.required and name not in fitting for name, field in fields.items())
        return BROKEN if required and lacks_one else fitting

    def _unknown(self, path: Path, words: list[str]) -> None:
        name = str(path[-1])
        close = get_close_matches(name.lower(), words, 1)
        is_slip = bool(get_close_matches(name.lower(), words, 1, _SURE))
        home = other_name(path) or ("" if is_slip else other_table(path, self._root))
        if home:
            self.problem(path, f"unknown key; it is {home}")
        elif close:
            self.problem(path, "unknown key", nearest=close[0])
        else:
            self.problem(path, f"unknown key; expected one of {', '.join(words)}")

    def _names(self, kind: inspect.DictType, value: dict[str, Any], path: Path) -> dict[str, Any]:
        fitting = {}
        for name, found in value.items():
            here = (*path, name)
            rule = self._broken_rule(kind.key_type, name)
            if rule:
                self.problem(here, rule)
            else:
                fitting[name] = self._visit(kind.value_type, found, here, {})
        if len(value) < (kind.min_length or 0):
            self.problem(path, describe(kind))
        return {name: found for name, found in fitting.items() if found is not BROKEN}

    @staticmethod
    def _broken_rule(kind: inspect.Type, text: str) -> str:
        if isinstance(kind, inspect.Metadata) and "format" in (kind.extra or {}):
            return formats.check((kind.extra or {})["format"], text)
        return ""

    def _items(self, kind: inspect.VarTupleType, value: list[Any], path: Path) -> Any:  # noqa: ANN401
        if len(value) < (kind.min_length or 0):
            return self._wrong(path, describe(kind), value)
        fitting = [self._visit(kind.item_type, found, (*path, index), {}) for index, found in enumerate(value)]
        if BROKEN in fitting and all(found is BROKEN for found in fitting):
            return BROKEN
        return [found for found in fitting if found is not BROKEN]

    def _text(self, value: object, path: Path, extra: Mapping[str, Any]) -> object:
        if not isinstance(value, str):
            return self._wrong(path, "expected a text", value)
        rule = formats.check(extra["format"], value) if "format" in extra else ""
        return self._wrong(path, rule, value, _meant(extra, value)) if rule else value

    def _with_unit(self, cls: type, value: object, path: Path, *, may_be_zero: bool) -> object:  # noqa: PLR0911 - one line per mistake
        """A duration, size or rate; it stays a text here and is converted with the whole."""
        if cls is Rate:
            try:
                Rate.parse(value if isinstance(value, str) else "")
            except ValueError:
                return self._wrong(path, _RATE_RULE, value)
            return value
        if cls is AutoSeconds and value == "auto":
            return value
        unit: type[Seconds | Size] = Size if cls is Size else Seconds
        word, example = ("size", '"64KiB"') if cls is Size else ("duration", '"30s"')
        if cls is AutoSeconds:
            example += ', or "auto"'
        if not isinstance(value, str):
            return self._wrong(path, f"expected a {word} with a unit, such as {example}", value)
        try:
            number: float = unit.parse(value)
        except OverflowError:
            number = inf
        except ValueError:
            return self._wrong(path, f"expected a {word} with a unit, such as {example}", value)
        largest = _LARGEST if cls is Size else _LONGEST
        if number > largest:
            return self._wrong(path, f"expected a {word} of at most {largest}", value)
        if number == 0 and not may_be_zero:
            return self._wrong(path, f"expected a {word} above 0", value)
        return value


_WORDS: Final = {
    Seconds: "expected a duration",
    AutoSeconds: 'expected a duration or "auto"',
    Size: "expected a size",
}


def _alternative(kind: inspect.UnionType, value: object) -> inspect.Type:
    """The member that a value is meant for: tables fit structs, and TOML has no null."""
    members = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
    structs = [member for member in members if isinstance(member, inspect.StructType)]
    return structs[0] if structs and _is(value, dict) else members[0]


def _number_or_truth(text: str) -> float | bool | None:
    """What a text would be without its quotes; None when it would be nothing."""
    if text in {"true", "false"}:
        return text == "true"
    try:
        return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else float(text)
    except ValueError:
        return None


def _unquoted(value: object) -> str:
    return " without quotes" if isinstance(value, str) and _number_or_truth(value) is not None else ""


def _as_array(kind: inspect.Type, value: object) -> str:
    """How a text is written where an array is expected."""
    if not isinstance(kind, inspect.VarTupleType) or not isinstance(value, str) or not value:
        return ""
    item = kind.item_type
    is_command = isinstance(item, inspect.Metadata) and (item.extra or {}).get("format") == "argument"
    items = value.split() if is_command and not set(value) & set("\"'\\") else [value]
    return ", such as [" + ", ".join(shown.value(each) for each in items) + "]"


def _is(value: object, cls: type) -> bool:
    return isinstance(value, cls)


def _whole(kind: inspect.Type, value: object) -> object:
    """The value as it is meant: 2.0 is a whole number, as JSON Schema has it."""
    is_meant = isinstance(kind, inspect.IntType) and isinstance(value, float) and value.is_integer()
    return int(value) if is_meant else value  # type: ignore[call-overload]  # a float


def _is_in_range(kind: inspect.IntType | inspect.FloatType, value: object) -> bool:
    types = int if isinstance(kind, inspect.IntType) else (int, float)
    if isinstance(value, bool) or not isinstance(value, types):
        return False
    if isinstance(value, float) and not isfinite(value):
        return False
    return (
        (kind.ge is None or value >= kind.ge)
        and (kind.gt is None or value > kind.gt)
        and (kind.le is None or value <= kind.le)
    )


def _meant(extra: Mapping[str, Any], value: str) -> list[str]:
    return [value.upper()] if extra["format"] == "method" and not formats.check("method", value.upper()) else []


def describe(kind: inspect.Type) -> str:  # noqa: PLR0911 - one line per kind of value
    """What is expected at a key, in words."""
    match kind:
        case inspect.Metadata():
            return describe(kind.type)
        case inspect.UnionType():
            return describe(_alternative(kind, None))
        case inspect.StructType() | inspect.DictType():
            return "expected a table with at least one entry" if getattr(kind, "min_length", 0) else "expected a table"
        case inspect.VarTupleType():
            return "expected an array with at least one item" if kind.min_length else "expected an array"
        case inspect.LiteralType():
            return "expected " + " or ".join(f'"{word}"' for word in kind.values)
        case inspect.IntType() | inspect.FloatType():
            return f"expected a {'whole ' if isinstance(kind, inspect.IntType) else ''}number{_range(kind)}"
        case inspect.BoolType():
            return "expected true or false"
        case inspect.CustomType():
            return _WORDS.get(kind.cls, _RATE_RULE)
        case _:
            return "expected a text"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    low = f"({kind.gt:g}" if kind.gt is not None else f"[{kind.ge:g}" if kind.ge is not None else ""
    if kind.le is not None:
        return f" in {low or '(-∞'}, {kind.le:g}]"
    return f" above {kind.gt:g}" if kind.gt is not None else f" of at least {kind.ge:g}" if low else ""
