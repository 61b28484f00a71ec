"""When to start again what died, and which life a process may lead."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pool.backoff import STABLE, Backoff
from gateway.pool.output import Lines
from gateway.pool.states import NEXT, STATES, after


def test_the_first_death_is_an_accident() -> None:
    """The first death, and each after a long life, waits only for the single delay."""
    backoff = Backoff(Random(1), single=0.0)
    assert backoff.died(0.1) == 0
    assert backoff.died(0.1) > 0
    assert backoff.died(STABLE) == 0
    assert repr(backoff) == "<Backoff streak=1>"


def test_five_quick_deaths_are_a_loop() -> None:
    """The fifth quick death in a row is a crash loop, a long life ends it, and somebody's word does."""
    backoff = Backoff(Random(1))
    loops = []
    for _ in range(5):
        backoff.died(None)
        loops.append(backoff.is_looping)
    assert loops == [False] * 4 + [True]
    assert 15 <= backoff.longest() < 30
    backoff.died(STABLE)
    assert not backoff.is_looping
    for _ in range(5):
        backoff.died(0.1)
    assert backoff.is_looping
    backoff.forgive()
    assert not backoff.is_looping


@given(st.integers(), st.integers(1, 2000))
def test_delays_double_up_to_thirty_seconds(seed: int, deaths: int) -> None:
    """Each delay is in [½, 1) of 0.5 s, 1 s, 2 s … 30 s, however long the loop lasts."""
    backoff = Backoff(Random(seed))
    assert backoff.died(None) == 0
    for death in range(deaths):
        nominal = min(30.0, 0.5 * 2 ** min(death, 20))
        assert nominal / 2 <= backoff.died(None) < nominal


def test_the_same_seed_tells_the_same_story() -> None:
    """Delays depend on the dice that were given and on nothing else."""
    stories = [[backoff.died(None) for _ in range(10)] for backoff in (Backoff(Random(3)), Backoff(Random(3)))]
    assert stories[0] == stories[1]


def test_the_table_of_states_is_whole() -> None:
    """Every state can be reached from dead, every state leads back to dead, and death to a new life or to quarantine."""
    reached, frontier = {"dead"}, ["dead"]
    while frontier:
        for state in NEXT[frontier.pop()]:  # type: ignore[index]
            if state not in reached:
                reached.add(state)
                frontier.append(state)
    assert reached == set(STATES)
    assert all("dead" in NEXT[state] for state in STATES if state != "dead")
    assert NEXT["dead"] == {"spawning", "quarantined"}


def test_a_wrong_step_is_an_error() -> None:
    """What the table does not lead to cannot be entered."""
    assert after("warming", "ready") == "ready"
    with pytest.raises(ValueError, match="cannot go from dead to ready"):
        after("dead", "ready")


@given(st.lists(st.binary(max_size=30), max_size=10), st.data())
def test_output_is_cut_at_line_ends_only(lines: list[bytes], data: st.DataObject) -> None:
    """However the bytes arrive, the same lines are handed on."""
    stream = b"".join(line.replace(b"\n", b"").rstrip(b"\r") + b"\n" for line in lines)
    got: list[str] = []
    output = Lines(got.append)
    while stream:
        n = data.draw(st.integers(1, len(stream)))
        output.data_received(stream[:n])
        stream = stream[n:]
    output.connection_lost(None)
    cleaned = [line.replace(b"\n", b"").rstrip(b"\r") for line in lines]
    assert got == [line.decode("utf-8", "backslashreplace") for line in cleaned if line]


def test_a_line_without_end_does_not_fill_memory() -> None:
    """A line that goes on and on is handed on in pieces of 64 KiB."""
    got: list[str] = []
    output = Lines(got.append)
    for _ in range(100):
        output.data_received(b"x" * 1000)
    output.connection_lost(None)
    assert max(map(len, got)) <= 65536
    assert sum(map(len, got)) == 100_000
