"""What the command line says about admission: explain names every rule that applies, check finds what cannot hold."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
[classes.batch]
band = 2
weight = 0.5
[upstreams.app]
endpoints = ["http://127.0.0.1:9001"]
limit = { kind = "fixed", initial = 8 }
queue = { max_length = 7, max_bytes = "1MiB", max_wait = "300ms", fairness_key = "header:x-tenant" }
[upstreams.other]
endpoints = ["http://127.0.0.1:9002"]
[routes.api]
match = { path = "/api/{tenant}/*" }
upstream = "app"
class = "batch"
[[routes.api.rate_limits]]
name = "per-tenant"
key = "path:tenant"
rate = "100/s"
burst = 20
[[routes.api.rate_limits]]
name = "trial"
key = "cookie:session"
rate = "90/m"
mode = "shadow"
[routes.rest]
upstream = "other"
"""


def gateway(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)


def said(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(FILE)
    return path


def test_explain_names_every_rule_of_admission(file: Path) -> None:
    """Class, limit, queue and all rate limits of the route, in shadow too, with what would be decided by them."""
    done = gateway("explain", file, "GET", "/api/acme/x")
    assert (done.returncode, done.stderr) == (0, "")
    lines = said(done.stdout)
    for line in (
        "route api",
        "parameter tenant acme",
        "class batch",
        "limit.kind fixed",
        "limit.initial 8",
        "queue.max_length 7",
        "queue.max_bytes 1MiB",
        "queue.max_wait 300ms",
        "queue.fairness_key header:x-tenant",
    ):
        assert line in lines
    limits = [line for line in lines if line.startswith("rate limit ")]
    assert len(limits) == 2
    for words, line in zip(
        (
            ("per-tenant:", "100/s", "path:tenant", "burst 20", "enforce"),
            ("trial:", "90/m", "cookie:session", "shadow"),
        ),
        limits,
        strict=True,
    ):
        assert all(word in line for word in words), line


def test_explain_names_no_rule_of_another_route(file: Path) -> None:
    """A route without rate limits shows none; class, limit and queue are the defaults."""
    lines = said(gateway("explain", file, "GET", "/elsewhere").stdout)
    assert "route rest" in lines
    assert "class default" in lines
    assert "limit.kind adaptive" in lines
    assert "queue.max_length 500" in lines
    assert not [line for line in lines if line.startswith("rate limit")]


MISTAKES = {
    "unknown class": (
        'class = "batch"',
        'class = "bach"',
        'routes.api.class: expected the name of a class; got "bach"; did you mean "batch"?',
    ),
    "min above max": (
        'kind = "fixed", initial = 8',
        'kind = "aimd", min = 9, initial = 9, max = 3',
        "upstreams.app.limit: expected min <= initial <= max; got 9, 9, 3",
    ),
    "start above max": (
        'kind = "fixed", initial = 8',
        "initial = 600",
        "upstreams.app.limit: expected min <= initial <= max; got 1, 600, 500",
    ),
    "one name twice": (
        'name = "trial"',
        'name = "per-tenant"',
        'routes.api.rate_limits[1].name: expected every name once; got "per-tenant"',
    ),
    "a parameter that is not there": (
        'key = "path:tenant"',
        'key = "path:tenent"',
        'routes.api.rate_limits[0].key: expected a parameter of the route\'s path; got "path:tenent"',
    ),
    "cost above burst": (
        "burst = 20",
        "burst = 20\ncost = 21",
        "routes.api.rate_limits[0].cost: expected at most the burst (20), or no request would ever pass",
    ),
    "bad rate": (
        'rate = "100/s"',
        'rate = "100/fortnight"',
        "routes.api.rate_limits[0].rate: expected a rate above 0",
    ),
    "no rate": ('rate = "100/s"', 'rate = "0/s"', "routes.api.rate_limits[0].rate: expected a rate above 0"),
    "bad key": (
        'key = "cookie:session"',
        'key = "cokie:session"',
        "routes.api.rate_limits[1].key: expected client_ip, header:NAME, cookie:NAME, path:NAME or route",
    ),
    "key without a name": (
        'key = "cookie:session"',
        'key = "cookie:"',
        "routes.api.rate_limits[1].key: expected client_ip, header:NAME, cookie:NAME, path:NAME or route",
    ),
    "bad fairness key": (
        'fairness_key = "header:x-tenant"',
        'fairness_key = "headr:x-tenant"',
        "upstreams.app.queue.fairness_key: expected client_ip, header:NAME, cookie:NAME",
    ),
    "bad kind of limit": ('kind = "fixed"', 'kind = "fixd"', "upstreams.app.limit.kind: "),
    "bad mode": ('mode = "shadow"', 'mode = "shade"', "routes.api.rate_limits[1].mode: "),
    "unknown key": (
        "burst = 20",
        "bursts = 20",
        'routes.api.rate_limits[0].bursts: unknown key; did you mean "burst"?',
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_check_finds_what_cannot_hold(file: Path, mistake: str) -> None:
    """One mistake is one line: where it is, what was expected, what was found."""
    right, wrong, told = MISTAKES[mistake]
    assert right in FILE
    file.write_text(FILE.replace(right, wrong, 1))
    done = gateway("check", file)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    written = wrong.splitlines()[-1]
    numbers = {n for n, text in enumerate(file.read_text().splitlines(), 1) if written in text}
    place, _, text = line.removeprefix(f"error: {file}:").partition(": ")
    assert text.startswith(told)
    assert int(place) in numbers


def test_check_finds_nothing_in_a_good_file(file: Path) -> None:
    """The file that the mistakes are made in has none itself."""
    done = gateway("check", file)
    assert (done.returncode, done.stderr) == (0, "")
