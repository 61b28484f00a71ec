"""What may be written about questions of health, and what is said of what may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.errors import InvalidConfig
from gateway.config.load import load

if TYPE_CHECKING:
    from pathlib import Path

POOL = """
[upstreams.app.pool]
command = ["sleep", "{port}"]
"""
ENDPOINTS = """
[upstreams.app]
endpoints = ["http://127.0.0.1:9001"]
"""
ROUTE = """
[routes.all]
upstream = "app"
"""


def _problems(folder: Path, text: str) -> list[str]:
    file = folder / "gateway.toml"
    file.write_text(text + ROUTE)
    try:
        load(file)
    except InvalidConfig as error:
        return [f"{problem.key}: {problem.rule}" for problem in error.problems]
    return []


@pytest.mark.parametrize(("before", "table"), [(POOL, "upstreams.app.pool.ready"), (ENDPOINTS, "upstreams.app.health")])
@pytest.mark.parametrize(
    ("written", "key", "rule"),
    [
        ('kind = "tcp"', "", ""),
        ('path = "/up"\nhost = "a.example"\nheaders = { x-a = "b" }\nstatuses = ["2xx", "401"]', "", ""),
        ('kind = "tcp"\npath = "/up"', ".path", 'expected kind = "http"'),
        ('kind = "tcp"\nstatuses = ["204"]', ".statuses", 'expected kind = "http"'),
        ('statuses = ["6xx"]', ".statuses[0]", 'such as "204"'),
        ('headers = { Host = "a" }', ".headers.Host", "has the key host"),
        ('headers = { content-length = "1" }', ".headers.content-length", "not the gateway's own"),
        ('kind = "udp"', ".kind", 'expected "http" or "tcp"'),
    ],
)
def test_pools_and_active_checks_take_the_same_keys(  # noqa: PLR0917 - two sets of parameters
    before: str, table: str, written: str, key: str, rule: str, tmp_path: Path
) -> None:
    """And have the same rules."""
    found = _problems(tmp_path, f"{before}\n[{table}]\n{written}\n")
    if not key:
        assert found == []
    else:
        assert len(found) == 1
        assert found[0].startswith(f"{table}{key}: ")
        assert rule in found[0]


def test_what_counts_as_a_failure_is_said_when_a_word_is_unknown(tmp_path: Path) -> None:
    """With its key, and not as an error of ours."""
    found = _problems(tmp_path, f'{ENDPOINTS}\nbreaker = {{ failures = ["6xx"] }}\n')
    assert found == [
        'upstreams.app.breaker.failures[0]: expected "5xx", a status such as "507", "connect" or "timeout"'
    ]


def test_a_descriptor_takes_connections_before_its_process_does(tmp_path: Path) -> None:
    """So a connection says nothing of the process; that is a warning, and only with {fd}."""
    for word, count in (("{fd}", 1), ("{port}", 0)):
        file = tmp_path / "gateway.toml"
        file.write_text(POOL.replace("{port}", word) + 'ready = { kind = "tcp" }\n' + ROUTE)
        found = [warning for warning in load(file).warnings if warning.key == "upstreams.app.pool.ready.kind"]
        assert len(found) == count
