"""A bound moves the defaults beside it, and contradicts nothing that was not written."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

import pytest

from gateway.config.bounds import _CHAINS
from gateway.config.errors import ConfigError
from gateway.config.load import load

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config.settings import Upstream


def upstream(folder: Path, keys: str) -> Upstream:
    file = folder / "gateway.toml"
    file.write_text(f'[upstreams.app]\nendpoints = ["http://127.0.0.1:1"]\n{keys}\n[routes.all]\nupstream = "app"\n')
    return load(file).settings.upstreams["app"]


@pytest.mark.parametrize(
    ("keys", "where", "expected"),
    [
        ("limit = { max = 10 }", "limit", {"min": 1, "initial": 10, "max": 10}),
        ("limit = { min = 200 }", "limit", {"min": 200, "initial": 200, "max": 10_000}),
        ("limit = { min = 50_000 }", "limit", {"min": 50_000, "initial": 50_000, "max": 50_000}),
        ("limit = { initial = 5 }", "limit", {"min": 1, "initial": 5, "max": 10_000}),
        ("limit = { min = 3, max = 9 }", "limit", {"min": 3, "initial": 9, "max": 9}),
        ('limit = { kind = "fixed", max = 7 }', "limit", {"initial": 7, "max": 7}),
        ('breaker.open_for = "2m"', "breaker", {"open_for": 120, "max_open_for": 120}),
        ('breaker.max_open_for = "2s"', "breaker", {"open_for": 2, "max_open_for": 2}),
        ('outlier.ejected_for = "2m"', "outlier", {"ejected_for": 120, "max_ejected_for": 120}),
        ('retry.backoff.base = "1s"', "retry.backoff", {"base": 1, "max": 1}),
        ('health.interval = "200ms"', "health", {"fast_interval": 0.2, "interval": 0.2}),
        ('health.fast_interval = "10s"', "health", {"fast_interval": 10, "interval": 10}),
        ('dns.max_ttl = "1s"', "dns", {"min_ttl": 1, "max_ttl": 1}),
        ("scaling.min = 20", "scaling", {"min": 20, "max": 20}),
        ('scaling = { mode = "pinned", pin = 30 }', "scaling", {"min": 1, "pin": 30, "max": 30}),
        ("scaling.fallback = 0", "scaling", {"min": 0, "fallback": 0, "max": 10}),
        ('scaling.hold = "1h"', "scaling", {"hold": 3600, "max_hold": 3600}),
    ],
)
def test_a_default_becomes_the_bound_beside_it(
    tmp_path: Path, keys: str, where: str, expected: dict[str, float]
) -> None:
    """What is written stands, and the keys beside it are the nearest that fit."""
    found = attrgetter(where)(upstream(tmp_path, keys))
    assert {key: getattr(found, key) for key in expected} == expected


@pytest.mark.parametrize("keys", ["limit = { min = 9, max = 3 }", 'dns = { min_ttl = "9s", max_ttl = "3s" }'])
def test_what_is_written_is_never_moved(tmp_path: Path, keys: str) -> None:
    """Two written keys that contradict each other are an error."""
    with pytest.raises(ConfigError, match="<="):
        upstream(tmp_path, keys)


def test_every_chain_names_keys_that_exist(tmp_path: Path) -> None:
    """A chain whose keys were renamed would hold nothing."""
    found = upstream(tmp_path, "health = {}\nscaling = {}")
    for path, keys in _CHAINS:
        table = attrgetter(".".join(path))(found)
        assert all(hasattr(table, key) for key in keys)
