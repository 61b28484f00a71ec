"""Mutation testing, bounded: small faults are put into the code one at a time, and the tests must notice.

    python -m tests.mutants [--rooms http,proxy] [--count 60] [--seed 1] [--jobs 2] [--floor 0.8]

A seeded sample of mutants is drawn from the rooms that decide (admission, resilience, http, proxy), as many from each. For each
the tests of its room run in a copy of the tree until the first of them fails; a mutant that they pass survives. Only
statements that run are mutated, and no annotation, docstring, log line, repr or constant at a module's level: there a
mutant is another taste, not a fault. mutmut and cosmic-ray were tried on paper: both mutate in place or as a whole,
annotations and constants included, and neither chooses the tests by the room.

Ends with 1 when a smaller share of the mutants than ``--floor`` is noticed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parent.parent
# The quick ones first: most mutants fall at once.
TESTS: Final = {
    "admission": ["tests/unit/admission", "tests/sim", "tests/integration/test_admission.py",
                  "tests/integration/test_rate_limits.py", "tests/integration/test_admission_modes.py"],
    "resilience": ["tests/unit/resilience", "tests/unit/upstream", "tests/integration/test_breakers.py",
                   "tests/integration/test_retries.py", "tests/integration/test_balance.py", "tests/integration/test_health.py"],
    "http": ["tests/unit/http", "tests/integration/test_reuse.py", "tests/integration/test_tunnels.py",
             "tests/integration/test_slow_readers.py", "tests/integration/test_upload_pressure.py",
             "tests/integration/test_streaming.py", "tests/integration/test_one_write.py",
             "tests/integration/test_handshakes.py", "tests/integration/test_departures.py", "tests/hostile"],
    "proxy": ["tests/unit/proxy", "tests/integration/test_reuse.py", "tests/integration/test_retries.py",
              "tests/integration/test_hedges.py", "tests/integration/test_refusals.py", "tests/integration/test_streaming.py",
              "tests/integration/test_tunnels.py", "tests/integration/test_rate_limits.py",
              "tests/integration/test_admission.py", "tests/integration/test_trials.py", "tests/integration/test_budget.py",
              "tests/integration/test_metrics.py", "tests/hostile"],
}  # fmt: skip
LONGEST: Final = 300
"""Seconds for the tests of one mutant; one that makes them hang is noticed."""
_QUIET: Final = {"__repr__", "__str__"}
_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One fault: in which file, at which line, what was done, and the source with it."""

    path: Path
    line: int
    what: str
    source: str

    @property
    def room(self) -> str:
        """The room that it is in."""
        return self.path.relative_to(ROOT / "gateway").parts[0]

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.what}"


def faults(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:  # noqa: C901 - a list of kinds
    """What may be done to one node: a word for it and the node instead."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARISONS:
            other = copy.deepcopy(node)
            other.ops = [_COMPARISONS[type(op)]()]
            yield f"{type(op).__name__} becomes {type(other.ops[0]).__name__}", other
        case ast.BoolOp():
            other = copy.deepcopy(node)
            other.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield f"{type(node.op).__name__} becomes {type(other.op).__name__}", other
            for place in range(len(node.values)):
                rest = [copy.deepcopy(value) for at, value in enumerate(node.values) if at != place]
                yield (
                    f"without `{ast.unparse(node.values[place])}`",
                    rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest),
                )
        case ast.UnaryOp(op=ast.Not()):
            yield "without not", copy.deepcopy(node.operand)
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
            other = copy.deepcopy(node)
            other.op = _ARITHMETIC[type(op)]()
            yield f"{type(op).__name__} becomes {type(other.op).__name__}", other
        case ast.AugAssign(op=op) if type(op) in _ARITHMETIC:
            other = copy.deepcopy(node)
            other.op = _ARITHMETIC[type(op)]()
            yield f"{ast.unparse(node)} becomes {ast.unparse(other)}", other
        case ast.If() | ast.While() | ast.IfExp():
            for value in (True, False):
                if not (value and isinstance(node, ast.While)):
                    other = copy.deepcopy(node)
                    other.test = ast.Constant(value)
                    yield f"`if {ast.unparse(node.test)}` becomes {value}", other
        case ast.Call(func=ast.Name(id="min" | "max" as name)):
            other = copy.deepcopy(node)
            other.func = ast.Name("max" if name == "min" else "min", ast.Load())
            yield f"{name} becomes {other.func.id}", other
        case ast.Expr(value=ast.Call()):
            yield f"without `{ast.unparse(node)}`", ast.Pass()
        case ast.Assign(targets=[ast.Attribute()]):
            yield f"without `{ast.unparse(node)}`", ast.Pass()


def _is_quiet(node: ast.AST) -> bool:
    """Whether nothing in it is worth a mutant: what is only shown, logged or annotated."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name in _QUIET
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    text = ast.unparse(node) if isinstance(node, ast.Expr) else ""
    return "_log." in text or text.startswith("raise ")


def mutants(path: Path) -> Iterator[Mutant]:
    """All mutants of one file."""
    tree = ast.parse(path.read_text())

    def walk(parent: ast.AST, *, is_inside: bool) -> Iterator[Mutant]:
        for name, value in ast.iter_fields(parent):
            if name in {"annotation", "returns", "decorator_list", "args", "bases"}:
                continue
            children = value if isinstance(value, list) else [value]
            for place, node in enumerate(children):
                if not isinstance(node, ast.AST) or _is_quiet(node):
                    continue
                is_run = is_inside or isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef)
                if is_run:
                    for what, instead in faults(node):
                        _put(parent, name, place if isinstance(value, list) else None, instead)
                        source = ast.unparse(ast.fix_missing_locations(tree))
                        _put(parent, name, place if isinstance(value, list) else None, node)
                        yield Mutant(path, getattr(node, "lineno", 0), what, source)
                yield from walk(node, is_inside=is_run)

    yield from walk(tree, is_inside=False)


def _put(parent: ast.AST, name: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[place] = node


def sample(rooms: list[str], count: int, rng: random.Random) -> list[Mutant]:
    """``count`` mutants, as many from each room, each file's chance by the number of its mutants."""
    chosen: list[Mutant] = []
    for number, room in enumerate(rooms):
        found = [one for path in sorted((ROOT / "gateway" / room).rglob("*.py")) for one in mutants(path)]
        share = count // len(rooms) + (number < count % len(rooms))
        chosen += rng.sample(found, min(share, len(found)))
    return chosen


def is_noticed(mutant: Mutant, copy_of_tree: Path) -> bool:
    """Whether the tests of its room fail with it."""
    target = copy_of_tree / mutant.path.relative_to(ROOT)
    original = target.read_text()
    target.write_text(mutant.source)
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider",
               "-p", "no:randomly", *TESTS[mutant.room]]  # fmt: skip
    try:
        result = subprocess.run(
            command,
            cwd=copy_of_tree,
            timeout=LONGEST,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    finally:
        target.write_text(original)
    return result.returncode != 0


def _copies(count: int, folder: Path) -> SimpleQueue[Path]:
    free: SimpleQueue[Path] = SimpleQueue()
    for number in range(count):
        place = folder / str(number)
        for name in ("gateway", "tests", "config", "benchmarks", "docs"):
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "Makefile"):
            shutil.copy(ROOT / name, place / name)
        free.put(place)
    return free


def main() -> int:
    """Draw, run, print; 1 when fewer were noticed than the floor says."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--rooms", default=",".join(TESTS), help="which rooms (default: all four)")
    parser.add_argument("--count", type=int, default=60, help="how many mutants in all (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="another seed draws others (default: 1)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (default: 2)")
    parser.add_argument("--floor", type=float, default=0.8, help="the least share to be noticed (default: 0.8)")
    options = parser.parse_args()
    rooms = options.rooms.split(",")
    chosen = sample(rooms, options.count, random.Random(options.seed))
    noticed: dict[str, list[bool]] = {room: [] for room in rooms}
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(options.jobs) as pool:
        free = _copies(options.jobs, Path(folder))

        def judge(mutant: Mutant) -> tuple[Mutant, bool]:
            place = free.get()
            try:
                return mutant, is_noticed(mutant, place)
            finally:
                free.put(place)

        for mutant, verdict in pool.map(judge, chosen):
            noticed[mutant.room].append(verdict)
            print(f"{'noticed ' if verdict else 'SURVIVED'} {mutant}", flush=True)
    for room, verdicts in noticed.items():
        print(f"{room}: {sum(verdicts)} of {len(verdicts)}")
    score = sum(map(sum, noticed.values())) / max(len(chosen), 1)
    print(f"noticed: {score:.0%} (floor {options.floor:.0%})")
    return int(score < options.floor)


if __name__ == "__main__":
    sys.exit(main())
