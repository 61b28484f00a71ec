"""What limits have learned, over the death of a worker and over a restart."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.recollection import Recollection, state_file
from gateway.telemetry.snapshot import GateSnapshot, Snapshot

if TYPE_CHECKING:
    from pathlib import Path

STATE = {"stage": "proven", "limit": 12, "latency": 0.02}


class Log:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, event: str, **_: Any) -> None:
        self.lines.append(event)

    warning = info


def _said(**states: dict[str, Any]) -> Snapshot:
    return Snapshot(gates={name: GateSnapshot(remembered=state) for name, state in states.items()})


def _make(path: Path | None) -> tuple[Recollection, Log]:
    log = Log()
    return Recollection(path, log), log  # type: ignore[arg-type]


def test_a_new_worker_gets_what_its_predecessor_said() -> None:
    """With its age; another number gets nothing that was not dealt to it."""
    kept, _ = _make(None)
    kept.note({0: _said(app=STATE), 1: Snapshot()}, {0: ["app"], 1: ["app"], 2: ["app"]}, 100.0)
    assert kept.of(0, 2, 103.0) == {"app": (STATE, 3.0)}
    assert kept.of(1, 2, 103.0) == {}


def test_a_worker_that_has_learned_nothing_yet_leaves_what_was_known() -> None:
    """A limit that was just made has no state."""
    kept, _ = _make(None)
    kept.note({0: _said(app=STATE)}, {0: ["app"]}, 100.0)
    kept.note({0: _said(app={}, other=STATE)}, {0: ["app"]}, 101.0)
    assert kept.of(0, 1, 100.0) == {"app": (STATE, 0.0)}


def test_it_outlives_a_restart(tmp_path: Path) -> None:
    """Written whole, read by the next one, aged by the time between."""
    path = tmp_path / "state" / "limits.json"
    kept, _ = _make(path)
    kept.note({0: _said(app=STATE)}, {0: ["app"]}, 100.0)
    kept.write()
    assert [each.name for each in path.parent.iterdir()] == ["limits.json"]
    again, log = _make(path)
    again.read(160.0)
    assert again.of(0, 1, 160.0) == {"app": (STATE, 60.0)}
    assert log.lines == ["state read"]


def test_fewer_workers_take_what_one_of_more_knew(tmp_path: Path) -> None:
    """Each has a larger part now, and grows from there; with more of them each would have too much."""
    path = tmp_path / "limits.json"
    path.write_text(json.dumps({"version": 1, "at": 1.0, "workers": {"3": {"app": STATE}}}))
    kept, _ = _make(path)
    kept.read(1.0)
    assert kept.of(0, 1, 1.0) == {"app": (STATE, 0.0)}
    assert kept.of(0, 2, 1.0) == {}


def test_what_was_not_written_for_thirty_days_goes(tmp_path: Path) -> None:
    """Of any configuration file, and what a write that was cut short has left; what is newer or no state stays."""
    now = 1_000_000_000.0
    days = {
        "limits-0123456789ab.json": 31,
        "limits-0123456789ab.17": 31,
        "limits-ba9876543210.json": 29,
        "limits-of-mine.json": 31,
        "other.json": 31,
    }
    for name, age in days.items():
        (tmp_path / name).write_text("{}")
        os.utime(tmp_path / name, (now - age * 86_400, now - age * 86_400))
    kept, log = _make(tmp_path / "limits-abcdefabcdef.json")
    kept.read(now)
    assert {each.name for each in tmp_path.iterdir()} == {
        "limits-ba9876543210.json",
        "limits-of-mine.json",
        "other.json",
    }
    assert log.lines == ["state removed", "state removed"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"version": 2}', '{"version": 1}', '{"version": 1, "at": "x", "workers": {}}',
     '{"version": 1, "at": 1, "workers": {"x": 1}}', "\x00" * 2_000_000],
    ids=["empty", "half", "list", "null", "newer", "bare", "no time", "no states", "large"],
)  # fmt: skip
def test_a_broken_file_is_a_line_in_the_log(tmp_path: Path, text: str) -> None:
    """And the gateway starts as if there were none."""
    path = tmp_path / "limits.json"
    path.write_text(text)
    kept, log = _make(path)
    kept.read(1.0)
    assert kept.of(0, 1, 1.0) == {}
    assert log.lines == ["state ignored"]


def test_a_directory_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    """Nothing depends on it."""
    (tmp_path / "file").write_text("")
    kept, log = _make(tmp_path / "file" / "limits.json")
    kept.note({0: _said(app=STATE)}, {0: ["app"]}, 1.0)
    kept.write()
    kept.write()
    assert log.lines == ["state not kept"]


def test_where_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the directory that was set, that systemd gives, or that of the user; one for each configuration file."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found = state_file("auto", "a.toml")
    assert found is not None
    assert found.parent == tmp_path / "gateway"
    assert found != state_file("auto", "b.toml")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/gateway:/other")
    assert str(state_file("auto", "a.toml")).startswith("/var/lib/gateway/limits-")
    assert str(state_file("/here", "a.toml")).startswith("/here/limits-")
    assert state_file("", "a.toml") is None
    assert state_file("auto", "") is None
