"""The configurations that benchmarks write."""

from __future__ import annotations

from pathlib import Path

import benchmarks


def test_a_benchmark_leaves_no_state_and_begins_from_none() -> None:
    """What limits learned in one run is neither what the next begins with nor a file in the home of its user."""
    texts = [file.read_text() for file in Path(benchmarks.__path__[0]).rglob("*.py")]
    tables = [part for text in texts for part in text.split("[gateway]\n")[1:]]
    assert len(tables) >= 4
    assert all('state_dir = ""' in part.partition("\n[")[0] for part in tables)
