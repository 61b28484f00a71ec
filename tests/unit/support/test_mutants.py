"""Which faults the mutation run knows, and how it draws them: source in, source out."""

from __future__ import annotations

import ast
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.mutants import ROOT, TESTS, faults, mutants, mutated, sample

if TYPE_CHECKING:
    from pathlib import Path

_ROOM = '''
"""What it is about: a < b."""
from typing import TYPE_CHECKING

LIMIT = 3 + 4
if TYPE_CHECKING:
    LIMIT = 5


class Gate:
    """Lets in."""

    longest: int = 2 + 2

    def enter(self, now: float = 1 + 1) -> bool:
        """Whether it may: a < b."""
        if self.count < LIMIT:
            self.count += 1
            return True
        self._log.info("refused", count=self.count + 1)
        return False

    def __repr__(self) -> str:
        return "full" if self.count == LIMIT else "free"
'''


def _instead(text: str) -> list[str]:
    """What may stand there instead of one expression or statement."""
    (statement,) = ast.parse(text).body
    found = list(faults(statement))
    if isinstance(statement, ast.Expr):
        found += faults(statement.value)
    return [ast.unparse(node) for _, node in found]


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("a < b", ["a <= b"]),
        ("a is b", ["a is not b"]),
        ("a < b < c", []),
        ("a and b and c", ["a or b or c", "b and c", "a and c", "a and b"]),
        ("not a", ["a"]),
        ("a * b", ["a / b"]),
        ("a % b", []),
        ("a += b", ["a -= b"]),
        ("min(a, b)", ["pass", "max(a, b)"]),
        ("a if b else c", ["a if True else c", "a if False else c"]),
        ("while a:\n    b", ["while False:\n    b"]),
        ("self.a = b", ["pass"]),
        ("a = b", []),
        ("a.b(c)", ["pass"]),
    ],
)
def test_what_may_be_done_to_a_node(text: str, instead: list[str]) -> None:
    """Another comparison, a condition less, the other branch, another sign, the other bound, a statement less."""
    assert _instead(text) == instead


def test_only_what_runs_and_decides_is_mutated(tmp_path: Path) -> None:
    """No constant of a module or class, default, annotation, docstring, log line or repr."""
    path = tmp_path / "room.py"
    path.write_text(_ROOM)
    assert [one.what for one in mutants(path)] == [
        "`if self.count < LIMIT` becomes True",
        "`if self.count < LIMIT` becomes False",
        "Lt becomes LtE",
        "`self.count += 1` becomes `self.count -= 1`",
    ]
    assert {one.line for one in mutants(path)} == {17, 18}


def test_what_is_given_to_a_call_is_mutated(tmp_path: Path) -> None:
    """Arguments are expressions like others."""
    path = tmp_path / "room.py"
    path.write_text("def f(a, b):\n    return g(a + b, key=a < b)\n")
    assert [one.what for one in mutants(path)] == ["Add becomes Sub", "Lt becomes LtE"]


def test_each_mutant_differs_from_the_original_in_one_place() -> None:
    """Each number gives another source, which can be compiled; behind the last there is none."""
    text = ast.unparse(ast.parse(_ROOM))
    path = ROOT / "gateway" / "admission" / "fairness.py"
    whole = path.read_text()
    sources = [mutated(whole, one.number) for one in mutants(path)]
    original = ast.unparse(ast.parse(whole))
    assert original not in sources
    assert len(sources) > 40
    for source in sources:
        compile(source, "mutant", "exec")
    assert len(set(sources)) >= len(sources) - 2  # an `and` of two without one of them may be the same as another
    assert mutated(text, 2).count("self.count <= LIMIT") == 1
    with pytest.raises(IndexError):
        mutated(text, 4)


def test_a_sample_is_the_same_for_a_seed_and_as_large_from_each_room() -> None:
    """Ten of three rooms are four, three and three; another seed draws others."""
    rooms = ["admission", "http", "proxy"]
    drawn = sample(rooms, 10, random.Random(1))
    assert drawn == sample(rooms, 10, random.Random(1))
    assert drawn != sample(rooms, 10, random.Random(2))
    assert Counter(one.room for one in drawn) == {"admission": 4, "http": 3, "proxy": 3}
    assert len(set(drawn)) == 10


@pytest.mark.parametrize("room", TESTS)
def test_each_room_has_tests_that_are_there(room: str) -> None:
    """Every file and folder that is named exists, none is named twice, and a room's own unit tests come first."""
    named = [name for tests in TESTS[room] for name in tests]
    assert named[0] == f"tests/unit/{room}"
    assert len(named) == len(set(named))
    assert [name for name in named if not (ROOT / name).exists()] == []
