"""The ledger keeps every line that the disk takes, and a disk that takes none stops nobody."""

from __future__ import annotations

import asyncio
import errno
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.control.scaling import ledger as room
from gateway.control.scaling.ledger import Ledger, read_records
from gateway.control.scaling.past import Past, last_states
from gateway.control.scaling.wall import wall_seconds, wall_text
from gateway.core.clock import ManualClock
from tests.support.running import until

if TYPE_CHECKING:
    from tests.unit.control.scaling.conftest import Log


def make(path: Path | None, log: Log, **options: Any) -> Ledger:
    return Ledger(None if path is None else str(path), clock=ManualClock(0.0, 1.7e9), log=log, **options)  # type: ignore[arg-type]


async def test_lines_are_written_in_order(tmp_path: Path, log: Log) -> None:
    """Every record is one line with its time of day."""
    ledger = make(tmp_path / "l", log)
    for number in range(50):
        ledger.write({"kind": "decision", "n": number})
    await ledger.stop()
    lines = [json.loads(line) for line in (tmp_path / "l").read_text().splitlines()]
    assert [line["n"] for line in lines] == list(range(50))
    assert lines[0]["wall"] == "2023-11-14T22:13:20.000Z"
    assert wall_seconds(lines[0]["wall"]) == 1.7e9
    assert wall_text(0.0) == "1970-01-01T00:00:00.000Z"


async def test_without_a_path_nothing_happens(log: Log) -> None:
    """No file, no task."""
    ledger = make(None, log)
    ledger.write({"n": 1})
    await ledger.stop()
    assert len(asyncio.all_tasks()) == 1


async def test_an_unwritable_path_is_said_once_and_lines_wait_for_it(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of the time without a folder are there when the folder is."""
    monkeypatch.setattr(room, "_AGAIN", 0.01)
    ledger = make(tmp_path / "later" / "l", log)
    ledger.write({"n": 1})
    await until(lambda: ledger.errors >= 3)
    ledger.write({"n": 2})
    assert [level for level, *_ in log.events] == ["error"]
    (tmp_path / "later").mkdir()
    await until(lambda: len(log.events) > 1)  # it is said once they are written
    assert [record["n"] for record in read_records(tmp_path / "later" / "l")] == [1, 2]
    assert [level for level, *_ in log.events] == ["error", "warning"]
    assert ledger.problem == ""
    await ledger.stop()


async def test_a_full_disk(log: Log) -> None:
    """/dev/full takes nothing: the failure is counted, memory is bounded, the oldest lines go."""
    ledger = make(Path("/dev/full"), log)
    for number in range(room._MOST_WAITING + 5):
        ledger.write({"n": number})
    await until(lambda: ledger.errors)
    assert ledger.dropped == 5
    assert len(ledger._waiting) == room._MOST_WAITING
    assert ledger.reading.errors >= 1
    await ledger.stop()


async def test_it_is_rotated(tmp_path: Path, log: Log) -> None:
    """At its largest the file makes room for the next one, and both are read."""
    ledger = make(tmp_path / "l", log, largest=500)
    for number in range(30):
        ledger.write({"n": number})
        await until(lambda: not ledger._waiting and (ledger._task is None or ledger._task.done()))
    assert (tmp_path / "l.1").stat().st_size < 700
    found = [record["n"] for record in read_records(tmp_path / "l")]
    assert found == list(range(found[0], 30))
    assert len(found) > 5
    await ledger.stop()


async def test_a_torn_line_costs_only_itself(tmp_path: Path, log: Log) -> None:
    """After a crash in the middle of a line the next one begins on its own."""
    (tmp_path / "l").write_bytes(b'{"n": 1}\n{"n": 2, "to')
    ledger = make(tmp_path / "l", log)
    ledger.write({"n": 3})
    await ledger.stop()
    assert [record["n"] for record in read_records(tmp_path / "l")] == [1, 3]


def test_nonsense_changes_no_state() -> None:
    """Whatever somebody edited into the file, the last good state of each target counts."""
    made = {"kind": "decision", "id": "app-7", "target": "app", "mode": "live", "to": 4}
    good = {"kind": "carried_out", "id": "app-7", "target": "app"}
    nonsense = [
        {"kind": "decision", "id": "app-x", "target": "app", "mode": "live", "to": 9},
        {"kind": "decision", "id": "app-9", "target": "app", "mode": "live", "to": "many"},
        {"kind": "frozen", "target": "app", "wall": "yesterday"},
        {"kind": "pinned", "target": "app", "replicas": -1, "until": wall_text(0)},
        {"kind": "decision", "target": 5},
        {"kind": "carried_out", "id": "app-8", "target": "app"},
        {"kind": "state", "target": "app", "serial": 3, "replicas": "all", "frozen": None, "pinned": None},
        {"id": "app-99"},
    ]
    assert last_states([made, good, *nonsense]) == {"app": Past(serial=7, replicas=4)}


def test_what_was_called_off_was_not_done() -> None:
    """A scale-in that its trial stopped leaves the number that was there; a shadow decision leaves none."""
    made = {"kind": "decision", "id": "app-7", "target": "app", "mode": "live", "to": 2}
    off = {"kind": "called_off", "id": "app-7", "target": "app", "replicas": 5}
    assert last_states([made, off])["app"].replicas == 5
    assert last_states([{**made, "mode": "shadow"}])["app"] == Past(serial=7)


def test_a_file_that_is_not_there_has_no_records(tmp_path: Path) -> None:
    """A first start is no error."""
    assert list(read_records(tmp_path / "none")) == []


@pytest.mark.parametrize("kind", ["trial", "called_off", "given_up", "changed"])
def test_every_word_of_what_there_is_is_remembered(kind: str) -> None:
    """Of a trial, of what was not done and of what others have done the line says how many there were."""
    assert last_states([{"kind": kind, "id": "app-7", "target": "app", "replicas": 5}])["app"].replicas == 5


async def test_a_disk_that_is_full_in_the_middle_of_a_line_costs_none(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The half of it is taken back, so that each line is there once when there is room again."""
    monkeypatch.setattr(room, "_AGAIN", 0.01)
    whole, failures = room._write_all, [1, 1]

    def torn(fd: int, data: bytes) -> None:
        if failures:
            failures.pop()
            whole(fd, data[: 3 * len(data) // 4])
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(fd, data)

    monkeypatch.setattr(room, "_write_all", torn)
    path = tmp_path / "l"
    ledger = make(path, log)
    for number in range(4):
        ledger.write({"n": number})
    await until(lambda: not failures and not ledger._waiting)
    await ledger.stop()
    assert [record["n"] for record in read_records(path)] == [0, 1, 2, 3]
    assert path.read_bytes().count(b"\n") == 4
