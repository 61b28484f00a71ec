"""Every key has its line."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.positions import locate
from gateway.config.reference import toml

TEXT = '''# comment with [brackets] = "and quotes
top = 1 # [x]
"quoted.key".'single' = """
[not.a.table]
\\""" still ""the text"""""
after = \'\'\'
x = 1\'\'\'
[a.b] # c
c = { d = 1, "e" = [ { f = 2 }, # g = 3
  { g = 3 } ] }
list = [
  "]", # ]
  \'#\',
  1979-05-27T07:32:00Z,
]
[[t]]
x = 1
[[t.u]]
y = 1
[[t.u]]
y = 2
[[t]]
[t.v]
z = 1
'''


def test_every_kind_of_key_has_its_line() -> None:
    """Tables, arrays of tables, dotted and quoted keys, inline tables and items are located."""
    lines = locate(TEXT)
    assert lines[("top",)] == 2
    assert lines[("quoted.key", "single")] == 3
    assert lines[("after",)] == 6
    assert lines[("a", "b")] == 8
    assert lines[("a", "b", "c", "e", 1, "g")] == 10
    assert lines[("a", "b", "list", 2)] == 14
    assert lines[("t", 0, "u", 1, "y")] == 21
    assert lines[("t", 1, "v", "z")] == 24


def paths(value: object, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    if isinstance(value, dict):
        return {path}.union(*(paths(item, (*path, name)) for name, item in value.items()))
    if isinstance(value, list):
        return {path}.union(*(paths(item, (*path, index)) for index, item in enumerate(value)))
    return {path}


def test_exactly_the_keys_that_are_there_are_located() -> None:
    """The scanner sees the same keys and items as tomllib."""
    assert set(locate(TEXT)) == paths(tomllib.loads(TEXT))


names = st.from_regex(r"[a-z]{1,4}", fullmatch=True)
values = st.recursive(
    st.one_of(
        st.integers(0, 99), st.booleans(), st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(names, values, max_size=5))
def test_any_values_are_scanned(data: dict[str, object]) -> None:
    """Whatever the values, every key is on the line where it was written."""
    text = "".join(f"{name} = {toml(value)}\n" for name, value in data.items())
    lines = locate(text)
    assert set(lines) == paths(tomllib.loads(text))
    assert [lines[(name,)] for name in data] == list(range(1, len(data) + 1))
