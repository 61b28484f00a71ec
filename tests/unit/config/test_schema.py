"""The JSON Schema that editors read and the parser that the gateway reads with have one truth."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from msgspec import inspect

from gateway.config import formats
from gateway.config.document import Document
from gateway.config.schema import schema
from gateway.config.settings import Settings
from gateway.config.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Iterator

Place = tuple[str | int, ...]

CHECKER = FormatChecker(formats=())
for each in formats._FORMATS:

    def fits(text: object, name: str = each) -> bool:
        return not isinstance(text, str) or not formats.check(name, text)

    CHECKER.checks(each)(fits)
VALIDATOR = Draft202012Validator(schema(), format_checker=CHECKER)
PLAIN = Draft202012Validator(schema())


def places(kind: inspect.Type, here: Place = ()) -> Iterator[Place]:
    """Every key that a file can have, with "app" for a name and 0 for an item."""
    match kind:
        case inspect.Metadata():
            yield from places(kind.type, here)
        case inspect.UnionType():
            yield here
            for member in kind.types:
                if isinstance(member, inspect.StructType):
                    yield from places(member, here)
        case inspect.StructType():
            yield here
            for field in kind.fields:
                yield from places(field.type, (*here, field.encode_name))
        case inspect.DictType():
            yield here
            yield from places(kind.value_type, (*here, "app"))
        case inspect.VarTupleType():
            yield here
            yield from places(kind.item_type, (*here, 0))
        case _:
            yield here


PLACES = sorted({place for place in places(inspect.type_info(Settings)) if place}, key=str)
AMOUNTS = st.builds(
    lambda number, space, unit: f"{number}{space}{unit}",
    st.one_of(
        st.integers(0, 10**19).map(str),
        st.sampled_from(
            ["0", "0.0", "00001", "1.5", "364.9", "365", "365.0", "365.1", "31536001", "1e3", "-1", "1000000"]
        ),
    ),
    st.sampled_from(["", " ", "/", " / "]),
    st.sampled_from(["ms", "s", "m", "h", "d", "B", "kB", "GiB", "w", ""]),
)
TEXTS = st.sampled_from(
    [
        *("", "x", "a b", "auto", "GET", "get", "200", "2xx", "5xx", "600", "p95", "\u00e9", "a\0", "-x", "x-"),
        *("/x", "/x/{id}", "http://127.0.0.1:1", "http://u:p@h/", "127.0.0.1:80", "unix:/s", "10.0.0.0/8", "header:x"),
    ]
)
NUMBERS = st.one_of(st.integers(-2, 2), st.sampled_from([0.5, 1.0, 2.5, 1e-310, 10**7, 10**20, 10**400]))
SIMPLE = st.one_of(AMOUNTS, TEXTS, NUMBERS, st.booleans())
ODD = st.one_of(
    SIMPLE, st.lists(SIMPLE, max_size=2), st.dictionaries(st.sampled_from(["x", "a b", ""]), SIMPLE, max_size=1)
)


def file_with(place: Place, value: object) -> dict[str, Any]:
    """A file that is good but for what stands at one key."""
    root: dict[str, Any] = {
        "upstreams": {"app": {"endpoints": ["http://127.0.0.1:1"]}},
        "routes": {"app": {"upstream": "app"}},
    }
    at: Any = root
    for part, following in pairwise(place):
        kind = list if isinstance(following, int) else dict
        if isinstance(part, int):
            at[:] = [kind()]
        elif not isinstance(at.get(part), kind):
            at[part] = kind()
        at = at[part]
    if isinstance(place[-1], int):
        at[:] = [value]
    else:
        at[place[-1]] = value
    return root


def problems(data: dict[str, Any]) -> list[str]:
    walk = Walk(Document(Path("gateway.toml"), data, {(): 0}, {}))
    walk.settings(Settings)
    return [problem.rule for problem in walk.problems]


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(PLACES), ODD)
@example(("gateway", "workers"), 10**400)
@example(("gateway", "workers"), 2.0)
@example(("gateway", "drain_timeout"), "0s")
@example(("gateway", "timeouts", "head"), "0s")
@example(("gateway", "timeouts", "head"), "8760.1h")
@example(("gateway", "limits", "head"), " 9007199254740992B ")
@example(("routes", "app", "set_headers"), {"a b": "x"})
def test_the_schema_takes_what_the_parser_takes(place: Place, value: object) -> None:
    """At any key, whatever stands there: both take it, or neither does."""
    data = file_with(place, value)
    found = problems(data)
    assert VALIDATOR.is_valid(data) is (not found), found


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("gateway", "timeouts", "head"), "0s"),
        (("gateway", "timeouts", "head"), "366d"),
        (("gateway", "limits", "head"), "0B"),
        (("routes", "app", "match", "methods", 0), "get"),
        (("routes", "app", "set_headers"), {"a b": "x"}),
        (("upstreams", "app", "health", "statuses", 0), "600"),
        (("upstreams", "app", "scaling", "actuator", "namespace"), "Shop"),
    ],
)
def test_an_editor_that_knows_none_of_our_formats_sees_it_too(place: Place, value: object) -> None:
    """What one expression can say is a pattern."""
    assert not PLAIN.is_valid(file_with(place, value))
