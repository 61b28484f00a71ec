"""What the operator writes about a pool is checked before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.errors import ConfigError
from gateway.config.load import Loaded, load

if TYPE_CHECKING:
    from pathlib import Path


def loaded(folder: Path, pool: str) -> Loaded:
    file = folder / "gateway.toml"
    file.write_text(f'[routes.all]\nupstream = "app"\n[upstreams.app.pool]\n{pool}\n')
    return load(file)


@pytest.mark.parametrize("word", ["{port}", "{fd}", "{socket}"])
def test_one_word_says_where_to_listen(tmp_path: Path, word: str) -> None:
    """Each of the three words is enough, wherever it stands in an argument."""
    found = loaded(tmp_path, f'command = ["python", "--bind=x{word}y"]\nmin = 2')
    assert not found.warnings
    assert found.settings.upstreams["app"].pool.most == 2  # type: ignore[union-attr]


def test_two_ways_to_listen_are_one_too_many(tmp_path: Path) -> None:
    """A command that is told two addresses is an error that names both."""
    with pytest.raises(ConfigError, match=r"\{port\}, \{fd\}"):
        loaded(tmp_path, 'command = ["python", "{port}", "{fd}"]')


def test_a_command_that_is_not_told_is_warned_about(tmp_path: Path) -> None:
    """Without any of the words only the variable PORT says where to listen."""
    (warning,) = loaded(tmp_path, 'command = ["python"]').warnings
    assert "PORT" in str(warning)


def test_max_below_min_is_an_error(tmp_path: Path) -> None:
    """Bounds that leave no number are refused."""
    with pytest.raises(ConfigError, match="min <= max"):
        loaded(tmp_path, 'command = ["python", "{fd}"]\nmin = 3\nmax = 2')


def test_everything_can_be_said(tmp_path: Path) -> None:
    """All keys of a pool are read as what they are."""
    pool = (
        loaded(
            tmp_path,
            'command = ["python", "{fd}"]\nmax = 4\nstandby = 1\nstarts = 2\nmax_memory = "1GiB"\ndrain_timeout = "0s"\n'
            'ready = { path = "/up", passes = 3 }\nwarm_up = { path = "/", requests = 3 }\n'
            'recycle = { requests = 10000, age = "1h" }',
        )
        .settings.upstreams["app"]
        .pool
    )
    assert pool is not None
    assert (pool.min, pool.most, pool.standby, pool.starts, pool.max_memory) == (1, 4, 1, 2, 2**30)
    assert (pool.ready.passes, pool.warm_up.requests, pool.recycle.requests) == (3, 3, 10_000)
    assert (pool.recycle.age, pool.drain_timeout) == (3600.0, 0.0)
