"""What targets know of days outlives the process, and no disk or file can hold anything up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.scaling.seasons import Seasons
from gateway.scaling.analyzers.season import BIN, Season

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.control.scaling.conftest import Log


def seen() -> Season:
    season = Season()
    for step in range(100):
        season.update(float(step), 30.0, step * BIN / 10)
    return season


async def test_what_was_written_is_read(tmp_path: Path, log: Log) -> None:
    """By name; a target that saw nothing is left out, and no half file is ever in its place."""
    season = seen()
    ledger = str(tmp_path / "ledger")
    await Seasons(ledger, log).stop({"app": season.state(), "new": None})
    assert Seasons(ledger, log).read() == {"app": season.state()}
    assert not (tmp_path / "ledger.seasons.new").exists()
    assert log.events == []


async def test_a_file_that_is_none_of_ours_is_said_and_left_out(tmp_path: Path, log: Log) -> None:
    """A gateway starts without seasons rather than not at all."""
    (tmp_path / "ledger.seasons").write_bytes(b"\x00nonsense")
    assert Seasons(str(tmp_path / "ledger"), log).read() == {}
    assert [event for _, event, _ in log.events] == ["seasons cannot be read"]


async def test_a_disk_that_takes_nothing_is_said_once(log: Log) -> None:
    """And nobody waits for it."""
    seasons = Seasons("/nowhere/at/all", log)
    for _ in range(3):
        await seasons.stop({"app": seen().state()})
    assert [event for _, event, _ in log.events] == ["seasons cannot be written"]
    assert seasons.read() == {}


async def test_without_a_ledger_there_is_no_file(log: Log) -> None:
    """Nothing was asked for."""
    seasons = Seasons(None, log)
    await seasons.stop({"app": seen().state()})
    assert seasons.read() == {}
