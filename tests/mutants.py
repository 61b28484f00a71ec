"""Mutation testing, bounded: small faults are put into the code one at a time, and the tests must notice.

    python -m tests.mutants [--rooms http,proxy] [--count 60] [--seed 1] [--jobs 2] [--floor 0.75]

A seeded sample of mutants is drawn from the rooms that decide (admission, resilience, http, proxy), as many from each.
For each the tests of its room run in a copy of the tree, the quick ones first, until one of them fails; a mutant that
they pass survives. A test that fails without the fault as well notices nothing. Only statements that run are mutated,
and no annotation, docstring, log line, repr or constant at a module's level: there a mutant is another taste, not a
fault. mutmut and cosmic-ray were weighed: both mutate all of a file, annotations and constants included, and neither
chooses the tests by the room.

Each run of tests is forked from a process that has the libraries loaded already, which saves about two seconds each.

Ends with 1 when a smaller share of the mutants than ``--floor`` is noticed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

ROOT: Final = Path(__file__).parent.parent
_INTEGRATION: Final = "tests/integration/test_{}.py"
_HOSTILE: Final = "tests/hostile/test_{}.py"


def _files(pattern: str, names: str) -> list[str]:
    return [pattern.format(name) for name in names.split()]


# Each room's own unit tests, then what holds its claims with sockets, quick files first. A run is a list of these.
TESTS: Final[dict[str, list[list[str]]]] = {
    "admission": [
        ["tests/unit/admission"],
        ["tests/unit/proxy/test_capacity.py", "tests/unit/simulate/test_world.py"],
        _files(_INTEGRATION, "admission rate_limits admission_modes refusals places"),
        _files(_HOSTILE, "admission_conservation quota_history"),
        ["tests/sim/test_limits.py"],
    ],
    "resilience": [
        ["tests/unit/resilience", "tests/unit/upstream"],
        _files(_INTEGRATION, "breakers retries balance hedges trials repeats whose_failure health metrics"),
        ["tests/sim/test_resilience_chaos.py"],
    ],
    "http": [
        ["tests/unit/http", "tests/unit/core"],
        _files(_INTEGRATION, "one_write reuse streaming departures tunnels goes_on"),
        _files(_HOSTILE, "lines hosts targets framing_length framing_chunked transfer_encoding methods limits"),
        _files(_HOSTILE, "by_the_letter forwarded_identity hop_by_hop expectations fidelity responses pipelining"),
        _files(_HOSTILE, "slow_clients slow_upstreams stale_connections refused_bodies upgrades disconnects"),
        _files(_INTEGRATION, "slow_readers upload_pressure handshakes early_answers transports"),
        _files(_HOSTILE, "pipeline_order"),
    ],
    "proxy": [
        ["tests/unit/proxy", "tests/unit/routing"],
        _files(_INTEGRATION, "streaming reuse retries admission rate_limits refusals budget metrics tunnels one_write"),
        _files(_HOSTILE, "hop_by_hop by_the_letter methods responses upgrades expectations refused_bodies"),
        _files(_INTEGRATION, "hedges trials repeats breakers places whose_failure signals pool_endpoints"),
        _files(_INTEGRATION, "self_protection upload_pressure slow_readers early_answers goes_on scale"),
        _files(_HOSTILE, "admission_conservation forwarded_identity stale_connections disconnects slow_upstreams"),
    ],
}
LONGEST: Final = 600
"""Seconds for one run of tests. A test that hangs is ended, and fails, long before; so this says nothing."""
_LIBRARIES: Final = [
    "aiobreaker", "aiohttp", "msgspec", "prometheus_client", "pytest",
    "structlog", "tenacity", "trustme", "uvloop",
]  # fmt: skip
_QUIET: Final = {"__repr__", "__str__"}
_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
}  # fmt: skip


# --- which faults there are ----------------------------------------------------------------------


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
            yield f"`{ast.unparse(node)}` becomes `{ast.unparse(other)}`", other
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
    return isinstance(node, ast.Expr) and "_log." in ast.unparse(node)


class _Spot(NamedTuple):
    """A node where it stands: ``parent.name``, or ``parent.name[place]`` when that is a list."""

    parent: ast.AST
    name: str
    place: int
    node: ast.AST

    def put(self, node: ast.AST) -> None:
        """Let this node stand there instead."""
        found = getattr(self.parent, self.name)
        if isinstance(found, list):
            found[self.place] = node
        else:
            setattr(self.parent, self.name, node)


def _spots(parent: ast.AST, *, is_inside: bool = False) -> Iterator[_Spot]:
    """Every node of a function's body that is worth a look, outer ones first."""
    is_run = is_inside or isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef)
    for name, value in ast.iter_fields(parent):
        if name in {"annotation", "returns", "decorator_list", "bases"} or isinstance(value, ast.arguments):
            continue
        for place, node in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(node, ast.AST) or _is_quiet(node):
                continue
            if is_run:
                yield _Spot(parent, name, place, node)
            yield from _spots(node, is_inside=is_run)


@dataclass(frozen=True)
class Mutant:
    """One fault: in which file, at which line, what is done; ``number`` counts the faults of the file from 0."""

    path: Path
    number: int
    line: int
    what: str

    @property
    def room(self) -> str:
        """The room that it is in."""
        return self.path.relative_to(ROOT / "gateway").parts[0]

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.what}"


def mutants(path: Path) -> list[Mutant]:
    """All mutants of one file, in the order of its text."""
    found = (
        (getattr(spot.node, "lineno", 0), what)
        for spot in _spots(ast.parse(path.read_text()))
        for what, _ in faults(spot.node)
    )
    return [Mutant(path, number, line, what) for number, (line, what) in enumerate(found)]


def mutated(text: str, number: int) -> str:
    """The source with its fault of this number; raises IndexError when it has fewer."""
    tree = ast.parse(text)
    for spot in _spots(tree):
        for _, instead in faults(spot.node):
            if not number:
                spot.put(instead)
                return ast.unparse(ast.fix_missing_locations(tree))
            number -= 1
    raise IndexError(number)


def sample(rooms: list[str], count: int, rng: random.Random) -> list[Mutant]:
    """``count`` mutants, as many from each room, each file's chance by the number of its mutants."""
    chosen: list[Mutant] = []
    for number, room in enumerate(rooms):
        found = [one for path in sorted((ROOT / "gateway" / room).rglob("*.py")) for one in mutants(path)]
        share = count // len(rooms) + (number < count % len(rooms))
        chosen += rng.sample(found, min(share, len(found)))
    return chosen


# --- whether the tests notice --------------------------------------------------------------------


class _FirstFailure:
    """A plugin that keeps the name of the first test that fails, or of the file that cannot be read."""

    name = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.name = self.name or report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.name = self.name or report.nodeid


def _run(tree: Path, tests: list[str], answer: Connection) -> None:
    """Run these tests in a process of their own, and tell which failed first."""
    import pytest

    os.chdir(tree)
    sys.path[:] = [str(tree), *(path for path in sys.path if path not in {"", str(ROOT)})]
    for name in [name for name in sys.modules if name.partition(".")[0] in {"gateway", "tests"}]:
        del sys.modules[name]  # they are the tree's own from here on
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    watcher = _FirstFailure()
    options = ["-x", "--tb=no", "-p", "no:cacheprovider", "-p", "no:randomly", "--hypothesis-seed=0"]
    code = pytest.main([*options, *tests], plugins=[watcher])
    answer.send(watcher.name or ("" if code == 0 else f"pytest ended with {int(code)}"))


def first_failure(tree: Path, tests: list[str]) -> str:
    """The first of these tests that fails in a copy of the tree; empty when all pass, or take too long."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(_LIBRARIES)
    here, there = forks.Pipe(duplex=False)
    process = forks.Process(target=_run, args=(tree, tests, there))
    process.start()
    there.close()
    try:
        return here.recv() if here.poll(LONGEST) else ""
    except EOFError:
        return "the process died"
    finally:
        process.kill()
        process.join()


def who_notices(mutant: Mutant, tree: Path, sound: dict[str, bool]) -> str:
    """The test that fails with this mutant and passes without it; empty when there is none."""
    target = tree / mutant.path.relative_to(ROOT)
    original = target.read_text()
    target.write_text(mutated(original, mutant.number))
    found = ""
    try:
        for tests in TESTS[mutant.room]:
            found = first_failure(tree, tests)
            if found:
                break
    finally:
        target.write_text(original)
    if "::" in found:
        if found not in sound:
            sound[found] = not first_failure(tree, [found])
        if not sound[found]:
            print(f"fails without a fault: {found}", flush=True)
            return ""
    return found


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
    parser.add_argument("--floor", type=float, default=0.75, help="the least share to be noticed (default: 0.75)")
    options = parser.parse_args()
    rooms = options.rooms.split(",")
    chosen = sample(rooms, options.count, random.Random(options.seed))
    noticed: dict[str, list[bool]] = {room: [] for room in rooms}
    sound: dict[str, bool] = {}
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # a mutant may have its original's size, within the same second
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(options.jobs) as pool:
        free = _copies(options.jobs, Path(folder))
        tree = free.get()
        for room in rooms:
            broken = first_failure(tree, TESTS[room][0])
            if broken:
                raise SystemExit(f"{room}: fails without a fault: {broken}")
        free.put(tree)

        def judge(mutant: Mutant) -> tuple[Mutant, str]:
            tree = free.get()
            try:
                return mutant, who_notices(mutant, tree, sound)
            finally:
                free.put(tree)

        for mutant, test in pool.map(judge, chosen):
            noticed[mutant.room].append(bool(test))
            print(f"noticed  {mutant}  by {test}" if test else f"SURVIVED {mutant}", flush=True)
    for room, verdicts in noticed.items():
        print(f"{room}: {sum(verdicts)} of {len(verdicts)}")
    score = sum(map(sum, noticed.values())) / max(len(chosen), 1)
    print(f"noticed: {score:.0%} (floor {options.floor:.0%})")
    return int(score < options.floor)


if __name__ == "__main__":
    sys.exit(main())
