"""What the command line says about admission: explain names every rule that applies, check finds what cannot hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command import gateway

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
[classes.batch]
band = 2
weight = 0.5
max_queue_share = 0.25
[classes.urgent]
band = 0
[upstreams.app]
endpoints = ["http://127.0.0.1:9001"]
limit = { kind = "fixed", initial = 8, mode = "shadow" }
queue = { max_length = 7, max_bytes = "1MiB", max_wait = "300ms", fairness_key = "header:x-tenant" }
[upstreams.other]
endpoints = ["http://127.0.0.1:9002"]
queue = { mode = "off" }
[routes.api]
match = { path = "/api/{tenant}/*" }
upstream = "app"
class = "batch"
class_header = "x-class"
accept_priority = true
[[routes.api.rate_limits]]
name = "per-tenant"
key = "path:tenant"
rate = "100/s"
burst = 20
cost = 2.5
[[routes.api.rate_limits]]
name = "trial"
key = "cookie:session"
rate = "90/m"
mode = "shadow"
[routes.rest]
upstream = "other"
"""


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
        "class.band 2",
        "class.weight 0.5",
        "class.max_queue_share 0.25",
        "class_header x-class, from trusted proxies",
        "accept_priority true",
        "limit.kind fixed",
        "limit.initial 8",
        "limit.mode shadow",
        "queue.mode enforce",
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
            ("per-tenant:", "100/s", "path:tenant", "burst 20", "cost 2.5", "enforce"),
            ("trial:", "90/m", "cookie:session", "cost 1", "shadow"),
        ),
        limits,
        strict=True,
    ):
        assert all(word in line for word in words), line


def test_explain_says_what_else_chooses_the_class(file: Path) -> None:
    """The client's own wish where it counts, and the class that a trusted proxy may name."""
    done = gateway("explain", file, "GET", "/api/acme/x", "-H", "priority: u=1", "-H", "x-class: default")
    lines = said(done.stdout)
    for line in (
        "class urgent",
        "class.band 0",
        "class because priority: u=1; without it batch",
        "class from a trusted proxy default",
    ):
        assert line in lines
    lines = said(gateway("explain", file, "GET", "/elsewhere", "-H", "priority: u=1", "-H", "x-class: batch").stdout)
    assert {"class default", "class_header none", "accept_priority false"} <= set(lines)
    assert not [line for line in lines if line.startswith(("class because", "class from"))]


def test_explain_names_no_rule_of_another_route(file: Path) -> None:
    """A route without rate limits shows none; class, limit and queue are the defaults."""
    lines = said(gateway("explain", file, "GET", "/elsewhere").stdout)
    assert "route rest" in lines
    assert "class default" in lines
    assert "limit.kind adaptive" in lines
    assert "queue.max_length 10000" in lines
    assert {"limit.mode enforce", "queue.mode off"} <= set(lines)
    assert not [line for line in lines if line.startswith("rate limit")]


MISTAKES = {
    "unknown class": (
        'class = "batch"',
        'class = "bach"',
        'routes.api.class: expected the name of a class; got "bach"; did you mean "batch"?',
    ),
    "min above max": (
        'kind = "fixed", initial = 8, mode = "shadow"',
        'kind = "aimd", min = 9, initial = 9, max = 3',
        "upstreams.app.limit: expected min <= initial <= max; got 9, 9, 3",
    ),
    "start above max": (
        'kind = "fixed", initial = 8, mode = "shadow"',
        "initial = 20, max = 10",
        "upstreams.app.limit: expected min <= initial <= max; got 1, 20, 10",
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
        "burst = 20\ncost = 2.5",
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
        (
            "routes.api.rate_limits[1].key: expected client_ip, header:NAME, cookie:NAME, path:NAME or route; "
            'got "cokie:session"'
        ),
    ),
    "key without a name": (
        'key = "cookie:session"',
        'key = "cookie:"',
        "routes.api.rate_limits[1].key: expected client_ip, header:NAME, cookie:NAME, path:NAME or route",
    ),
    "bad fairness key": (
        'fairness_key = "header:x-tenant"',
        'fairness_key = "headr:x-tenant"',
        (
            "upstreams.app.queue.fairness_key: expected client_ip, header:NAME, cookie:NAME, path:NAME or route; "
            'got "headr:x-tenant"'
        ),
    ),
    "a fairness key that no route has": (
        'fairness_key = "header:x-tenant"',
        'fairness_key = "path:tenent"',
        (
            "upstreams.app.queue.fairness_key: expected a parameter of the path of a route that leads here; "
            'got "path:tenent"'
        ),
    ),
    "bad mode of the limit": (
        'initial = 8, mode = "shadow"',
        'initial = 8, mode = "shadwo"',
        'upstreams.app.limit.mode: expected "enforce" or "off" or "shadow"; got "shadwo"; did you mean "shadow"?',
    ),
    "bad mode of the queue": (
        'queue = { mode = "off" }',
        'queue = { mode = "none" }',
        'upstreams.other.queue.mode: expected "enforce" or "off" or "shadow"; got "none"',
    ),
    "bad kind of limit": ('kind = "fixed"', 'kind = "fixd"', "upstreams.app.limit.kind: "),
    "bad mode": ('\nmode = "shadow"', '\nmode = "shade"', "routes.api.rate_limits[1].mode: "),
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
    assert text.count("got") <= 1
    assert int(place) in numbers


def test_check_warns_of_routes_that_share_as_one(file: Path) -> None:
    """A parameter that one route has and another has not is no mistake, but worth a word."""
    text = (
        FILE.replace('"header:x-tenant"', '"path:tenant"')
        + '[routes.more]\nmatch = { path = "/more" }\nupstream = "app"\n'
    )
    file.write_text(text)
    done = gateway("check", file)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    number = next(n for n, written in enumerate(text.splitlines(), 1) if "fairness_key" in written)
    assert line == (
        f"warning: {file}:{number}: upstreams.app.queue.fairness_key: "
        "routes.more has no such parameter in its path, so all its requests share as one"
    )


def test_check_finds_nothing_in_a_good_file(file: Path) -> None:
    """The file that the mistakes are made in has none itself."""
    done = gateway("check", file)
    assert (done.returncode, done.stderr) == (0, "")
