"""What cannot hold between the keys of scaling and pool is said, with the key that breaks the rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.errors import ConfigError
from gateway.config.load import load
from gateway.control.scaling.inforce import in_force

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config.load import Loaded

FIXED = '[upstreams.app]\nendpoints = ["http://127.0.0.1:1"]\n'
POOL = '[upstreams.app.pool]\ncommand = ["true", "{port}"]\n'
ROUTE = '\n[routes.all]\nupstream = "app"\n'


def loaded(folder: Path, *parts: str) -> Loaded:
    file = folder / "gateway.toml"
    file.write_text("\n".join((*parts, ROUTE)))
    return load(file)


@pytest.mark.parametrize(
    ("upstream", "scaling", "key", "rule"),
    [
        (FIXED, "min = 5\nmax = 2", "scaling", "min <= max"),
        (FIXED, 'hold = "1h"\nmax_hold = "1m"', "scaling", "hold <= max_hold"),
        (FIXED, 'mode = "pinned"', "scaling.pin", "is missing"),
        (FIXED, 'mode = "pinned"\nmax = 9\npin = 99', "scaling.pin", "min <= pin <= max"),
        (FIXED, "fallback = 99\nmax = 9", "scaling.fallback", "min <= fallback <= max"),
        (FIXED, 'actuator = { kind = "kubernetes" }', "scaling.actuator.deployment", "is missing"),
        (FIXED, 'actuator = { kind = "pool" }', "scaling.actuator.kind", '"pool" table'),
        (
            POOL,
            'actuator = { kind = "exec", command = ["true", "{to}"] }',
            "scaling.actuator.kind",
            "runs this pool itself",
        ),
        (POOL + "min = 2\nmax = 4\n", "min = 6\nmax = 9", "scaling", "in common"),
        (POOL + "min = 4\nmax = 2\n", "", "pool", "min <= max"),
        (POOL + "min = 0\n", "", "pool", '"max" of at least 1'),
    ],
)
def test_what_cannot_hold(tmp_path: Path, upstream: str, scaling: str, key: str, rule: str) -> None:
    """Each mistake is one problem at its key."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, upstream, "[upstreams.app.scaling]", scaling)
    (problem,) = caught.value.problems
    assert problem.key == f"upstreams.app.{key}"
    assert rule in problem.rule


@pytest.mark.parametrize(("scaling", "key"), [('mode = "live"', "mode"), ("pin = 3", "pin")])
def test_what_does_nothing_is_said(tmp_path: Path, scaling: str, key: str) -> None:
    """Live without an actuator publishes only; a pin needs its mode."""
    warnings = loaded(tmp_path, FIXED, "[upstreams.app.scaling]", scaling).warnings
    assert [warning.key for warning in warnings] == [f"upstreams.app.scaling.{key}"]


def test_names_of_files_are_made_absolute(tmp_path: Path) -> None:
    """Those of the ledger and of the actuators too."""
    actuator = '[upstreams.app.scaling]\nactuator = { kind = "webhook", url = "https://a/b", secret_file = "key" }\n'
    settings = loaded(tmp_path, '[admin]\nledger = "ledger.jsonl"', FIXED, actuator).settings
    assert settings.admin.ledger == str(tmp_path / "ledger.jsonl")
    scaling = settings.upstreams["app"].scaling
    assert scaling is not None
    assert scaling.actuator.secret_file == str(tmp_path / "key")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((FIXED,), ("off", 1, 10, "publish")),
        ((FIXED, '[upstreams.app.scaling]\nmode = "shadow"'), ("shadow", 1, 10, "publish")),
        ((POOL,), ("off", 1, 1, "pool")),
        ((POOL + "max = 4",), ("live", 1, 4, "pool")),
        ((POOL + "min = 2\nmax = 4", '[upstreams.app.scaling]\nmode = "observe"'), ("observe", 2, 4, "pool")),
        ((POOL + "max = 40", '[upstreams.app.scaling]\nmode = "live"\nmin = 3'), ("live", 3, 40, "pool")),
        ((POOL + "max = 40", '[upstreams.app.scaling]\nmode = "live"\nmax = 10'), ("live", 1, 10, "pool")),
        ((POOL, '[upstreams.app.scaling]\nmode = "live"\nmin = 2\nmax = 8'), ("live", 2, 8, "pool")),
        ((POOL, '[upstreams.app.scaling]\nmode = "live"\nmin = 0\nmax = 8'), ("live", 0, 8, "pool")),
        ((POOL + "min = 15\nmax = 20", '[upstreams.app.scaling]\nmode = "live"'), ("live", 15, 20, "pool")),
    ],
)
def test_what_is_in_force(tmp_path: Path, parts: tuple[str, ...], expected: tuple[str, int, int, str]) -> None:
    """A pool with room follows demand; the narrower bounds count; without a table there are signals only."""
    found = in_force(loaded(tmp_path, *parts).settings.upstreams["app"])
    assert (found.mode, found.min, found.max, found.actuator.kind) == expected
