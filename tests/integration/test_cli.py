"""The command line as scripts see it: exit codes, and what goes to which stream."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import gateway

FILE = """
[upstreams.app]
endpoints = ["http://127.0.0.1:9001", { url = "http://127.0.0.1:9002", weight = 3 }]
[routes.api]
match = { path = "/api/{version}/*", methods = ["GET"] }
rewrite = "/{version}/*"
upstream = "app"
timeout = "3s"
set_headers = { x-a = "[red]1", authorization = "Bearer hunter2" }
remove_response_headers = ["server"]
[routes.rest]
match = { headers = { x-b = "1" } }
upstream = "app"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(FILE)
    return path


def test_a_good_file_is_one_line(file: Path) -> None:
    """check ends with 0 and a summary."""
    done = gateway("check", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{file}: good; 2 routes, 1 upstream, 0 warnings\n"


def test_problems_go_to_standard_error(file: Path) -> None:
    """check ends with 2 and prints every problem, one a line, and nothing on standard output."""
    file.write_text(FILE + '[gateway]\nlissten = []\nworkers = "many"\n')
    done = gateway("check", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f'error: {file}:15: gateway.lissten: unknown key; did you mean "listen"?',
        f'error: {file}:16: gateway.workers: expected a whole number in [0, 256]; got "many"',
    ]


def test_warnings_do_not_fail(file: Path) -> None:
    """A file with warnings is good, and the warnings are on standard error."""
    file.write_text(FILE + "[fleet]\n")
    done = gateway("check", file)
    assert done.returncode == 0
    assert done.stderr == f"warning: {file}:14: fleet: is read but not acted on by this version\n"


@pytest.mark.parametrize("command", [("check",), ("run",), ("explain",)])
def test_an_unreadable_file_is_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Every command ends with 2 and one line when there is nothing to read."""
    more = ("GET", "/") if command == ("explain",) else ()
    done = gateway(*command, tmp_path / "none.toml", *more)
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path}/none.toml: cannot be read: No such file or directory\n"


def test_explain_tells_the_whole_way(file: Path) -> None:
    """explain names the winner, the losers, the path upstream and every policy, and hides secrets."""
    done = gateway("explain", file, "GET", "http://h.test/api/v2/x%20y?q=1", "-H", "x-b: 1")
    assert (done.returncode, done.stderr) == (0, "")
    said = [" ".join(line.split()) for line in done.stdout.splitlines()]
    for line in (
        "route api",
        "because path /api/{version}/*, method GET: the most specific that matches",
        "parameter version v2",
        "endpoint http://127.0.0.1:9001",
        "endpoint http://127.0.0.1:9002 (weight 3)",
        "upstream path /v2/x%20y?q=1",
        "timeout 3s",
        "limits.body 64MiB",
        "set header x-a: [red]1",
        "set header authorization: ***",
        "remove response header server",
        "not rest less specific path than api",
    ):
        assert line in said


def test_explain_says_none_as_people_do(file: Path) -> None:
    """What is not set is "none", and no value is one of the language that the gateway is written in."""
    for words in (("GET", "/api/v2/x"), ("GET", "/x", "-H", "x-b: 1")):
        done = gateway("explain", file, *words)
        assert done.returncode == 0
        values = {line.split(maxsplit=1)[1].strip() for line in done.stdout.splitlines() if " " in line.strip()}
        assert not values & {"None", "True", "False", "()", "[]", "{}"}
    assert "limit.streams                  none" in done.stdout


@pytest.mark.parametrize(
    ("method", "url", "reason"),
    [
        ("GET", "/none", "no_route (404)"),
        ("POST", "/api/v2/x", "method_not_allowed (405)"),
        ("GET", "/api/v2/../../..", "bad_target (400)"),
        ("GET", "/api/v2/%2e%2e/%2e%2e/x", "ambiguous_path (400)"),
    ],
)
def test_explain_tells_a_refusal(file: Path, method: str, url: str, reason: str) -> None:
    """explain ends with 1 and the reason word when the request would be refused."""
    done = gateway("explain", file, method, url)
    assert done.returncode == 1
    assert done.stdout.split("\n")[0].split(":")[0].split(maxsplit=1) == ["refused", reason]


def test_schema_and_version_are_printed() -> None:
    """schema is JSON, --version is one line."""
    assert json.loads(gateway("schema").stdout)["title"] == "gateway"
    assert gateway("--version").stdout.startswith("gateway ")


def test_a_pool_says_which_program_runs(tmp_path: Path) -> None:
    """check names the interpreter that ``python`` is, beside the summary."""
    file = tmp_path / "gateway.toml"
    file.write_text('[upstreams.app.pool]\ncommand = ["python", "{port}"]\n[routes.all]\nupstream = "app"\n')
    summary, program = gateway("check", file).stdout.splitlines()
    assert summary == f"{file}: good; 1 route, 1 upstream, 0 warnings"
    assert program.startswith(f"upstreams.app.pool runs {sys.executable}, Python {platform.python_version()}, ")


def test_standard_input_is_a_file_too() -> None:
    """``check -`` reads what is piped into it, and says so in its problems."""
    done = gateway("check", "-", given=FILE)
    assert (done.returncode, done.stdout) == (0, "<stdin>: good; 2 routes, 1 upstream, 0 warnings\n")
    done = gateway("check", "-", given="a = \n")
    assert done.returncode == 2
    assert done.stderr.startswith("error: <stdin>:1:5: Invalid value: ")


@pytest.mark.parametrize("command", ["run", "check"])
def test_the_usual_file_need_not_be_named(tmp_path: Path, command: str) -> None:
    """Without a file ./gateway.toml is read; when there is none the smallest one is shown, and it is a good one."""
    done = gateway(command, folder=tmp_path)
    assert done.returncode == 2
    first, _, smallest = done.stderr.split("\n", 2)
    assert first == "error: gateway.toml: cannot be read: No such file or directory"
    (tmp_path / "gateway.toml").write_text(smallest)
    assert gateway("check", folder=tmp_path).stdout == "gateway.toml: good; 1 route, 1 upstream, 0 warnings\n"


@pytest.mark.parametrize("command", [(), ("run",), ("check",), ("explain",), ("simulate",), ("drill",), ("schema",)])
def test_help_has_a_short_name(command: tuple[str, ...]) -> None:
    """-h is help everywhere."""
    done = gateway(*command, "-h")
    assert done.returncode == 0
    assert "Usage: " in done.stdout


def test_shells_can_complete() -> None:
    """The words of a command line are completed once a shell is told so."""
    program = Path(sys.executable).parent / "gateway"
    asked = {"_GATEWAY_COMPLETE": "complete_bash", "COMP_WORDS": "gateway ch", "COMP_CWORD": "1"}
    done = subprocess.run([program], env={**os.environ, **asked}, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["check"]


def test_a_ledger_that_is_not_there_is_a_mistake_of_the_command_line(tmp_path: Path) -> None:
    """It is not the same as a decision that nobody knows: that one ends with 1, and names the file."""
    missing = tmp_path / "ledger.jsonl"
    done = gateway("explain", "decision", "app-1", "--ledger", str(missing))
    assert done.returncode == 2
    assert "there is no file" in done.stderr
    missing.write_text("")
    done = gateway("explain", "decision", "app-1", "--ledger", str(missing))
    assert (done.returncode, "does not have it" in " ".join(done.stdout.split())) == (1, True)
