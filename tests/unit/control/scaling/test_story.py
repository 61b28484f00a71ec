"""A decision is told in words, the same from memory and from the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.scaling.ledger import read_records
from gateway.control.scaling.record import Event, Records
from gateway.control.scaling.story import from_ledger, story

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.scaling.decision import Decision
    from tests.unit.control.scaling.conftest import Stage


async def test_from_memory_and_from_the_ledger(stage: Callable[..., Stage], tmp_path: Path) -> None:
    """Votes, guards, expectation and fate are said; both sources say the same."""
    it = stage(max=3)
    await it.live(30, 100.0)
    await it.live(120, 1.0)
    await it.ledger.stop()
    for record in it.records:
        told = list(story(record))
        found = from_ledger(record.decision.id, read_records(tmp_path / "ledger.jsonl"))
        assert found is not None
        assert list(story(found)) == told
        labels = [label for label, _ in told]
        assert labels[:2] == ["decision", "when"]
        assert "wanted by demand" in labels
    last = dict(story(next(iter(it.records))))
    assert last["decision"].startswith("app-")
    assert {"was tried first", "the trial passed", "was carried out", "expected"} <= set(last)
    assert from_ledger("app-77", read_records(tmp_path / "ledger.jsonl")) is None


def test_records_are_bounded_and_say_things_once(decide: Callable[[int, int], Decision]) -> None:
    """The oldest decision goes first, and an actuator that fails all night is one event."""
    records = Records(kept=3)
    made = [decide(n, n + 1) for n in range(5)]
    for decision in made:
        records.add(decision, "now")
    assert [record.decision for record in records] == made[:1:-1]
    assert records.get(made[0].id) is None
    for _ in range(100):
        records.note(made[4].id, Event("now", "failed", "forbidden: 403"))
    records.note(made[0].id, Event("now", "failed"))
    last = records.get(made[4].id)
    assert last is not None
    assert len(last.fate) == 1
